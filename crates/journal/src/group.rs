//! What is known in memory of one group: where its entries are, its hot tail, its small values.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::state::HOT_OVERHEAD_BYTES;
use crate::table::Table;

/// How far a group's log reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The last purged entry, as `(index, term)`.
    pub purged: Option<(u64, u64)>,
    /// The first index of the log, when it has entries.
    pub first: Option<u64>,
    /// The last entry, as `(index, term)`; the purged one when the log is empty.
    pub last: Option<(u64, u64)>,
}

/// Where a small record is. While it is not durable, `segment` is 0 and `offset` numbers its submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A small value and the record that keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) value: Bytes,
    pub(crate) place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) table: Table,
    pub(crate) purged: Option<(u64, u64)>,
    pub(crate) purge_place: Option<Place>,
    pub(crate) last: Option<(u64, u64)>,
    pub(crate) metas: BTreeMap<u8, Meta>,
    /// The newest payloads, dense from `hot_first`.
    pub(crate) hot: VecDeque<Bytes>,
    pub(crate) hot_first: u64,
    /// Entries outside the log, and so outside the hot tail, until they are durable.
    pub(crate) waiting: BTreeMap<u64, Bytes>,
}

impl Group {
    pub(crate) fn is_purged(&self, index: u64) -> bool {
        self.purged.is_some_and(|(purged, _)| index <= purged)
    }

    /// Whether an entry with this index would continue the log, and if not, which one would.
    pub(crate) fn expects(&self, index: u64) -> Result<(), u64> {
        match self.last {
            Some((last, _)) if index == last.wrapping_add(1) => Ok(()),
            Some((last, _)) => Err(last.wrapping_add(1)),
            None if index <= 1 => Ok(()),
            None => Err(1),
        }
    }

    /// Empties the hot tail, which the log will not continue, and says what it took. Payloads that are nowhere else yet stay.
    pub(crate) fn set_hot_aside(&mut self) -> usize {
        let mut bytes = 0;
        for (index, payload) in (self.hot_first..).zip(self.hot.drain(..)) {
            bytes += payload.len() + HOT_OVERHEAD_BYTES;
            if self.table.get(index).is_some_and(|slot| slot.segment == 0) {
                self.waiting.insert(index, payload);
            }
        }
        bytes
    }

    pub(crate) fn hot_payload(&self, index: u64) -> Option<Bytes> {
        index
            .checked_sub(self.hot_first)
            .and_then(|at| self.hot.get(usize::try_from(at).ok()?))
            .or_else(|| self.waiting.get(&index))
            .cloned()
    }

    pub(crate) fn state(&self) -> GroupState {
        let last = self.last;
        let first = match (self.purged, last) {
            (_, None) => None,
            (Some((purged, _)), Some((last, _))) => (last > purged).then_some(purged + 1),
            (None, Some(_)) => {
                self.table.range(0, 1).find(|(_, slot)| !slot.is_adopted()).map(|(index, _)| index)
            }
        };
        GroupState { purged: self.purged, first, last }
    }

    /// What the log ends with, as far as the table and the purge tell.
    pub(crate) fn last_known(&self) -> Option<(u64, u64)> {
        let entry = self.table.last_of_log().map(|(index, slot)| (index, slot.term));
        match (entry, self.purged) {
            (Some(entry), Some(purged)) if entry.0 <= purged.0 => Some(purged),
            (Some(entry), _) => Some(entry),
            (None, purged) => purged,
        }
    }
}
