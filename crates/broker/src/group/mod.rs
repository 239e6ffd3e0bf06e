//! A consumer group: what it has settled, what failed how often, and, at the leader, who holds what.
//!
//! ```text
//!                 ┌──────────────── nack, expiry: attempts + 1 ────────────────┐
//!                 ▼                                                            │
//!   put ──▶ waiting for its time ──▶ ready ──▶ leased ──▶ settling ────────────┤
//!            (delay, redelivery)      ▲          │          │                  │
//!                                     └─ reset ──┘          │ ack              │ reject, or attempts
//!                                     (leases are void)     ▼                  ▼ reach deliveries_max
//!                                                        settled ◀────── dead letter (outbox, or counted)
//!
//!   from anywhere: time to live, retention, purge, delete ──▶ gone (counted); a receipt finds it settled
//! ```
//!
//! Replicated are: settled or not, the attempts, and when a redelivery may come. Leased and settling
//! exist at the leader only; a new leader finds those messages ready.

pub(crate) mod dispatch;
pub(crate) mod lease;
mod progress;
pub(crate) mod settled;

pub(crate) use progress::{Attempts, Group};
