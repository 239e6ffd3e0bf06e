//! When each lease ends.

use std::collections::{BTreeMap, BTreeSet};

use swarmmq_protocol::service::InstanceKey;

/// The ends of leases, by time and by instance.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_end: BTreeSet<(u64, InstanceKey)>,
    ends: BTreeMap<InstanceKey, u64>,
}

impl Leases {
    /// The lease of `key` ends at `end_ms` from now on.
    pub(super) fn renew(&mut self, key: &InstanceKey, end_ms: u64) {
        if let Some(before) = self.ends.insert(key.clone(), end_ms) {
            self.by_end.remove(&(before, key.clone()));
        }
        self.by_end.insert((end_ms, key.clone()));
    }

    pub(super) fn remove(&mut self, key: &InstanceKey) {
        if let Some(end_ms) = self.ends.remove(key) {
            self.by_end.remove(&(end_ms, key.clone()));
        }
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.by_end.first().map(|(end_ms, _)| *end_ms)
    }

    /// Takes out one that has ended by `now_ms`, the oldest first.
    pub(super) fn take_ended(&mut self, now_ms: u64) -> Option<InstanceKey> {
        self.by_end.first().filter(|(end_ms, _)| *end_ms <= now_ms)?;
        let (_, key) = self.by_end.pop_first()?;
        self.ends.remove(&key);
        Some(key)
    }
}
