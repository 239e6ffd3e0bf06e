//! Replicated state machines of a broker: log and group, pure.
#![forbid(unsafe_code)]

pub mod command;
mod dedup;
mod destination;
pub mod effect;
pub mod entry;
mod fault;
pub mod filter;
mod group;
mod held;
pub mod limits;
pub mod location;
mod log;
mod outbox;
pub mod plan;
pub mod shard;
mod snapshot;
#[cfg(test)]
mod tests;
mod work;

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
