//! Which entries of the shard's log hold live messages.

use std::collections::BTreeMap;

/// Counts the live messages of each entry, and notes what changes while an entry is applied.
///
/// Changes that follow each other mostly are of one entry (a batch that was put, a run that is
/// acknowledged), so they are gathered before the map is touched.
#[derive(Debug, Default)]
pub(crate) struct Held {
    live: BTreeMap<u64, u32>,
    gathered: Option<(u64, i64)>,
    /// Entries whose count became or left zero, and whether they were held before that.
    changed: Vec<(u64, bool)>,
}

/// What changed: entries held now and not before, and the other way round. Ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) held: Vec<u64>,
    pub(crate) released: Vec<u64>,
}

impl Held {
    /// A message of the entry at `index` lives.
    pub(crate) fn hold(&mut self, index: u64) {
        self.gather(index, 1);
    }

    /// As many messages of the entry at `index` live.
    pub(crate) fn hold_many(&mut self, index: u64, count: u32) {
        self.gather(index, i64::from(count));
    }

    /// A message of the entry at `index` lives no more.
    pub(crate) fn release(&mut self, index: u64) {
        self.gather(index, -1);
    }

    /// As many messages of the entry at `index` live no more.
    pub(crate) fn release_many(&mut self, index: u64, count: u32) {
        self.gather(index, -i64::from(count));
    }

    /// What changed since the last call. An entry that is as it was before is not named.
    pub(crate) fn take_changes(&mut self) -> Changes {
        self.flush();
        let mut changed = std::mem::take(&mut self.changed);
        // Stable, so that the first note of an entry stays the first.
        changed.sort_by_key(|(index, _)| *index);
        changed.dedup_by_key(|(index, _)| *index);
        let mut changes = Changes::default();
        for (index, before) in changed {
            match (before, self.live.contains_key(&index)) {
                (false, true) => changes.held.push(index),
                (true, false) => changes.released.push(index),
                _ => {}
            }
        }
        changes
    }

    /// Indexes of held entries, ascending. Valid between entries.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u64> + '_ {
        self.live.keys().copied()
    }

    /// How many entries are held.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    fn gather(&mut self, index: u64, change: i64) {
        match &mut self.gathered {
            Some((at, sum)) if *at == index => *sum += change,
            _ => {
                self.flush();
                self.gathered = Some((index, change));
            }
        }
    }

    fn flush(&mut self) {
        let Some((index, change)) = self.gathered.take() else { return };
        if change == 0 {
            return;
        }
        let before = self.live.get(&index).copied().unwrap_or(0);
        debug_assert!(i64::from(before) + change >= 0, "what is released was held");
        let after = u32::try_from((i64::from(before) + change).max(0)).unwrap_or(u32::MAX);
        if after == 0 {
            self.live.remove(&index);
        } else {
            self.live.insert(index, after);
        }
        if (before == 0) != (after == 0) {
            self.changed.push((index, before > 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_in_between_is_not_named() {
        let mut held = Held::default();
        held.hold(7);
        held.hold(8);
        held.release(7);
        assert_eq!(held.take_changes(), Changes { held: vec![8], released: vec![] });
        held.release(8);
        held.hold(9);
        held.hold(8);
        assert_eq!(held.take_changes(), Changes { held: vec![9], released: vec![] });
        held.release(8);
        held.hold(9);
        held.release(9);
        assert_eq!(held.take_changes(), Changes { held: vec![], released: vec![8] });
        assert_eq!(held.indexes().collect::<Vec<_>>(), [9]);
    }
}
