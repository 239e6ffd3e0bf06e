//! What can go wrong, one enum per operation whose callers act differently.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::GroupId;

/// Bytes on disk that are not what the journal wrote there. Nothing was changed on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name within the journal's directory.
    pub file: String,
    /// Where in the file the damaged record or structure begins.
    pub offset: u64,
    /// The record's group, index and term, where they are known.
    pub record: Option<(GroupId, u64)>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.file, self.offset)?;
        if let Some((group, index)) = self.record {
            write!(f, " (group {group}, index {index})")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// Why a caller's append, truncation or purge was not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendRefusal {
    /// The entry does not continue the group's log.
    #[error("entry {found} does not follow on: group {group} expects index {expected}")]
    Gap {
        /// The group.
        group: GroupId,
        /// The index that would follow on.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
    /// The payload does not fit a record.
    #[error("payload of {length} bytes is larger than the {limit} a record may carry")]
    TooLarge {
        /// The payload's length.
        length: usize,
        /// The largest length.
        limit: usize,
    },
    /// Purged entries cannot be truncated.
    #[error("cannot truncate group {group} from index {from}: it is purged up to {purged}")]
    TruncatesPurged {
        /// The group.
        group: GroupId,
        /// The first index to remove.
        from: u64,
        /// The last purged index.
        purged: u64,
    },
}

/// Why something submitted is not, and will not become, durable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The caller asked for something impossible.
    #[error(transparent)]
    Refused(#[from] AppendRefusal),
    /// The journal was closed, or its writer is gone.
    #[error("the journal is closed")]
    Closed,
    /// A write or sync failed. The journal takes nothing more; the process has to start again.
    #[error("SWARMMQ-J001: {operation} of {file} failed, the journal stopped: {error}")]
    Poisoned {
        /// What failed.
        operation: &'static str,
        /// The file it failed on.
        file: String,
        /// What the disk said.
        error: Arc<io::Error>,
    },
}

/// Why an entry could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record's bytes are not what was written.
    #[error("SWARMMQ-J002: damaged record: {0}")]
    Damaged(Damage),
    /// The disk refused to read.
    #[error("reading {file} at offset {offset}: {error}")]
    Io {
        /// The file.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What the disk said.
        error: Arc<io::Error>,
    },
}

/// Why a journal could not be opened. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Another process has the journal open.
    #[error("SWARMMQ-J010: the journal is locked by another process{}", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The other process, where the lock file names it.
        pid: Option<u32>,
    },
    /// The directory holds files, but no journal.
    #[error(
        "SWARMMQ-J011: not a journal: there is no journal.manifest, but {found}; give an empty directory or a journal's"
    )]
    NotAJournal {
        /// One of the files found.
        found: String,
    },
    /// The journal was written by a newer version.
    #[error(
        "SWARMMQ-J012: {file} has format version {found}, this program reads up to {supported}; use a newer program"
    )]
    NewerVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The newest version this program reads.
        supported: u16,
    },
    /// The journal is encrypted and the key given is another one.
    #[error("SWARMMQ-J013: the journal is encrypted with key id {expected:?}, the key given has id {given:?}{}", if .expected == .given { ", but it is not the same key" } else { "" })]
    WrongKey {
        /// The id of the key the journal was made with.
        expected: String,
        /// The id of the key that was given.
        given: String,
    },
    /// The journal is encrypted and no key was given.
    #[error("SWARMMQ-J013: the journal is encrypted with key id {expected:?}, and no key was given")]
    KeyMissing {
        /// The id of the key the journal was made with.
        expected: String,
    },
    /// A key was given for a journal that is not encrypted.
    #[error(
        "SWARMMQ-J014: the journal is not encrypted, but a key with id {given:?} was given; open it without, or start from an empty directory"
    )]
    NotEncrypted {
        /// The id of the key that was given.
        given: String,
    },
    /// Records that were durable are damaged. The files are left as they are.
    #[error(
        "SWARMMQ-J015: damage below the durable mark: {0}; keep the directory for inspection and let this replica be repaired from its peers"
    )]
    Damaged(Damage),
    /// A file that the journal lists is missing.
    #[error(
        "SWARMMQ-J016: {file} is missing, though the journal lists it; let this replica be repaired from its peers"
    )]
    Missing {
        /// The file.
        file: String,
    },
    /// There is no room to open: recovery needs one new segment.
    #[error("SWARMMQ-J017: no room for a new segment of {bytes} bytes; free some space and start again")]
    NoSpace {
        /// The bytes needed.
        bytes: u64,
    },
    /// The disk failed.
    #[error("{operation} of {file}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        file: String,
        /// What the disk said.
        error: io::Error,
    },
}

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The value is outside its limits.
    #[error("{name} is {value}, it has to be between {least} and {most}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// The key id does not fit the manifest.
    #[error("key id of {length} bytes is longer than {limit}")]
    KeyIdTooLong {
        /// Its length in bytes.
        length: usize,
        /// The most allowed.
        limit: usize,
    },
}

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The newest snapshot of the group is damaged. The file is left as it is.
    #[error("SWARMMQ-J020: damaged snapshot: {0}")]
    Damaged(Damage),
    /// The journal is poisoned or closed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no room for it.
    #[error("SWARMMQ-J021: no room for a snapshot of {bytes} bytes")]
    NoSpace {
        /// How large it was to be.
        bytes: u64,
    },
    /// The disk failed.
    #[error("{operation} of {file}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        file: String,
        /// What the disk said.
        error: io::Error,
    },
}

/// Whether the disk said that it is full, which may pass, as opposed to broken, which may not.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Turns an I/O error into [`OpenError::Io`], saying what was done to which file.
pub(crate) fn open_io<'a>(
    operation: &'static str,
    file: &'a str,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |error| OpenError::Io { operation, file: file.to_owned(), error }
}
