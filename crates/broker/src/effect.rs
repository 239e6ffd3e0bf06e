//! What comes of applying an entry: an outcome per command, and effects for the shell to perform.

use swarmmq_protocol::codec::DecodeError;
use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::response::{PutReply, Response, SettleOutcome, SettleReply};
use swarmmq_protocol::{DestinationName, GroupName};

/// What came of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "effects must be performed, and outcomes answered"]
pub struct Applied {
    /// One per command, in their order.
    pub outcomes: Vec<Outcome>,
    /// What to do now: first holds, then releases, then the rest.
    pub effects: Vec<Effect>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// What became of the messages of a put; its `index` is the entry's.
    Put(PutReply),
    /// What became of the messages of a settlement, in the order of its runs.
    Settled(Vec<SettleOutcome>),
    /// It is done, and there is no more to say.
    Done,
    /// It was refused and changed nothing.
    Error(ErrorReply),
}

impl Outcome {
    /// The answer to the client whose command had this outcome in the entry at `index`.
    ///
    /// For a settlement with receipts that were decided before, use
    /// [`SettlePlan::complete`](crate::SettlePlan::complete) instead.
    #[must_use]
    pub fn into_response(self, index: u64) -> Response {
        match self {
            Self::Put(reply) => Response::Put(reply),
            Self::Settled(outcomes) => Response::Settled(SettleReply { index, outcomes }),
            Self::Done => Response::Done { index },
            Self::Error(error) => Response::Error(error),
        }
    }
}

/// Something the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The entry at this index has live messages now: keep it.
    Hold {
        /// Log index of the entry.
        index: u64,
    },
    /// The entry at this index has no live message any more: it may go. Never in one [`Applied`] with
    /// a hold of the same index.
    Release {
        /// Log index of the entry.
        index: u64,
    },
    /// Something may be leased now. Only for groups somebody leased from, or tried to, since
    /// [`Shard::reset_volatile`](crate::Shard::reset_volatile).
    Ready {
        /// From which destination.
        destination: DestinationName,
        /// By which group.
        group: GroupName,
    },
    /// The group is gone; whoever waits for its messages is told `error`.
    GroupGone {
        /// Of which destination.
        destination: DestinationName,
        /// Which.
        group: GroupName,
        /// Why: the group or its destination was deleted.
        error: ErrorReply,
    },
    /// There are new dead letters in the outbox.
    Outbox,
}

/// Why an entry was not applied. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bytes are no entry: they are damaged, or of a version this program does not know.
    #[error("the entry at index {index} cannot be read")]
    Undecodable {
        /// Its log index.
        index: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The entry is not behind the last one applied.
    #[error("the entry at index {index} is not behind {applied}, which was applied last")]
    OutOfOrder {
        /// Its log index.
        index: u64,
        /// The index applied last.
        applied: u64,
    },
}
