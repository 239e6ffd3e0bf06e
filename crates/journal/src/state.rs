//! Everything the handles and the writer share, behind one short lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::error::{AppendRefusal, JournalError};
use crate::format::{IndexRecord, Kind, RECORD_HEADER_BYTES, TAG_BYTES};
use crate::group::{Group, Meta, Place};
use crate::journal::Stats;
use crate::options::{Observer, Options};
use crate::segment::Segment;
use crate::table::{ADOPTED, HELD, Slot};
use crate::{Completion, Entry, GroupId};

/// What a payload in the hot tail costs beside its bytes.
pub(crate) const HOT_OVERHEAD_BYTES: usize = 64;

/// What a queued operation costs beside its payload.
const QUEUED_OVERHEAD_BYTES: usize = 64;

pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) journal: [u8; 16],
    pub(crate) state: Mutex<State>,
    pub(crate) work: Condvar,
    pub(crate) wake: Mutex<Option<Wake>>,
    pub(crate) observer: Mutex<Option<Arc<dyn Observer>>>,
    /// One snapshot is written at a time.
    pub(crate) snapshots: Mutex<()>,
}

impl Shared {
    /// Stops the journal for good, and says so once.
    pub(crate) fn poison(&self, error: JournalError) {
        let first = {
            let mut state = self.state.lock();
            let first = state.poisoned.is_none();
            state.poisoned.get_or_insert_with(|| error.clone());
            first
        };
        if first {
            tracing::error!(%error, "the journal stopped");
            if let Some(fatal) = &self.options.fatal {
                fatal(&error);
            }
        }
    }
}

/// What was asked of the writer.
#[derive(Debug)]
pub(crate) enum Op {
    Entries {
        kind: Kind,
        group: GroupId,
        entries: Vec<Entry>,
    },
    Small {
        kind: Kind,
        group: GroupId,
        index: u64,
        term: u64,
        value: Bytes,
    },
    /// Complete in order, with nothing to write.
    Nothing(Result<(), JournalError>),
}

pub(crate) struct Queued {
    pub(crate) sequence: u32,
    pub(crate) bytes: usize,
    pub(crate) op: Op,
    pub(crate) done: Option<Completion>,
}

/// What is alive in one segment.
pub(crate) struct FileState {
    pub(crate) segment: Arc<Segment>,
    pub(crate) live_records: u64,
    pub(crate) live_bytes: u64,
    /// Truncate records: needed for as long as older records exist elsewhere.
    pub(crate) truncations: u64,
    /// The newest segment of origin of any of them.
    pub(crate) truncated_up_to: u32,
    /// The oldest segment of origin of any record in it.
    pub(crate) origin: u32,
    /// Where the records end.
    pub(crate) end: u64,
    /// Header checksum of the last record.
    pub(crate) last: u32,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    pub(crate) sealed: bool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) files: BTreeMap<u32, FileState>,
    pub(crate) queue: Vec<Queued>,
    pub(crate) queue_bytes: usize,
    pub(crate) next_sequence: u32,
    /// Small values that ride with the next write.
    pub(crate) lazy: BTreeMap<(GroupId, u8), u32>,
    pub(crate) hot_order: VecDeque<(GroupId, u64)>,
    pub(crate) hot_bytes: usize,
    pub(crate) hot_bytes_max: usize,
    pub(crate) encrypted: bool,
    pub(crate) holds_restored: bool,
    /// Something died since the writer last looked for segments to reclaim.
    pub(crate) reclaim_due: bool,
    pub(crate) closed: bool,
    pub(crate) writer_gone: bool,
    pub(crate) poisoned: Option<JournalError>,
    /// Preallocated bytes not yet written, and whether the last allocation failed.
    pub(crate) room: u64,
    pub(crate) full: bool,
    pub(crate) stats: Stats,
}

impl State {
    pub(crate) fn record_bytes(&self, length: u32) -> u64 {
        let tag = if self.encrypted { TAG_BYTES } else { 0 };
        (RECORD_HEADER_BYTES + tag) as u64 + u64::from(length)
    }

    /// Why nothing can be submitted any more, if so.
    pub(crate) fn refusal(&self) -> Option<JournalError> {
        if let Some(error) = &self.poisoned {
            return Some(error.clone());
        }
        (self.closed || self.writer_gone).then_some(JournalError::Closed)
    }

    /// Queues an operation and says whether the writer may be asleep.
    pub(crate) fn push(&mut self, op: Op, bytes: usize, done: Option<Completion>) -> (u32, bool) {
        let sequence = self.sequence();
        let bytes = bytes + QUEUED_OVERHEAD_BYTES;
        let was_empty = self.queue.is_empty();
        self.queue_bytes += bytes;
        self.queue.push(Queued { sequence, bytes, op, done });
        (sequence, was_empty)
    }

    /// The next submission number. It only tells apart submissions that wait at the same time.
    pub(crate) fn sequence(&mut self) -> u32 {
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.next_sequence
    }

    /// The number the next [`push`](Self::push) will give.
    fn coming_sequence(&self) -> u32 {
        self.next_sequence.wrapping_add(1)
    }

    /// Takes entries into the index and the hot tail, as waiting for the coming submission.
    pub(crate) fn enter(&mut self, id: GroupId, entries: &[Entry]) -> Result<usize, AppendRefusal> {
        let sequence = self.coming_sequence();
        let group = self.groups.entry(id).or_default();
        let mut expected = entries.first().map_or(0, |entry| entry.index);
        if let (Some(first), Err(expected)) = (entries.first(), group.expects(expected)) {
            return Err(AppendRefusal::Gap { group: id, expected, found: first.index });
        }
        for entry in entries {
            if entry.index != expected {
                return Err(AppendRefusal::Gap { group: id, expected, found: entry.index });
            }
            expected = expected.wrapping_add(1);
        }
        let Some(last) = entries.last() else {
            return Ok(0);
        };
        let (end, last) = (last.index, (last.index, last.term));
        let mut bytes = 0;
        let mut replaced = Vec::new();
        for entry in entries {
            let slot = Slot {
                term: entry.term,
                segment: 0,
                offset: sequence,
                length: entry.payload.len() as u32,
                flags: 0,
            };
            if let Some(old) = group.table.insert(entry.index, slot) {
                replaced.push((entry.index, old));
            }
            if group.hot.is_empty() {
                group.hot_first = entry.index;
            }
            group.hot.push_back(entry.payload.clone());
            bytes += entry.payload.len();
        }
        group.last = Some(last);
        for (index, old) in &replaced {
            if let Some(slot) = group.table.get_mut(*index) {
                slot.flags |= old.flags & HELD;
            }
        }
        self.hot_bytes += bytes + entries.len() * HOT_OVERHEAD_BYTES;
        self.hot_order.push_back((id, end));
        for (_, old) in replaced {
            self.died(old.segment, old.length);
        }
        self.trim_hot();
        Ok(bytes)
    }

    /// Takes entries that a snapshot refers to, outside the log; held at once. Those present stay.
    pub(crate) fn enter_adopted(&mut self, id: GroupId, entries: &mut Vec<Entry>) -> usize {
        let sequence = self.coming_sequence();
        let group = self.groups.entry(id).or_default();
        entries.retain(|entry| match group.table.get_mut(entry.index) {
            Some(slot) => {
                slot.flags |= HELD;
                false
            }
            None => true,
        });
        let mut bytes = 0;
        for entry in entries.iter() {
            let slot = Slot {
                term: entry.term,
                segment: 0,
                offset: sequence,
                length: entry.payload.len() as u32,
                flags: HELD | ADOPTED,
            };
            group.table.insert(entry.index, slot);
            group.waiting.insert(entry.index, entry.payload.clone());
            bytes += entry.payload.len();
        }
        bytes
    }

    /// Removes the log's entries from `from` on.
    pub(crate) fn truncate(&mut self, id: GroupId, from: u64) -> Result<(), AppendRefusal> {
        let group = self.groups.entry(id).or_default();
        if group.is_purged(from) {
            return Err(AppendRefusal::TruncatesPurged {
                group: id,
                from,
                purged: group.purged.map_or(0, |(purged, _)| purged),
            });
        }
        let mut dead = Vec::new();
        group.table.remove_where(
            from,
            u64::MAX,
            |_, slot| !slot.is_adopted(),
            |_, slot| dead.push((slot.segment, slot.length)),
        );
        let kept = usize::try_from(from.saturating_sub(group.hot_first)).unwrap_or(usize::MAX);
        let gone: usize = group
            .hot
            .drain(kept.min(group.hot.len())..)
            .map(|payload| payload.len() + HOT_OVERHEAD_BYTES)
            .sum();
        group.last = group.last_known();
        self.hot_bytes = self.hot_bytes.saturating_sub(gone);
        for (segment, length) in dead {
            self.died(segment, length);
        }
        Ok(())
    }

    /// Moves the beginning of the log behind `index`, and says whether that changed anything.
    pub(crate) fn purge(&mut self, id: GroupId, index: u64, term: u64, place: Place) -> bool {
        let restored = self.holds_restored;
        let group = self.groups.entry(id).or_default();
        if group.is_purged(index) {
            return false;
        }
        let from = group.purged.map_or(0, |(purged, _)| purged + 1);
        let mut dead = Vec::new();
        if restored {
            group.table.remove_where(
                from,
                index,
                |_, slot| !slot.is_held(),
                |_, slot| dead.push((slot.segment, slot.length)),
            );
        }
        group.purged = Some((index, term));
        let last = group.last.map_or(0, |(last, _)| last);
        if last <= index {
            group.last = group.purged;
        }
        if last < index {
            let aside = group.set_hot_aside();
            self.hot_bytes = self.hot_bytes.saturating_sub(aside);
        }
        if let Some(old) = group.purge_place.replace(place) {
            dead.push((old.segment, old.length));
        }
        for (segment, length) in dead {
            self.died(segment, length);
        }
        true
    }

    pub(crate) fn set_meta(&mut self, id: GroupId, key: u8, value: Bytes, place: Place) {
        let group = self.groups.entry(id).or_default();
        if let Some(old) = group.metas.insert(key, Meta { value, place }) {
            self.died(old.place.segment, old.place.length);
        }
    }

    /// Removes what was purged, or adopted, and is held by nobody.
    pub(crate) fn drop_unheld(&mut self) {
        let mut dead = Vec::new();
        for group in self.groups.values_mut() {
            let purged = group.purged;
            group.table.remove_where(
                0,
                u64::MAX,
                |index, slot| {
                    !slot.is_held()
                        && (slot.is_adopted() || purged.is_some_and(|(purged, _)| index <= purged))
                },
                |_, slot| dead.push((slot.segment, slot.length)),
            );
        }
        for (segment, length) in dead {
            self.died(segment, length);
        }
        self.holds_restored = true;
        self.reclaim_due = true;
    }

    pub(crate) fn hold(&mut self, id: GroupId, index: u64) -> bool {
        let slot = self.groups.get_mut(&id).and_then(|group| group.table.get_mut(index));
        match slot {
            Some(slot) => {
                slot.flags |= HELD;
                true
            }
            None => false,
        }
    }

    pub(crate) fn release(&mut self, id: GroupId, index: u64) {
        let restored = self.holds_restored;
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let purged = group.is_purged(index);
        let Some(slot) = group.table.get_mut(index) else {
            return;
        };
        slot.flags &= !HELD;
        if restored && (purged || slot.is_adopted()) {
            let (segment, length) = (slot.segment, slot.length);
            group.table.remove(index);
            group.waiting.remove(&index);
            self.died(segment, length);
        }
    }

    /// Counts a record as dead in its segment.
    pub(crate) fn died(&mut self, segment: u32, length: u32) {
        let bytes = self.record_bytes(length);
        if let Some(file) = self.files.get_mut(&segment) {
            file.live_records = file.live_records.saturating_sub(1);
            file.live_bytes = file.live_bytes.saturating_sub(bytes);
            self.reclaim_due = true;
        }
    }

    /// Counts a record as alive in its segment.
    pub(crate) fn born(&mut self, segment: u32, length: u32) {
        let bytes = self.record_bytes(length);
        if let Some(file) = self.files.get_mut(&segment) {
            file.live_records += 1;
            file.live_bytes += bytes;
        }
    }

    /// A record of submission `sequence` became durable at its place, unless it died meanwhile.
    pub(crate) fn settle(&mut self, record: &IndexRecord, segment: u32, sequence: u32) {
        let place = Place { segment, offset: record.offset, length: record.length };
        let Some(group) = self.groups.get_mut(&GroupId(record.group)) else {
            return;
        };
        let settled = match record.kind {
            Kind::Entry | Kind::Adopted => match group.table.get_mut(record.index) {
                Some(slot) if slot.segment == 0 && slot.offset == sequence => {
                    slot.segment = segment;
                    slot.offset = record.offset;
                    group.waiting.remove(&record.index);
                    true
                }
                _ => false,
            },
            Kind::Meta => match group.metas.get_mut(&(record.index as u8)) {
                Some(meta) if meta.place.segment == 0 && meta.place.offset == sequence => {
                    meta.place = place;
                    true
                }
                _ => false,
            },
            Kind::Purge => match &mut group.purge_place {
                Some(old) if old.segment == 0 && old.offset == sequence => {
                    *old = place;
                    true
                }
                _ => false,
            },
            Kind::Truncate => {
                if let Some(file) = self.files.get_mut(&segment) {
                    file.truncations += 1;
                    file.truncated_up_to = file.truncated_up_to.max(record.origin);
                }
                false
            }
            Kind::Files => false,
        };
        if settled {
            self.born(segment, record.length);
        }
    }

    /// Forgets the oldest payloads that are durable until the hot tail is within its limit.
    pub(crate) fn trim_hot(&mut self) {
        while self.hot_bytes > self.hot_bytes_max {
            let Some(&(id, end)) = self.hot_order.front() else {
                return;
            };
            let Some(group) = self.groups.get_mut(&id) else {
                self.hot_order.pop_front();
                continue;
            };
            if group.hot.is_empty() || group.hot_first > end {
                self.hot_order.pop_front();
                continue;
            }
            let waits = group.table.get(group.hot_first).is_some_and(|slot| slot.segment == 0);
            if waits {
                return;
            }
            if let Some(payload) = group.hot.pop_front() {
                self.hot_bytes = self.hot_bytes.saturating_sub(payload.len() + HOT_OVERHEAD_BYTES);
                group.hot_first += 1;
            }
        }
    }
}
