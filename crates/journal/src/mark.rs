//! Advancing the durable mark, lazily.

use std::sync::Arc;

use crate::disk::{DiskFile, write_bytes};
use crate::error::is_full;
use crate::format::{MARK_NAME, Mark};
use crate::tail::DiskFailure;

/// The mark's file and what was written since it was advanced.
pub(crate) struct Marker {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) mark: Mark,
    pub(crate) bytes: u64,
    pub(crate) batches: u32,
}

impl Marker {
    pub(crate) fn new(file: Arc<dyn DiskFile>, mark: Mark) -> Self {
        Self { file, mark, bytes: 0, batches: 0 }
    }

    pub(crate) fn note(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.batches += 1;
    }

    /// Makes it durable that everything before this place is. Says whether that took a write.
    pub(crate) fn advance(&mut self, segment: u32, offset: u32) -> Result<bool, DiskFailure> {
        if (self.mark.segment, self.mark.offset) == (segment, offset) {
            return Ok(false);
        }
        let mark = Mark { sequence: self.mark.sequence + 1, segment, offset, ..self.mark };
        match write_bytes(self.file.as_ref(), &mark.encode(), mark.slot_offset()) {
            Ok(()) => {}
            // The mark may lag: a file system that needs room to overwrite gets it later.
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(DiskFailure::new("write", MARK_NAME, error)),
        }
        self.file.sync_data().map_err(|error| DiskFailure::new("sync", MARK_NAME, error))?;
        self.mark = mark;
        self.bytes = 0;
        self.batches = 0;
        Ok(true)
    }
}
