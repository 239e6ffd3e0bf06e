//! The broker's state machine, as consensus applies entries to it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use swarmmq_broker::{Applied, Effect, Shard as Broker};

use super::state::{Core, Shard};
use crate::consensus::{Machine, WriteSnapshot};

/// The least log between two snapshots of a shard, bytes. After a restart so much is applied again.
const SNAPSHOT_LOG_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// A snapshot is taken again after so many times its own size of log, so that writing snapshots stays
/// a fraction of writing messages.
const SNAPSHOT_LOG_FACTOR: u64 = 2;

impl Machine for Shard {
    fn apply(&self, index: u64, entry: Bytes) -> Result<Applied, String> {
        let bytes = entry.len() as u64;
        let mut core = self.core.lock();
        let before = core.broker.destinations();
        let applied = core
            .broker
            .apply(index, entry)
            .map_err(|error| format!("entry {index} of shard {} cannot be applied: {error}", self.number))?;
        self.census.moved(before, core.broker.destinations());
        self.applied.store(index, Ordering::Release);
        let mut ready = false;
        let mut outbox = false;
        for effect in &applied.effects {
            match effect {
                Effect::Hold { index } => self.hold(*index)?,
                Effect::Release { index } => self.journal.release(self.group, *index),
                Effect::Ready { destination, group } => {
                    ready |= core.takers.mark((destination.clone(), group.clone()));
                }
                Effect::GroupGone { destination, group, error } => {
                    core.takers.dismiss(&(destination.clone(), group.clone()), error);
                }
                Effect::Outbox => outbox = true,
                _ => {}
            }
        }
        let timed = core.leading.is_some();
        drop(core);
        // The dispatcher also keeps the time, which an entry may have brought forward.
        if ready || timed {
            self.work.notify_one();
        }
        if outbox {
            self.outbox.notify_one();
        }
        let log = self.log_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let limit =
            (self.snapshot_bytes.load(Ordering::Acquire) * SNAPSHOT_LOG_FACTOR).max(SNAPSHOT_LOG_BYTES_MIN);
        if log >= limit {
            self.upkeep.notify_one();
        }
        Ok(applied)
    }

    fn snapshot(&self) -> WriteSnapshot {
        let frozen = self.core.lock().broker.freeze();
        self.log_bytes.store(0, Ordering::Release);
        let length = self.snapshot_bytes.clone();
        Box::new(move || {
            let chunks = frozen.write();
            length.store(chunks.iter().map(|chunk| chunk.len() as u64).sum(), Ordering::Release);
            chunks
        })
    }

    fn restore(&self, chunks: &[Bytes]) -> Result<(), String> {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let restored = Broker::restore(chunks).map_err(|error| error.to_string())?;
        let mut core = self.core.lock();
        let before: Vec<u64> = core.broker.held().collect();
        self.census.moved(core.broker.destinations(), restored.destinations());
        core.broker = restored;
        for index in before {
            self.journal.release(self.group, index);
        }
        for index in core.broker.held() {
            // Not all need be there: what was settled since the snapshot may be gone, and the log behind
            // the snapshot says so. Once that is applied, `missing` finds what should be there and is not.
            let _there = self.journal.hold(self.group, index);
        }
        drop(core);
        self.snapshot_bytes.store(length, Ordering::Release);
        Ok(())
    }
}

impl Shard {
    /// Keeps the record with this index for as long as it holds a live message.
    fn hold(&self, index: u64) -> Result<(), String> {
        if self.journal.hold(self.group, index) {
            return Ok(());
        }
        Err(format!("the journal has no record {index} of shard {}, which holds live messages", self.number))
    }

    /// A record with live messages that the journal does not have, if there is one: damage.
    pub(super) fn missing(&self, core: &Core) -> Option<u64> {
        core.broker.held().find(|index| !self.journal.hold(self.group, *index))
    }

    /// Whether there is any log that a snapshot would spare the next start.
    pub(super) fn has_log_to_compact(&self) -> bool {
        self.log_bytes.load(Ordering::Acquire) > 0
    }

    /// Whether enough log has come since the last snapshot to take another.
    pub(super) fn wants_snapshot(&self) -> bool {
        let limit =
            (self.snapshot_bytes.load(Ordering::Acquire) * SNAPSHOT_LOG_FACTOR).max(SNAPSHOT_LOG_BYTES_MIN);
        self.log_bytes.load(Ordering::Acquire) >= limit
    }
}
