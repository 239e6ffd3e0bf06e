//! `journal`: the files that hold every message.

use std::path::PathBuf;

use super::fields::{Fields, Section};
use super::quantity::Size;
use super::scalar::Label;

/// `journal`: sizes and encryption of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// Size of a segment file. Default 16 MiB; 1 MiB to 1 GiB, and larger than the largest message. Larger ones
    /// roll less often, smaller ones free space sooner.
    pub segment_size: Size,
    /// Payloads kept in memory after they were written, newest first. Default 64 MiB. Consumers that keep up
    /// are served from here without a read.
    pub hot_size: Size,
    /// Bytes that may wait for the writer before puts are refused with `OVERLOADED`. Default 256 MiB.
    pub queue_size: Size,
    /// Preallocated space that only acknowledgements may use once the disk is full. Default 8 MiB; at most half a
    /// segment.
    pub reserve_size: Size,
    /// File with the master key, 64 hexadecimal digits, that turns encryption at rest on. Default none. The
    /// environment's `SWARMMQ_MASTER_KEY` or `SWARMMQ_MASTER_KEY_FILE` goes first. Fixed when the
    /// data directory is made.
    pub encryption_key_file: Option<PathBuf>,
    /// Names the master key in error messages and in the journal; at most 32 bytes, not secret. Default `default`.
    pub encryption_key_id: Label,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_size: Size::mebibytes(16),
            hot_size: Size::mebibytes(64),
            queue_size: Size::mebibytes(256),
            reserve_size: Size::mebibytes(8),
            encryption_key_file: None,
            encryption_key_id: Label::of("default"),
        }
    }
}

impl Section for JournalConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { segment_size, hot_size, queue_size, reserve_size, encryption_key_file, encryption_key_id } =
            self;
        fields.value("segment_size", segment_size);
        fields.value("hot_size", hot_size);
        fields.value("queue_size", queue_size);
        fields.value("reserve_size", reserve_size);
        fields.value("encryption_key_file", encryption_key_file);
        fields.value("encryption_key_id", encryption_key_id);
    }
}
