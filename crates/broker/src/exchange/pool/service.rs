//! One service: who works for it, and what waits.

use std::collections::{BTreeMap, BTreeSet};

use super::request::RequestId;
use crate::exchange::PeerId;

/// A service. It is forgotten when nobody works for it and nothing waits.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Registered workers, whatever they do.
    pub(super) workers: usize,
    /// Those that wait for a request, by turn: the first has waited longest.
    pub(super) ready: BTreeMap<u64, PeerId>,
    /// What waits, oldest first.
    queue: BTreeSet<RequestId>,
    queued_bytes: usize,
}

impl Service {
    pub(super) fn is_idle(&self) -> bool {
        self.workers == 0 && self.queue.is_empty()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(super) fn first(&self) -> Option<RequestId> {
        self.queue.first().copied()
    }

    pub(super) fn push(&mut self, id: RequestId, bytes: usize) {
        if self.queue.insert(id) {
            self.queued_bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, id: RequestId, bytes: usize) {
        if self.queue.remove(&id) {
            self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        }
    }
}
