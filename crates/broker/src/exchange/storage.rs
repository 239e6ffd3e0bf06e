//! What an exchange that keeps things durably and its queue say to each other.
//!
//! The queue is one of the node's own, of which the exchange is the only consumer. It is read once from the beginning, with
//! all messages leased and none settled, so that the exchange knows everything that is in it:
//!
//! ```text
//!  Closed ──▶ Opened ──▶ Delivered … ──▶ Counted ──(as many as were delivered)──▶ read
//!     ▲                      ▲              │ (more than that)
//!     │                      └──────────────┘
//!     └───────────── the subscription ends: all leases are void, and all is read again
//! ```

use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::{EncodedMessage, Receipt, Sequence};

/// What an exchange asks of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageRequest {
    /// To store a message. [`StorageEvent::Stored`] or [`StorageEvent::Refused`] answers it.
    Put {
        /// Comes back with the answer. It is never used again.
        token: u64,
        /// What.
        message: EncodedMessage,
    },
    /// To let messages go, 1 to [`BATCH_MAX`](swarmmq_protocol::limits::BATCH_MAX). [`StorageEvent::Settled`] or
    /// [`StorageEvent::Unsettled`] answers it, before there is another.
    Settle {
        /// Which.
        receipts: Vec<Receipt>,
    },
}

/// Why a message was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It never will be.
    Never,
    /// It is not, and may be if it is put again.
    Later,
    /// It may be, or not. [`StorageEvent::Closed`] follows, and the queue is read again, which tells.
    Unknown,
}

/// What a queue says to its exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageEvent {
    /// It is read from the beginning from now on; no request is under way, and earlier receipts are void.
    Opened,
    /// It cannot be used. Requests that are under way are answered all the same.
    Closed,
    /// A message of the queue, synced, and leased with this receipt from now on.
    Delivered {
        /// What to settle it with.
        receipt: Receipt,
        /// When it was stored, in ms of the queue's clock.
        stored_ms: u64,
        /// The message.
        message: EncodedMessage,
    },
    /// How much there is. Said until the exchange has read as much.
    Counted {
        /// Messages that are not settled.
        messages: u64,
        /// For how long the oldest has been stored, ms.
        oldest_age_ms: u64,
    },
    /// A message was stored, and is synced.
    Stored {
        /// Of the request.
        token: u64,
        /// Where.
        sequence: Sequence,
    },
    /// A message was not stored, or that is not known.
    Refused {
        /// Of the request.
        token: u64,
        /// Which of the two.
        refusal: Refusal,
    },
    /// What became of a settlement, receipt by receipt.
    Settled {
        /// One outcome for each receipt, in their order.
        outcomes: Vec<SettleOutcome>,
    },
    /// A settlement was not made, as far as is known.
    Unsettled,
}
