//! Reading entries back, from memory or from disk.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::ReadError;
use crate::group::Group;
use crate::journal::Journal;
use crate::segment::{RecordFault, Segment};
use crate::state::State;
use crate::table::Slot;
use crate::{Entry, GroupId};

/// Most entries one [`Journal::read_range`] returns.
const RANGE_ENTRIES_MAX: usize = 65_536;

/// A record that moves while it is read is looked up again. It moves at most once per segment it was ever in, so
/// this many changes during one read mean damage, not bad luck.
const LOOKUPS_MAX: usize = 64;

/// An entry that was found, or where it has to be read from.
enum Found {
    Hot(Entry),
    Cold { index: u64, slot: Slot, segment: Arc<Segment> },
}

impl Journal {
    /// Reads one entry, from memory or disk, verifying its checksum. `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the bytes are not what was written.
    pub fn read(&self, group: GroupId, index: u64) -> Result<Option<Entry>, ReadError> {
        let found = {
            let mut state = self.shared.state.lock();
            let found = find(&state, group, index);
            count(&mut state, found.as_ref());
            found
        };
        match found {
            None => Ok(None),
            Some(Found::Hot(entry)) => Ok(Some(entry)),
            Some(found) => self.fetch(group, found),
        }
    }

    /// Reads one entry if it is in memory. Never waits for a disk.
    #[must_use]
    pub fn read_hot(&self, group: GroupId, index: u64) -> Option<Entry> {
        let state = self.shared.state.lock();
        let group = state.groups.get(&group)?;
        let slot = group.table.get(index)?;
        hot(group, index, slot)
    }

    /// Reads the entries from `from` until before `to_exclusive`, at least one if there is one at `from`, and no
    /// more when their payloads reach `bytes_max`. Stops before the first that is not there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_range(
        &self,
        group: GroupId,
        from: u64,
        to_exclusive: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let found = self.find_range(group, from, to_exclusive, bytes_max);
        let mut entries = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Found::Hot(entry) => entries.push(entry),
                found => match self.fetch(group, found)? {
                    Some(entry) => entries.push(entry),
                    None => break,
                },
            }
        }
        Ok(entries)
    }

    fn find_range(&self, id: GroupId, from: u64, to: u64, bytes_max: usize) -> Vec<Found> {
        let mut state = self.shared.state.lock();
        let mut all = Vec::new();
        let Some(group) = state.groups.get(&id) else {
            return all;
        };
        let Some(last) = to.checked_sub(1) else {
            return all;
        };
        let mut bytes = 0usize;
        let (mut hits, mut misses) = (0, 0);
        for ((index, slot), expected) in group.table.range(from, last).zip(from..) {
            if index != expected || all.len() == RANGE_ENTRIES_MAX {
                break;
            }
            bytes = bytes.saturating_add(slot.length as usize);
            if !all.is_empty() && bytes > bytes_max {
                break;
            }
            let Some(found) = locate(&state, group, index, slot) else {
                break;
            };
            match &found {
                Found::Hot(_) => hits += 1,
                Found::Cold { .. } => misses += 1,
            }
            all.push(found);
        }
        state.stats.hot_hits += hits;
        state.stats.hot_misses += misses;
        all
    }

    /// Reads from disk, looking the entry up again when it moved or went meanwhile.
    fn fetch(&self, group: GroupId, mut found: Found) -> Result<Option<Entry>, ReadError> {
        let mut lookups = 0;
        loop {
            let (index, slot, segment) = match found {
                Found::Hot(entry) => return Ok(Some(entry)),
                Found::Cold { index, slot, segment } => (index, slot, segment),
            };
            let error = match read_slot(&segment, group, index, &slot) {
                Ok(entry) => return Ok(Some(entry)),
                Err(error) => error,
            };
            lookups += 1;
            let again = find(&self.shared.state.lock(), group, index);
            match again {
                None => return Ok(None),
                Some(Found::Cold { slot: now, .. })
                    if (now.segment, now.offset) == (slot.segment, slot.offset) || lookups > LOOKUPS_MAX =>
                {
                    return Err(error);
                }
                Some(again) => found = again,
            }
        }
    }
}

fn find(state: &State, id: GroupId, index: u64) -> Option<Found> {
    let group = state.groups.get(&id)?;
    let slot = group.table.get(index)?;
    locate(state, group, index, slot)
}

fn locate(state: &State, group: &Group, index: u64, slot: &Slot) -> Option<Found> {
    if let Some(entry) = hot(group, index, slot) {
        return Some(Found::Hot(entry));
    }
    let segment = state.files.get(&slot.segment)?.segment.clone();
    Some(Found::Cold { index, slot: *slot, segment })
}

fn hot(group: &Group, index: u64, slot: &Slot) -> Option<Entry> {
    let payload: Bytes = group.hot_payload(index)?;
    Some(Entry { index, term: slot.term, payload })
}

fn count(state: &mut State, found: Option<&Found>) {
    match found {
        Some(Found::Hot(_)) => state.stats.hot_hits += 1,
        Some(Found::Cold { .. }) => state.stats.hot_misses += 1,
        None => {}
    }
}

fn read_slot(segment: &Segment, group: GroupId, index: u64, slot: &Slot) -> Result<Entry, ReadError> {
    let damaged = |found: &str| {
        let expected = format!("the entry of term {} with {} bytes", slot.term, slot.length);
        ReadError::Damaged(segment.damage(u64::from(slot.offset), Some((group, index)), &expected, found))
    };
    let (header, payload) = match segment.read(slot.offset, slot.length) {
        Ok(read) => read,
        Err(RecordFault::Invalid(found)) => return Err(damaged(found)),
        Err(RecordFault::Io(error)) => {
            return Err(ReadError::Io {
                file: segment.name(),
                offset: u64::from(slot.offset),
                error: Arc::new(error),
            });
        }
    };
    if (header.group, header.index, header.term) != (group.0, index, slot.term) {
        return Err(damaged("another record"));
    }
    Ok(Entry { index, term: header.term, payload })
}
