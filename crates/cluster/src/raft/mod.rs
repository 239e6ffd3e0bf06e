//! Consensus by openraft, over the journal.
//!
//! | openraft | here |
//! |---|---|
//! | log storage | [`log_store`]: entries and votes are records of the journal |
//! | state machine | [`state_machine`]: a [`Machine`](crate::consensus::Machine) |
//! | network | [`network`]: none yet reaches another node |
//!
//! A vote is synced before it leaves; `IOFlushed` callbacks complete in the order of the journal's
//! writer, which is the order of submission. The committed index is saved without a sync of its own.
//! A restarted replica does not restore leadership but stands for election again, so that every
//! leadership has a term of its own and the lease tokens made of it never repeat.

mod codec;
pub(crate) mod fuzzing;
mod group;
mod log_store;
mod network;
mod state_machine;
mod type_config;

pub use group::GroupError;
pub(crate) use group::{Group, GroupOptions};
