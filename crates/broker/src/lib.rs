//! The replicated state machine of a shard: destinations, their logs and groups. Pure.
//!
//! ```text
//!            commands                              entries, in the order of the shard's log
//!   client ───────────▶ leader: gather, stamp, propose ───────────▶ every replica: apply ──▶ state
//!                          ▲      │ lease, settle, due                       │
//!                          │      ▼                                          ▼
//!                        leases (leader only, not replicated)        outcomes, effects
//! ```
//!
//! [`Shard::apply`] is a function of the state and the entry: no clock, no chance, no order of a hash
//! map. The leader stamps the time into the entry, and the state never lets it run backwards. So the
//! same entries give the same state everywhere, down to the bytes of a [snapshot](Shard::snapshot).
//!
//! An entry is at once the journal's record and the messages in it. The state holds [`Location`]s in
//! entries, never payloads, and says by [`Effect::Hold`] and [`Effect::Release`] which entries hold
//! something live. It is bounded by what is live, not by history.
//!
//! # The life of a message
//!
//! ```text
//!   put ──▶ waiting for its time ──▶ ready ──▶ leased ──▶ settling ──▶ settled by the group
//!            ▲                         ▲          │          │              │
//!            └── nack, expiry: the delivery counts ──────────┘              ├─▶ queue: gone from the log
//!                                      │                     │              └─▶ stream: stays for others
//!                                      └── the leader changed, or a reset   │
//!                                                            │              ▼
//!                                          reject, or delivered too often ──▶ dead letter: outbox ──▶ gone
//!
//!   from anywhere: time to live, age, size, a newer one of its key, purge, delete ──▶ gone, and counted
//! ```
//!
//! What is drawn as *leased* and *settling* is known to the leader alone. A consumer's receipt carries
//! the lease's token, so that the leader tells a late word from a good one; what it decides is replicated
//! with the number of failed deliveries it saw, so that each failure counts once, and with the group's
//! generation, so that a word from before a reset counts for nothing.
//!
//! # How a leader uses it
//!
//! 1. On leading: [`Shard::reset_volatile`] with the term, then apply an entry of that term.
//! 2. Gather commands in an [`EntryBuilder`]; propose; [`Shard::apply`] what is committed; answer with the
//!    outcomes; perform the effects.
//! 3. For a consumer: [`Shard::lease`]. Where [`Leases::more`] is false, wait for [`Effect::Ready`] (or a
//!    [`Wakeup`] of [`Shard::due`] or [`Shard::abandon`]), which wakes everybody who waits at the group.
//! 4. For a settlement: [`Shard::settle`]; propose the plan's command; answer with
//!    [`SettlePlan::complete`]. A command that will certainly not be committed: [`Shard::abandon`].
//! 5. At [`Shard::next_due`]: [`Shard::due`], and propose what it returns.
//! 6. When a consumer goes: [`Shard::release_consumer`], and propose what it returns.
//! 7. While there is something in the [outbox](Shard::outbox): put it where it belongs, with its stamp, and
//!    propose [`Command::OutboxDone`].
//!
//! Where the log and the state may disagree with what the settings say is only in time: retention and
//! expiry are done by ticks, at most [`ShardLimits::retire_max`] at once. Nothing expired is delivered
//! meanwhile.
#![forbid(unsafe_code)]

pub mod auto_create;
pub mod command;
mod dedup;
mod destination;
pub mod effect;
pub mod entry;
pub mod exchange;
mod fault;
pub mod filter;
mod group;
mod held;
pub mod limits;
pub mod location;
mod log;
mod outbox;
pub mod plan;
pub mod registry;
pub mod shard;
mod snapshot;
#[cfg(test)]
mod tests;
mod work;

pub use auto_create::AutoCreate;
pub use command::{Command, SequenceRun};
pub use effect::{Applied, ApplyError, Effect, Outcome};
pub use entry::{Entry, EntryBuilder};
pub use limits::ShardLimits;
pub use location::Location;
pub use plan::{
    DeadLetter, DestinationStats, Due, LeaseRequest, Leased, Leases, OutboxBatch, SettlePlan, ShardStats,
    Wakeup,
};
pub use shard::Shard;
pub use snapshot::Frozen;
