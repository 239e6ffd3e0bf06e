//! The state machine of one shard: the replicated half, and the leader's half.
//!
//! - [`Shard::apply`] is the only way the replicated state changes, and a pure function of that state
//!   and the entry. [`Shard::snapshot`] and [`Shard::restore`] carry exactly that state.
//! - [`Shard::lease`], [`Shard::settle`], [`Shard::due`] and their like are the leader's. They change
//!   leases, which are not replicated, and return commands to propose.

mod admin;
mod apply;
mod describe;
mod due;
mod lease;
mod settle;
mod state;
mod volatile;

pub use state::Shard;
pub(crate) use state::{unknown_destination, unknown_group};
