//! Giving room back: removing dead segments, and moving what is alive out of mostly dead ones.
//!
//! ```text
//! idle ─► pick ─┬─ dead segments ────────────────────────────┐
//!               └─ mostly dead ─► loading ─► copying ─► cold ─┴─► listing ─► switching ─► removing ─► idle
//!                                 (in slices between batches)     (a files record, in the queue)
//! ```
//!
//! The files record is the moment of truth. It goes through the queue like everything else, so what made records
//! dead (a purge, a newer vote) is durable no later than the list that drops their file. A crash before it leaves an
//! unlisted cold file, a crash after it unlisted old ones: both are removed at the next start.

mod cold;
mod pick;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::disk::{Disk, write_bytes};
use crate::fault::{self, Fault};
use crate::format::{FileList, FileName, IndexRecord, Kind, SealedFile};
use crate::state::{FileState, Op, Queued};
use crate::tail::{DiskFailure, Spare};
use crate::writer::{Writer, queue_lazy};
use crate::{GroupId, state::State};
use cold::Copying;

/// Records whose place changes under one hold of the lock.
const SWITCH_RECORDS: usize = 1024;

/// A record that was copied, and where it is now.
pub(crate) struct Moved {
    pub(crate) record: IndexRecord,
    pub(crate) from: (u32, u32),
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Copying(Box<Copying>),
    /// The files record waits in the queue; then `moved` are switched to.
    Listing(Option<(FileState, Vec<Moved>)>),
    Switching(u32, Vec<Moved>),
    Removing,
}

/// What is being reclaimed.
#[derive(Default)]
pub(crate) struct Reclaim {
    stage: Stage,
    add: Option<(u32, SealedFile)>,
    remove: Vec<u32>,
    /// Segments with damaged records: they stay as they are for inspection and repair.
    damaged: BTreeSet<u32>,
    listed: bool,
}

impl Reclaim {
    /// Changes the list as the waiting files record will.
    pub(crate) fn apply(&self, list: &mut FileList) {
        if !matches!(self.stage, Stage::Listing(_)) {
            return;
        }
        for number in &self.remove {
            list.sealed.remove(number);
        }
        if let Some((number, sealed)) = self.add {
            list.sealed.insert(number, sealed);
        }
    }

    /// The files record is durable.
    pub(crate) fn listed(&mut self) {
        self.listed = true;
    }
}

impl Writer {
    /// Does a bounded piece of reclaiming; says whether there was any. `look` says whether to look for more.
    pub(crate) fn reclaim_slice(&mut self, look: bool) -> Result<bool, DiskFailure> {
        match std::mem::take(&mut self.reclaim.stage) {
            Stage::Idle => {
                if !look {
                    return Ok(false);
                }
                Ok(self.pick())
            }
            Stage::Copying(copying) => self.copy_slice(copying),
            Stage::Listing(moved) if self.reclaim.listed => {
                self.reclaim.listed = false;
                self.begin_switch(moved);
                Ok(true)
            }
            Stage::Listing(moved) => {
                self.reclaim.stage = Stage::Listing(moved);
                Ok(false)
            }
            Stage::Switching(number, moved) => {
                self.switch_slice(number, moved);
                Ok(true)
            }
            Stage::Removing => self.remove_one(),
        }
    }

    fn pick(&mut self) -> bool {
        let options = &self.shared.options;
        let mut state = self.shared.state.lock();
        if !state.holds_restored || !std::mem::take(&mut state.reclaim_due) {
            return false;
        }
        let dead = pick::dead(&state, &self.reclaim.damaged);
        if !dead.is_empty() {
            drop(state);
            self.reclaim.remove = dead;
            self.reclaim.add = None;
            if fault::active(Fault::RemoveEarly) {
                self.reclaim.stage = Stage::Removing;
                return true;
            }
            self.queue_list(None);
            return true;
        }
        let victims = pick::mostly_dead(&state, &self.reclaim.damaged, options);
        drop(state);
        if victims.is_empty() {
            return false;
        }
        let number = self.list.next;
        self.list.next += 1;
        let copying = Copying::new(number, victims);
        self.reclaim.stage = Stage::Copying(Box::new(copying));
        true
    }

    fn copy_slice(&mut self, mut copying: Box<Copying>) -> Result<bool, DiskFailure> {
        match copying.slice(&self.shared) {
            Ok(false) => {
                self.reclaim.stage = Stage::Copying(copying);
                Ok(true)
            }
            Ok(true) => {
                let (file, sealed, moved, victims) = copying.finish();
                self.reclaim.add = Some((file.segment.number(), sealed));
                self.reclaim.remove = victims;
                self.queue_list(Some((file, moved)));
                Ok(true)
            }
            Err(cold::CopyFault::Damaged(number)) => {
                self.reclaim.damaged.insert(number);
                copying.abandon(&self.shared);
                self.shared.state.lock().reclaim_due = true;
                Ok(true)
            }
            Err(cold::CopyFault::Disk(failure)) if failure.is_full() => {
                copying.abandon(&self.shared);
                // When room comes back something will have died, or the next start looks again.
                self.shared.state.lock().full = true;
                Ok(false)
            }
            Err(cold::CopyFault::Disk(failure)) => Err(failure),
        }
    }

    /// Queues the files record behind everything that was submitted so far, lazy values included.
    fn queue_list(&mut self, moved: Option<(FileState, Vec<Moved>)>) {
        self.reclaim.stage = Stage::Listing(moved);
        self.reclaim.listed = false;
        let mut state = self.shared.state.lock();
        queue_lazy(&mut state);
        let sequence = state.sequence();
        state.queue.push(Queued {
            sequence,
            bytes: 0,
            op: Op::Small { kind: Kind::Files, group: GroupId(0), index: 0, term: 0, value: Bytes::new() },
            done: None,
        });
    }

    fn begin_switch(&mut self, moved: Option<(FileState, Vec<Moved>)>) {
        let Some((file, moved)) = moved else {
            self.reclaim.stage = Stage::Removing;
            return;
        };
        let number = file.segment.number();
        self.shared.state.lock().files.insert(number, file);
        self.reclaim.stage = Stage::Switching(number, moved);
    }

    fn switch_slice(&mut self, number: u32, mut moved: Vec<Moved>) {
        let rest = moved.split_off(moved.len().min(SWITCH_RECORDS));
        let (mut records, mut bytes) = (0, 0);
        {
            let mut state = self.shared.state.lock();
            for moved in &moved {
                if switch(&mut state, number, moved) {
                    records += 1;
                    bytes += u64::from(moved.record.length);
                }
            }
            state.stats.records_moved += records;
            state.stats.bytes_moved += bytes;
        }
        let observer = self.shared.observer.lock().clone();
        if let Some(observer) = observer {
            observer.moved(records, bytes);
        }
        self.reclaim.stage = if rest.is_empty() { Stage::Removing } else { Stage::Switching(number, rest) };
    }

    /// Removes or recycles one file that is no longer listed.
    fn remove_one(&mut self) -> Result<bool, DiskFailure> {
        let Some(number) = self.reclaim.remove.pop() else {
            self.reclaim.add = None;
            let mut state = self.shared.state.lock();
            state.reclaim_due = true;
            return Ok(true);
        };
        self.reclaim.stage = Stage::Removing;
        let removed = {
            let mut state = self.shared.state.lock();
            state.stats.segments_removed += 1;
            state.files.remove(&number)
        };
        let Some(file) = removed else {
            return Ok(true);
        };
        let disk = self.shared.disk.clone();
        let options = &self.shared.options;
        let name = file.segment.name();
        let failed = |operation| {
            let name = name.clone();
            move |error| DiskFailure::new(operation, name, error)
        };
        let recycle = self.spares.len() < options.spare_segments.max(1)
            && !file.segment.header.cold
            && file.bytes == options.segment_bytes;
        if recycle {
            let spare = FileName::Spare(self.next_spare).text();
            disk.rename(&name, &spare).map_err(failed("rename"))?;
            self.next_spare += 1;
            self.spares.push(Spare { name: spare, file: file.segment.file.clone() });
            self.tell_room();
        } else {
            disk.remove(&name).map_err(failed("remove"))?;
        }
        match disk.remove(&FileName::Index(number).text()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove index of")(error))
            }
            _ => Ok(true),
        }
    }
}

/// Points at the copy, unless the record died or moved meanwhile.
fn switch(state: &mut State, number: u32, moved: &Moved) -> bool {
    let record = &moved.record;
    let Some(group) = state.groups.get_mut(&GroupId(record.group)) else {
        return false;
    };
    let place = match record.kind {
        Kind::Entry | Kind::Adopted => {
            group.table.get_mut(record.index).map(|slot| (&mut slot.segment, &mut slot.offset))
        }
        Kind::Meta => group
            .metas
            .get_mut(&(record.index as u8))
            .map(|meta| (&mut meta.place.segment, &mut meta.place.offset)),
        Kind::Purge => group.purge_place.as_mut().map(|place| (&mut place.segment, &mut place.offset)),
        Kind::Truncate | Kind::Files => None,
    };
    let Some((segment, offset)) = place else {
        return false;
    };
    if (*segment, *offset) != moved.from {
        return false;
    }
    *segment = number;
    *offset = record.offset;
    state.died(moved.from.0, record.length);
    state.born(number, record.length);
    true
}

/// Writes a file under a temporary name and gives it its own when it is durable.
pub(crate) fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), DiskFailure> {
    let temporary = format!("{name}.tmp");
    let failed = |operation| {
        let name = name.to_owned();
        move |error| DiskFailure::new(operation, name, error)
    };
    let file = disk.create(&temporary).map_err(failed("create"))?;
    write_bytes(file.as_ref(), bytes, 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.rename(&temporary, name).map_err(failed("rename"))
}
