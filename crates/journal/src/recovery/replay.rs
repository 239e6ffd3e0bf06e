//! Bringing back the state from the indexes of all segments, in the order of history.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Indexes, Newest, Opening, RecoveryReport};
use crate::GroupId;
use crate::error::OpenError;
use crate::fault::{self, Fault};
use crate::format::{FileName, IndexFile, IndexRecord, Kind};
use crate::group::Place;
use crate::load::{load_index, open_segment};
use crate::segment::RecordFault;
use crate::state::{FileState, State};
use crate::table::{ADOPTED, Slot};

impl Opening<'_> {
    /// Replays all records of all files. Moved records take the place in history of the segment they came from.
    pub(super) fn replay(
        &self,
        state: &mut State,
        newest: &Newest,
        unindexed: &mut VecDeque<(u32, Vec<u8>)>,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let mut cold = Indexes::new();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (&number, &sealed) in &newest.list.sealed {
            let is_cold = self.names.cold.contains(&number);
            let name = if is_cold { FileName::Cold(number) } else { FileName::Hot(number) };
            let master = self.options.encryption.as_ref();
            let segment = open_segment(self.disk, name, self.journal, master)?;
            let bytes = segment.file.length().map_err(crate::error::open_io("read", &name.text()))?;
            let (index, rebuilt) = load_index(self.disk, &segment, sealed)?;
            if rebuilt {
                report.indexes_rebuilt.push(number);
                unindexed.push_back((number, index.clone()));
            }
            state.files.insert(
                number,
                FileState {
                    segment,
                    live_records: 0,
                    live_bytes: 0,
                    truncations: 0,
                    truncated_up_to: 0,
                    origin: number,
                    end: u64::from(sealed.end),
                    last: sealed.last,
                    bytes,
                    sealed: true,
                },
            );
            if is_cold {
                let origins = origins(&index, state.encrypted);
                runs.extend(origins.iter().map(|origin| (*origin, number)));
                if let Some(file) = state.files.get_mut(&number) {
                    file.origin = origins.first().copied().unwrap_or(number);
                }
                cold.insert(number, index);
            } else {
                runs.push((number, number));
                // Hot indexes are read again when their turn comes: only one is in memory at a time.
                if rebuilt {
                    cold.insert(number, index);
                }
            }
        }
        self.replay_runs(state, newest, &mut cold, runs, report)?;
        let number = newest.segment.number();
        state.files.insert(
            number,
            FileState {
                segment: newest.segment.clone(),
                live_records: 0,
                live_bytes: 0,
                truncations: 0,
                truncated_up_to: 0,
                origin: number,
                end: u64::from(newest.end),
                last: newest.chain,
                bytes: u64::from(newest.end),
                sealed: true,
            },
        );
        let index = newest.index_bytes(self.journal);
        replay_index(state, number, &index, None, report);
        unindexed.push_back((number, index));
        report.segments = state.files.len();
        finish(state)
    }

    fn replay_runs(
        &self,
        state: &mut State,
        newest: &Newest,
        kept: &mut Indexes,
        mut runs: Vec<(u32, u32)>,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        runs.sort_unstable();
        for (origin, number) in runs {
            let loaded;
            let index = match (kept.get(&number), state.files.get(&number)) {
                (Some(index), _) => index,
                (None, Some(file)) => {
                    let sealed = newest.list.sealed.get(&number).copied();
                    let Some(sealed) = sealed else { continue };
                    loaded = load_index(self.disk, &file.segment, sealed)?.0;
                    &loaded
                }
                (None, None) => continue,
            };
            replay_index(state, number, index, Some(origin), report);
        }
        Ok(())
    }
}

/// The segments of origin in a cold segment's index, rising.
fn origins(index: &[u8], encrypted: bool) -> Vec<u32> {
    let mut origins: Vec<u32> = IndexFile::decode(index)
        .into_iter()
        .flat_map(|index| index.records(encrypted))
        .map(|record| record.origin)
        .collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}

fn replay_index(
    state: &mut State,
    number: u32,
    index: &[u8],
    origin: Option<u32>,
    report: &mut RecoveryReport,
) {
    let Some(index) = IndexFile::decode(index) else {
        return;
    };
    for record in index.records(state.encrypted) {
        if origin.is_none_or(|origin| record.origin == origin) {
            report.records += u64::from(origin.is_some());
            replay_record(state, number, &record);
        }
    }
}

fn replay_record(state: &mut State, number: u32, record: &IndexRecord) {
    let id = GroupId(record.group);
    let place = Place { segment: number, offset: record.offset, length: record.length };
    match record.kind {
        Kind::Entry | Kind::Adopted => {
            let slot = Slot {
                term: record.term,
                segment: number,
                offset: record.offset,
                length: record.length,
                flags: if record.kind == Kind::Adopted { ADOPTED } else { 0 },
            };
            let group = state.groups.entry(id).or_default();
            if let Some(old) = group.table.insert(record.index, slot) {
                state.died(old.segment, old.length);
            }
            state.born(number, record.length);
        }
        Kind::Meta => {
            state.set_meta(id, record.index as u8, Bytes::new(), place);
            state.born(number, record.length);
        }
        Kind::Truncate => {
            if let Some(file) = state.files.get_mut(&number) {
                file.truncations += 1;
                file.truncated_up_to = file.truncated_up_to.max(record.origin);
            }
            if !fault::active(Fault::ForgetTruncate) {
                // Refused when live unless it lay beyond what was purged, so it cannot be refused now.
                let _ = state.truncate(id, record.index);
            }
        }
        Kind::Purge => {
            if !fault::active(Fault::ForgetPurge) && state.purge(id, record.index, record.term, place) {
                state.born(number, record.length);
            }
        }
        Kind::Files => {}
    }
}

/// Reads the small values, and checks that every log is whole.
fn finish(state: &mut State) -> Result<(), OpenError> {
    for (id, group) in &mut state.groups {
        group.last = group.last_known();
        for (key, meta) in &mut group.metas {
            let Some(file) = state.files.get(&meta.place.segment) else {
                continue;
            };
            match file.segment.read(meta.place.offset, meta.place.length) {
                Ok((header, value))
                    if (header.kind, header.group, header.index) == (Kind::Meta, id.0, u64::from(*key)) =>
                {
                    meta.value = value;
                }
                Ok(_) => {
                    return Err(meta_damage(file, meta.place, *id, "another record"));
                }
                Err(RecordFault::Invalid(found)) => {
                    return Err(meta_damage(file, meta.place, *id, found));
                }
                Err(RecordFault::Io(error)) => {
                    return Err(OpenError::Io { operation: "read", file: file.segment.name(), error });
                }
            }
        }
        let reached = group.state();
        if let (Some(first), Some((last, _))) = (reached.first, reached.last) {
            check_dense(*id, group, first, last)?;
        }
    }
    state.reclaim_due = true;
    Ok(())
}

fn meta_damage(file: &FileState, place: Place, id: GroupId, found: &str) -> OpenError {
    OpenError::Damaged(file.segment.damage(
        u64::from(place.offset),
        Some((id, 0)),
        "a small value of the group",
        found,
    ))
}

fn check_dense(id: GroupId, group: &crate::group::Group, first: u64, last: u64) -> Result<(), OpenError> {
    let mut expected = first;
    for (index, slot) in group.table.range(first, last) {
        if slot.is_adopted() {
            continue;
        }
        if index != expected {
            break;
        }
        expected += 1;
    }
    if expected == last + 1 {
        return Ok(());
    }
    Err(OpenError::Damaged(crate::error::Damage {
        file: "segment-*".to_owned(),
        offset: 0,
        record: Some((id, expected)),
        expected: format!("entries {first} to {last}"),
        found: "none".to_owned(),
    }))
}
