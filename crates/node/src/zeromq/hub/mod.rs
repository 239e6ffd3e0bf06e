//! Endpoints whose peers talk to each other: an exchange, and the sessions around it.
//!
//! ```text
//!   session ──message──▶ hub: lock ──▶ exchange ──send──▶ outbox of another peer ──wake──▶ its session
//! ```
//!
//! A session calls the exchange itself, under the hub's lock, and puts what comes of it into the outboxes of others
//! before it lets go: messages to one peer keep the order in which the exchange made them, and there is no task between
//! the sender's and the receiver's. The hub's own task only looks at the clock. An exchange that keeps things in a queue
//! has one more task, which talks to the shards for it.

mod core;
mod member;
mod outbox;
mod peers;
mod start;
mod storage;
#[cfg(test)]
mod tests;

pub(super) use core::Hub;
pub(super) use member::Member;
pub(super) use outbox::Outbox;
pub(super) use start::exchange;
pub(super) use storage::{Storage, StorageQueue};
