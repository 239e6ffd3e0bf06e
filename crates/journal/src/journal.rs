//! The handle: what callers on any thread do with a journal.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::{AppendRefusal, OpenError};
use crate::format::Kind;
use crate::group::{GroupState, Place};
use crate::options::{Observer, Options};
use crate::recovery::{self, RecoveryReport};
use crate::state::{Op, Shared, State};
use crate::writer::Writer;
use crate::{Completion, Entry, GroupId, MetaKey};

/// Counters since the journal was opened, and what there is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segment files.
    pub segments: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Records still needed.
    pub live_records: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Batches synced.
    pub syncs: u64,
    /// Records synced.
    pub records_synced: u64,
    /// Bytes synced.
    pub bytes_synced: u64,
    /// Most records in one batch.
    pub batch_records_max: u64,
    /// Reads answered from memory.
    pub hot_hits: u64,
    /// Reads that went to the disk.
    pub hot_misses: u64,
    /// Records moved out of mostly dead segments.
    pub records_moved: u64,
    /// Their bytes.
    pub bytes_moved: u64,
    /// Segments removed or recycled.
    pub segments_removed: u64,
    /// Times the durable mark was advanced.
    pub marks: u64,
    /// Bytes of payload kept in memory.
    pub hot_bytes: u64,
    /// Bytes that wait for the writer.
    pub queue_bytes: u64,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Preallocated bytes that are not written yet.
    pub room_bytes: u64,
    /// Whether the last allocation found the disk full.
    pub full: bool,
    /// What only control records may use while it is.
    pub reserve_bytes: u64,
}

/// A handle on an open journal. Clones are cheap; the writer ends when all are gone.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    _alive: Arc<Alive>,
    report: Arc<RecoveryReport>,
}

/// Tells the writer when the last handle is dropped.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.notify();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn notify(&self) {
        self.work.notify_one();
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

impl Journal {
    /// Opens the journal in `disk`, making one when the directory is empty.
    ///
    /// Reads are served and appends taken at once; nothing becomes durable until the [`Writer`] runs. Nothing is
    /// reclaimed before [`holds_restored`](Self::holds_restored).
    ///
    /// # Errors
    /// [`OpenError`] says what to do for each. Damage leaves all files as they are.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Writer), OpenError> {
        options.validate()?;
        let (writer, report) = recovery::open(disk, options)?;
        let shared = writer.shared();
        let journal = Self { _alive: Arc::new(Alive(shared.clone())), shared, report: Arc::new(report) };
        Ok((journal, writer))
    }

    /// What opening found: how much there was, and whether a torn tail was cut.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Appends entries that continue the group's log. They can be read at once; `done` runs when they are durable.
    ///
    /// Completions run strictly in submission order over all groups. A group's first entry has index 0 or 1,
    /// or follows what is purged.
    ///
    /// # Errors
    /// Through `done`: [`JournalError::Refused`](crate::JournalError::Refused) when the entries leave a gap or are too large (nothing was
    /// changed then), or why the journal takes no more.
    pub fn append(&self, group: GroupId, entries: Vec<Entry>, done: Completion) {
        let limit = self.payload_bytes_max();
        self.submit(Some(done), |state| {
            too_large(&entries, limit)?;
            let bytes = state.enter(group, &entries)?;
            let bytes = bytes + entries.len() * size_of::<Entry>();
            Ok((entries_op(Kind::Entry, group, entries), bytes))
        });
    }

    /// Stores entries that a received snapshot refers to, outside the group's log. They are held at once.
    ///
    /// Entries that are there already are only held. Do this before [`write_snapshot`](Self::write_snapshot) and
    /// [`purge_to`](Self::purge_to); what is not held after a restart goes.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn adopt(&self, group: GroupId, entries: Vec<Entry>, done: Completion) {
        let limit = self.payload_bytes_max();
        self.submit(Some(done), |state| {
            let mut entries = entries;
            too_large(&entries, limit)?;
            let bytes = state.enter_adopted(group, &mut entries);
            let bytes = bytes + entries.len() * size_of::<Entry>();
            Ok((entries_op(Kind::Adopted, group, entries), bytes))
        });
    }

    /// Sets a small value of the group, such as the raft vote. The latest wins, and it outlives segments.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn put_meta(&self, group: GroupId, key: MetaKey, value: Bytes, done: Completion) {
        let limit = self.payload_bytes_max();
        self.submit(Some(done), |state| {
            check_length(value.len(), limit)?;
            state.lazy.remove(&(group, key.0));
            let bytes = value.len();
            let op =
                Op::Small { kind: Kind::Meta, group, index: u64::from(key.0), term: 0, value: value.clone() };
            Ok((op, bytes))
        });
    }

    /// Sets a small value without a sync of its own: it becomes durable with whatever is written next.
    ///
    /// A value that does not fit a record is ignored; so is any after the journal stopped.
    pub fn put_meta_lazy(&self, group: GroupId, key: MetaKey, value: Bytes) {
        if check_length(value.len(), self.payload_bytes_max()).is_err() {
            return;
        }
        let mut state = self.shared.state.lock();
        if state.refusal().is_some() {
            return;
        }
        let sequence = state.sequence();
        let place = pending(sequence, value.len());
        state.set_meta(group, key.0, value, place);
        state.lazy.insert((group, key.0), sequence);
    }

    /// The latest value set, durable or not.
    #[must_use]
    pub fn meta(&self, group: GroupId, key: MetaKey) -> Option<Bytes> {
        let state = self.shared.state.lock();
        let group = state.groups.get(&group)?;
        group.metas.get(&key.0).map(|meta| meta.value.clone())
    }

    /// Removes the log's entries after `index`. With 0 an entry of index 0 stays; see [`truncate_from`](Self::truncate_from).
    ///
    /// # Errors
    /// Through `done`: [`AppendRefusal::TruncatesPurged`], or why the journal takes no more.
    pub fn truncate_after(&self, group: GroupId, index: u64, done: Completion) {
        self.truncate_from(group, index.saturating_add(1), done);
    }

    /// Removes the log's entries from `index` on.
    ///
    /// # Errors
    /// As [`truncate_after`](Self::truncate_after).
    pub fn truncate_from(&self, group: GroupId, index: u64, done: Completion) {
        self.submit(Some(done), |state| {
            state.truncate(group, index)?;
            Ok((small(Kind::Truncate, group, index, 0), 0))
        });
    }

    /// Moves the beginning of the log behind `index`: raft needs the entries up to it no more.
    ///
    /// Those held stay readable. The term is looked up; for an index beyond the log use [`purge_to`](Self::purge_to).
    ///
    /// # Errors
    /// Through `done`: why the journal takes no more.
    pub fn purge(&self, group: GroupId, index: u64, done: Completion) {
        let term = {
            let state = self.shared.state.lock();
            let group = state.groups.get(&group);
            let known = group.and_then(|group| {
                let slot = group.table.get(index).map(|slot| slot.term);
                slot.or(group.last.map(|(_, term)| term))
            });
            known.unwrap_or(0)
        };
        self.purge_to(group, index, term, done);
    }

    /// As [`purge`](Self::purge), with the term of the entry, which may lie beyond the log: it then begins behind it.
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    pub fn purge_to(&self, group: GroupId, index: u64, term: u64, done: Completion) {
        self.submit(Some(done), |state| {
            let already = state.groups.get(&group).is_some_and(|group| group.is_purged(index));
            if already {
                return Ok((Op::Nothing(Ok(())), 0));
            }
            Ok((small(Kind::Purge, group, index, term), 0))
        });
    }

    /// Says that a live message refers to this entry, so that purging leaves it. Says whether it is there.
    ///
    /// Holds are a set, not a count, and are not durable: the state machine rebuilds them at start.
    pub fn hold(&self, group: GroupId, index: u64) -> bool {
        self.shared.state.lock().hold(group, index)
    }

    /// Takes a hold back. A purged entry is gone then.
    pub fn release(&self, group: GroupId, index: u64) {
        self.shared.state.lock().release(group, index);
    }

    /// Says that all holds are in place again after a start. Reclaiming begins now.
    pub fn holds_restored(&self) {
        self.shared.state.lock().drop_unheld();
        self.shared.notify();
    }

    /// How far the group's log reaches, counting what is not yet durable.
    #[must_use]
    pub fn state(&self, group: GroupId) -> GroupState {
        let state = self.shared.state.lock();
        state.groups.get(&group).map(|g| g.state()).unwrap_or_default()
    }

    /// The groups there is anything of.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupId> {
        self.shared.state.lock().groups.keys().copied().collect()
    }

    /// Whether `bytes` of new data may be submitted. False when the disk is nearly full, too much waits, or the journal
    /// stopped. Control records go through all the same.
    #[must_use]
    pub fn admits(&self, bytes: usize) -> bool {
        let options = &self.shared.options;
        let state = self.shared.state.lock();
        if state.refusal().is_some() || state.queue_bytes + bytes > options.queue_bytes {
            return false;
        }
        let wanted = (state.queue_bytes + bytes) as u64 + options.reserve_bytes;
        !state.full || wanted <= state.room
    }

    /// How much room there is.
    #[must_use]
    pub fn space(&self) -> Space {
        let state = self.shared.state.lock();
        Space { room_bytes: state.room, full: state.full, reserve_bytes: self.shared.options.reserve_bytes }
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        let mut stats = state.stats;
        stats.segments = state.files.len() as u64;
        for file in state.files.values() {
            stats.bytes += file.bytes;
            stats.live_records += file.live_records;
            stats.live_bytes += file.live_bytes;
        }
        stats.hot_bytes = state.hot_bytes as u64;
        stats.queue_bytes = state.queue_bytes as u64;
        stats
    }

    /// Calls `wake` whenever work appears, for a writer that is stepped by a simulator's task.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.shared.wake.lock() = Some(Arc::from(wake));
    }

    /// Has `observer` told what the writer does.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        *self.shared.observer.lock() = Some(observer);
    }

    /// Takes nothing more. The writer flushes what was submitted and ends.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.notify();
    }

    /// The largest payload of one entry.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        (self.shared.options.segment_bytes / 2) as usize
    }

    fn submit(
        &self,
        done: Option<Completion>,
        build: impl FnOnce(&mut State) -> Result<(Op, usize), AppendRefusal>,
    ) {
        let mut state = self.shared.state.lock();
        if let Some(error) = state.refusal() {
            if state.writer_gone {
                drop(state);
                if let Some(done) = done {
                    done(Err(error));
                }
                return;
            }
            // In order with what was submitted before it: the writer completes it.
            let (_, idle) = state.push(Op::Nothing(Err(error)), 0, done);
            drop(state);
            if idle {
                self.shared.notify();
            }
            return;
        }
        let (op, bytes) = match build(&mut state) {
            Ok(built) => built,
            Err(refusal) => (Op::Nothing(Err(refusal.into())), 0),
        };
        let effect = small_effect(&op);
        let (sequence, idle) = state.push(op, bytes, done);
        if let Some((kind, group, index, term, value)) = effect {
            let place = pending(sequence, value.len());
            match kind {
                Kind::Meta => state.set_meta(group, index as u8, value, place),
                Kind::Purge => {
                    state.purge(group, index, term, place);
                }
                _ => {}
            }
        }
        drop(state);
        if idle {
            self.shared.notify();
        }
    }
}

/// What a small record changes in memory once it has a submission number.
fn small_effect(op: &Op) -> Option<(Kind, GroupId, u64, u64, Bytes)> {
    match op {
        Op::Small { kind, group, index, term, value } => Some((*kind, *group, *index, *term, value.clone())),
        _ => None,
    }
}

fn pending(sequence: u32, length: usize) -> Place {
    Place { segment: 0, offset: sequence, length: length as u32 }
}

fn small(kind: Kind, group: GroupId, index: u64, term: u64) -> Op {
    Op::Small { kind, group, index, term, value: Bytes::new() }
}

fn entries_op(kind: Kind, group: GroupId, entries: Vec<Entry>) -> Op {
    if entries.is_empty() {
        return Op::Nothing(Ok(()));
    }
    Op::Entries { kind, group, entries }
}

fn too_large(entries: &[Entry], limit: usize) -> Result<(), AppendRefusal> {
    entries.iter().try_for_each(|entry| check_length(entry.payload.len(), limit))
}

fn check_length(length: usize, limit: usize) -> Result<(), AppendRefusal> {
    if length > limit {
        return Err(AppendRefusal::TooLarge { length, limit });
    }
    Ok(())
}
