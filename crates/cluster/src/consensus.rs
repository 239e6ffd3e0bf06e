//! What a shard needs of a consensus protocol.
//!
//! The broker's code knows this trait and nothing of raft: an entry goes in, and comes out applied or
//! refused. That keeps openraft, whose interface still moves, behind one door.

use std::sync::Arc;

use bytes::Bytes;
use swarmmq_broker::Applied;
use tokio::sync::watch;

/// Who leads a group, as this replica sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Leadership {
    /// The term.
    pub(crate) term: u64,
    /// Whether this replica leads.
    pub(crate) here: bool,
    /// The address of the replica that leads, if another one does and it is known.
    pub(crate) elsewhere: Option<String>,
    /// Why the group can do nothing any more, if so. It stays that way until the process ends.
    pub(crate) fatal: Option<String>,
}

/// Why an entry was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProposeError {
    /// Another replica leads, or none does. The entry took no effect.
    #[error("this node does not lead the shard")]
    NotLeader {
        /// The address of the one that does, if it is known.
        leader: Option<String>,
    },
    /// Whether the entry will take effect is not known: this replica lost leadership meanwhile.
    #[error("leadership was lost while the entry was under way")]
    Unknown,
    /// The group has stopped.
    #[error("the shard has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// An entry that took effect: where it stands in the log, and what it did.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Its log index.
    pub(crate) index: u64,
    /// What applying it did.
    pub(crate) applied: Applied,
}

/// Called once with what became of an entry. Must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<Committed, ProposeError>) + Send>;

/// Writes a state that was taken before. May take long.
pub(crate) type WriteSnapshot = Box<dyn FnOnce() -> Vec<Bytes> + Send + Sync>;

/// What is told of every applied entry, on every replica, before its [`Done`].
pub(crate) trait Machine: Send + Sync + 'static {
    /// Applies an entry.
    ///
    /// # Errors
    /// A sentence, where the entry cannot be applied. The replica stops: it must not skip an entry.
    fn apply(&self, index: u64, entry: Bytes) -> Result<Applied, String>;

    /// The state as of the last applied entry, to be written in chunks later and on another thread.
    fn snapshot(&self) -> WriteSnapshot;

    /// Replaces the state by that of a snapshot, given in the chunks it was taken in.
    ///
    /// # Errors
    /// A sentence, where the bytes are not a snapshot.
    fn restore(&self, chunks: &[Bytes]) -> Result<(), String>;
}

/// One group's consensus, as the replica on this node takes part in it.
pub(crate) trait Consensus: Send + Sync + 'static {
    /// Puts an entry forward. Entries of one caller are applied in the order they are put forward.
    fn propose(&self, entry: Bytes, done: Done) -> impl Future<Output = ()> + Send;

    /// Who leads, as it changes.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Writes a snapshot of the machine soon and lets the log before it go.
    fn compact(&self) -> impl Future<Output = ()> + Send;

    /// Waits until the snapshot asked for by [`Self::compact`] is written, or the group stops.
    fn compacted(&self, index: u64) -> impl Future<Output = ()> + Send;

    /// Takes this replica out of service. What is under way ends with [`ProposeError::Stopped`].
    fn shutdown(&self) -> impl Future<Output = ()> + Send;
}

/// A machine that can be shared.
pub(crate) type SharedMachine = Arc<dyn Machine>;
