//! A lease: a message that is with a consumer. Only the leader has leases; they are not replicated.
//!
//! ```text
//!            lease                    settle (ack, nack, reject) or expiry: a command is proposed
//!   ready ───────────▶ leased ─────────────────────────────▶ settling ──┐
//!     ▲                  ▲ │ extend                           │   │     │ applied: settled, or
//!     │                  └─┘                         abandoned│   │     │ ready / delayed again
//!     │                  ▲                                    │   │     ▼
//!     │                  └────────────────────────────────────┘   │   (the lease is gone)
//!     └───────────────────────────────────────────────────────────┘
//!            a late acknowledgement of a message nobody holds was abandoned
//! ```
//!
//! A message whose lease is settling is never leased: whatever the command decides, it decides before
//! anybody else is given the message.

/// A lease, or what stands in its place while a late acknowledgement is under way.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// The token of the receipt.
    pub(crate) token: u64,
    /// Who holds it.
    pub(crate) consumer: u64,
    pub(crate) deadline_ms: u64,
    /// Commands under way about this message. While there is one, the lease is settling.
    pub(crate) under_way: u32,
    /// An expiry is among them, so that it is not proposed twice.
    pub(crate) expiring: bool,
    /// Nobody holds the message any more; the lease only waits for the commands under way.
    pub(crate) ended: bool,
}

impl Lease {
    pub(crate) fn new(token: u64, consumer: u64, deadline_ms: u64) -> Self {
        Self { token, consumer, deadline_ms, under_way: 0, expiring: false, ended: false }
    }

    /// What stands for a message nobody holds while a late acknowledgement of it is under way.
    pub(crate) fn late(token: u64) -> Self {
        Self { ended: true, ..Self::new(token, 0, u64::MAX) }
    }

    /// Whether its time runs.
    pub(crate) fn is_timed(&self) -> bool {
        !self.ended && !self.expiring
    }
}
