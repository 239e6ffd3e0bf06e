//! An append-only journal shared by many groups: one writer, one fdatasync, over a [`Disk`].
//!
//! Records of many raft groups share preallocated segment files. Appending puts entries into an
//! in-memory index and a queue; one [`Writer`] turns everything queued into one `pwritev` and one
//! `fdatasync`, then completes the appends in the order they came. The journal record *is* the raft
//! entry *is* the message: what was appended is read back by `(group, index)` from any thread.
//!
//! # Laws
//!
//! 1. A completion that says `Ok` comes after the sync that made its records durable; completions run
//!    in submission order over all groups.
//! 2. The first failed sync poisons the journal: nothing is retried, nothing is acknowledged after it.
//! 3. A record that was acknowledged and cannot be read back is *damage*, never a shorter log. The
//!    remaining window is documented in [`mod@format`].
//! 4. Nothing here reads a clock. Random bytes come from [`Disk::random`] alone.
//! 5. No lock is held across a call to the disk or a callback.
//!
//! # The life of a record
//!
//! ```text
//! append ─► index + hot tail + queue ─► Writer::step: gather, encode, pwritev, fdatasync
//!                                          │
//!            readable at once              ├─► index gets (file, offset) ─► completion
//!                                          ▼
//!            sealed with its segment ─► purged, not held ─► dead
//!                     │                                      │ all dead: file deleted or recycled
//!                     └─ alive in a mostly dead segment ─► moved to a cold segment
//! ```
//!
//! The file format is drawn byte by byte in [`mod@format`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod batch;
mod cipher;
mod cursor;
mod disk;
mod error;
mod fault;
pub mod format;
pub mod fuzzing;
mod group;
mod journal;
mod load;
mod mark;
pub mod offline;
mod options;
mod reading;
mod reclaim;
mod recovery;
mod segment;
pub mod simulated;
mod snapshot;
mod state;
mod table;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use disk::{Disk, DiskFile, DiskLock, FileDisk};
pub use error::{AppendRefusal, Damage, JournalError, OpenError, OptionsError, ReadError, SnapshotError};
pub use group::GroupState;
pub use journal::{Journal, Space, Stats};
pub use options::{FatalHook, MasterKey, Observer, Options};
pub use recovery::RecoveryReport;
pub use tail::TornTail;
pub use writer::{Step, Writer};

use bytes::Bytes;

/// A group whose records share the journal: one raft group, one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a small value kept per group, such as the raft vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaKey(pub u8);

/// One raft entry. Indexes are dense per group and start at 0 or 1; `term` is the raft term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The raft index, dense within its group.
    pub index: u64,
    /// The raft term.
    pub term: u64,
    /// What the entry carries; opaque to the journal.
    pub payload: Bytes,
}

/// Called once, when what it was submitted with is durable or never will be.
///
/// It runs on the writer's thread: it must not block, and it may call back into the journal.
pub type Completion = Box<dyn FnOnce(Result<(), JournalError>) + Send>;
