//! What the journal's writer does.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use metrics::Counter;
use swarmmq_journal::Observer;

use super::histogram::Histogram;

/// Measures syncs: hand it to the journal as its [`Observer`].
#[derive(Debug)]
pub struct JournalMetrics {
    pub(super) sync_duration: Histogram,
    pub(super) sync_records: Histogram,
    pub(super) written_bytes: Counter,
    pub(super) moved_bytes: Counter,
    /// Only the writer's thread takes it.
    began: Mutex<Option<Instant>>,
}

impl JournalMetrics {
    pub(super) fn new(written_bytes: Counter, moved_bytes: Counter) -> Self {
        Self {
            sync_duration: Histogram::of_durations(),
            sync_records: Histogram::of_counts(),
            written_bytes,
            moved_bytes,
            began: Mutex::new(None),
        }
    }
}

impl Observer for JournalMetrics {
    fn sync_begins(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn synced(&self, records: usize, bytes: usize) {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(began) = began {
            self.sync_duration.record(began.elapsed());
        }
        self.sync_records.record_count(records as u64);
        self.written_bytes.increment(bytes as u64);
    }

    fn moved(&self, _records: u64, bytes: u64) {
        self.moved_bytes.increment(bytes);
    }
}
