//! Shards on openraft over the journal, behind a consensus trait.
//!
//! A node alone runs the path a cluster runs: every shard is a consensus group, here with one voter.
//! Requests of peers become commands, commands that arrive while the previous entry syncs become one
//! entry, an entry that is committed is applied, and what was applied is answered.
mod cluster;
mod peer;

pub use cluster::{Attachment, Cluster};
pub use peer::Peer;
