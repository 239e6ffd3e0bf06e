//! Shards on openraft over the journal, behind a consensus trait.
//!
//! A node alone runs the path a cluster runs: every shard is a consensus group, here with one voter.
//! Requests of peers become commands, commands that arrive while the previous entry syncs become one
//! entry, an entry that is committed is applied, and what was applied is answered.
//!
//! - [`Cluster`] is what listeners use; a session is a [`Peer`] with an [`Attachment`].
//! - `consensus` is what a shard needs of a consensus protocol, `raft` gives it by openraft.
//! - `shard` holds the broker's state machine and the tasks that serve it.
//! - [`World`] is how time and chance reach all of it.
mod attachment;
mod census;
mod cluster;
mod consensus;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod observer;
mod peer;
mod placement;
mod raft;
mod runtime;
mod shard;
mod shards;

pub use attachment::Attachment;
pub use cluster::{Cluster, ClusterOptions, Health, StartError};
pub use identity::IdentityError;
pub use observer::{Observer, Unobserved};
pub use peer::Peer;
pub use placement::ShardCount;
pub use raft::GroupError;
pub use runtime::{SystemWorld, World};
