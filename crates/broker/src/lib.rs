//! Replicated state machines of a broker: log and group, pure.
#![forbid(unsafe_code)]

pub mod command;
pub mod effect;
pub mod entry;
pub mod filter;
pub mod limits;
pub mod location;
pub mod plan;
pub mod shard;

pub use command::{Command, SequenceRun};
pub use effect::{Applied, ApplyError, Effect, Outcome};
pub use entry::{Entry, EntryBuilder};
pub use limits::ShardLimits;
pub use location::Location;
pub use plan::{
    DeadLetter, DestinationStats, Due, LeaseRequest, Leased, Leases, OutboxBatch, SettlePlan, ShardStats, Wakeup,
};
pub use shard::Shard;
