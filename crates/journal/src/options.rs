//! What an operator and an embedding program choose.

use std::fmt;
use std::sync::Arc;

use crate::error::{JournalError, OptionsError};
use crate::format::{KEY_ID_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// The 256-bit key that per-segment keys are derived from, with the name it is stored under.
#[derive(Clone)]
pub struct MasterKey {
    /// Names the key in error messages and in the manifest; at most 32 bytes. Not secret.
    pub id: String,
    /// The key itself.
    pub key: [u8; 32],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Sees what the writer does, to measure it: the journal owns no clock.
pub trait Observer: Send + Sync {
    /// A write and sync of a batch begins.
    fn sync_begins(&self) {}
    /// A batch of `records` records and `bytes` bytes became durable.
    fn synced(&self, records: usize, bytes: usize) {
        let _ = (records, bytes);
    }
    /// `records` live records of `bytes` bytes were moved out of mostly dead segments.
    fn moved(&self, records: u64, bytes: u64) {
        let _ = (records, bytes);
    }
}

/// Called once, on the writer's thread, when the journal is poisoned. A node aborts here.
pub type FatalHook = Arc<dyn Fn(&JournalError) + Send + Sync>;

/// How a journal is opened. Every field has a default that suits a node.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment file. Default 16 MiB. Larger ones roll less often, smaller ones free space sooner.
    pub segment_bytes: u64,
    /// Payloads kept in memory after they were written, newest first. Default 64 MiB.
    pub hot_bytes: usize,
    /// Most bytes in one write. Default 8 MiB. It bounds how long one sync takes.
    pub batch_bytes: usize,
    /// Most records in one write. Default 65,536.
    pub batch_records: usize,
    /// Bytes that may wait for the writer before [`Journal::admits`](crate::Journal::admits) says no.
    /// Default 256 MiB.
    pub queue_bytes: usize,
    /// Segments allocated ahead. Default 1, the least: rolling never waits for the file system, and a full disk is noticed
    /// while there is still room for the reserve.
    pub spare_segments: usize,
    /// Preallocated bytes that only control records may use once the disk is full. Default 8 MiB; at most half a segment.
    pub reserve_bytes: u64,
    /// Written bytes after which the durable mark is advanced under load. Default 16 MiB.
    pub mark_bytes: u64,
    /// Batches after which the durable mark is advanced under load. Default 1,024.
    pub mark_batches: u32,
    /// A sealed segment whose live share is below this percentage is moved. Default 25.
    pub move_below_percent: u8,
    /// Bytes moved between two batches. Default 1 MiB: about a millisecond.
    pub move_slice_bytes: usize,
    /// How long [`Writer::run`](crate::Writer::run) waits for work before it does idle chores. Default 50 ms.
    pub idle_ms: u64,
    /// Encrypts payloads with AES-256-GCM. Default none. Fixed when the journal is made.
    pub encryption: Option<MasterKey>,
    /// Called when the journal is poisoned. Default none: completions still get the error.
    pub fatal: Option<FatalHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            hot_bytes: 64 << 20,
            batch_bytes: 8 << 20,
            batch_records: 65_536,
            queue_bytes: 256 << 20,
            spare_segments: 1,
            reserve_bytes: 8 << 20,
            mark_bytes: 16 << 20,
            mark_batches: 1024,
            move_below_percent: 25,
            move_slice_bytes: 1 << 20,
            idle_ms: 50,
            encryption: None,
            fatal: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("hot_bytes", &self.hot_bytes)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Checks that the values fit together.
    ///
    /// # Errors
    /// The first value that does not.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let checks = [
            ("segment_bytes", self.segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            ("reserve_bytes", self.reserve_bytes, 0, self.segment_bytes / 2),
            ("batch_bytes", self.batch_bytes as u64, 1, SEGMENT_BYTES_MAX),
            ("batch_records", self.batch_records as u64, 1, 1 << 24),
            ("spare_segments", self.spare_segments as u64, 1, 64),
            ("mark_bytes", self.mark_bytes, 1, u64::MAX),
            ("mark_batches", u64::from(self.mark_batches), 1, 1 << 31),
            ("move_below_percent", u64::from(self.move_below_percent), 0, 90),
            ("move_slice_bytes", self.move_slice_bytes as u64, 1, SEGMENT_BYTES_MAX),
            ("idle_ms", self.idle_ms, 1, 60_000),
        ];
        for (name, value, least, most) in checks {
            if value < least || value > most {
                return Err(OptionsError::OutOfRange { name, value, least, most });
            }
        }
        match &self.encryption {
            Some(key) if key.id.len() > KEY_ID_BYTES_MAX => {
                Err(OptionsError::KeyIdTooLong { length: key.id.len(), limit: KEY_ID_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }
}
