//! The one writer: it turns everything queued into one write and one sync.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::Completion;
use crate::batch::{Batch, Draft};
use crate::disk::DiskLock;
use crate::error::JournalError;
use crate::fault::{self, Fault};
use crate::format::{FileList, FileName, Kind};
use crate::mark::Marker;
use crate::options::Observer;
use crate::reclaim::Reclaim;
use crate::state::{FileState, Op, Queued, Shared, State};
use crate::tail::{DiskFailure, FILES_DRAFT, Spare, Tail, make_spare};

/// Records whose places are told to readers under one hold of the lock.
const SETTLE_RECORDS: usize = 1024;

/// Under load, steps between looks for segments to reclaim.
const RECLAIM_EVERY_STEPS: u32 = 64;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Step {
    /// Something was written, or a chore done: there may be more.
    Worked,
    /// There is nothing to do.
    Idle,
    /// The disk is full and what waits needs room: try again later.
    Stalled,
}

/// Writes what the handles submit. Exactly one exists for an open journal.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    _lock: Box<dyn DiskLock>,
    backlog: VecDeque<Queued>,
    /// Entries of the first queued operation that earlier batches took.
    front_taken: usize,
    batch: Batch,
    /// Operations that complete with the batch.
    riding: Vec<Riding>,
    pub(crate) tail: Tail,
    pub(crate) list: FileList,
    pub(crate) spares: Vec<Spare>,
    pub(crate) next_spare: u32,
    marker: Marker,
    /// Index files not yet written.
    pub(crate) unindexed: VecDeque<(u32, Vec<u8>)>,
    pub(crate) reclaim: Reclaim,
    steps: u32,
    failed: Option<JournalError>,
}

struct Riding {
    done: Option<Completion>,
    bytes: usize,
    result: Result<(), JournalError>,
    lists_files: bool,
}

enum Gathered {
    Ready,
    Nothing,
    NoRoom,
}

/// What a writer starts with.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lock: Box<dyn DiskLock>,
    pub(crate) tail: Tail,
    pub(crate) list: FileList,
    pub(crate) spares: Vec<Spare>,
    pub(crate) next_spare: u32,
    pub(crate) marker: Marker,
    pub(crate) unindexed: VecDeque<(u32, Vec<u8>)>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(parts: Parts) -> Self {
        let writer = Self {
            shared: parts.shared,
            _lock: parts.lock,
            backlog: VecDeque::new(),
            front_taken: 0,
            batch: Batch::default(),
            riding: Vec::new(),
            tail: parts.tail,
            list: parts.list,
            spares: parts.spares,
            next_spare: parts.next_spare,
            marker: parts.marker,
            unindexed: parts.unindexed,
            reclaim: Reclaim::default(),
            steps: 0,
            failed: None,
        };
        writer.tell_room();
        writer
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Writes and syncs one batch of what waits and completes it, then does one chore at most. Never waits for work.
    pub fn step(&mut self) -> Step {
        self.drive(false)
    }

    /// As [`step`](Self::step), and does what is put off under load: advances the durable mark, writes
    /// lazy values, looks for segments to reclaim, tries a full disk again. Call it when nothing was to do for a while.
    pub fn idle(&mut self) -> Step {
        self.drive(true)
    }

    /// Writes until all handles are dropped or the journal is closed, then flushes and ends.
    ///
    /// It ends early when the journal is poisoned. Meant for a thread of its own.
    pub fn run(mut self) {
        let pause = Duration::from_millis(self.shared.options.idle_ms);
        loop {
            let step = self.step();
            if self.failed.is_some() {
                return;
            }
            let timed_out = {
                let mut state = self.shared.state.lock();
                match step {
                    Step::Worked => continue,
                    Step::Idle if !state.queue.is_empty() => continue,
                    _ if state.closed => break,
                    _ => self.shared.work.wait_for(&mut state, pause).timed_out(),
                }
            };
            if timed_out {
                let _ = self.idle();
            }
        }
        self.finish();
    }

    /// Writes what waits, as far as there is room, and the mark.
    pub fn finish(mut self) {
        while self.idle() == Step::Worked {}
    }

    fn drive(&mut self, idle: bool) -> Step {
        if self.failed.is_none() {
            // A snapshot's sync may have failed meanwhile: nothing is acknowledged after it.
            self.failed = self.shared.state.lock().poisoned.clone();
        }
        if let Some(error) = self.failed.clone() {
            return if self.fail_all(&error) { Step::Worked } else { Step::Idle };
        }
        self.steps = self.steps.wrapping_add(1);
        match self.work(idle) {
            Ok(step) => step,
            Err(failure) => {
                self.poison(failure.into());
                Step::Worked
            }
        }
    }

    fn work(&mut self, idle: bool) -> Result<Step, DiskFailure> {
        self.collect(idle);
        let gathered = if self.riding.is_empty() && self.batch.is_empty() {
            self.gather_with_room()?
        } else {
            Gathered::Ready
        };
        let written = match gathered {
            Gathered::Ready => self.flush()?,
            Gathered::Nothing => false,
            Gathered::NoRoom => {
                let _ = self.chores(true)?;
                return Ok(Step::Stalled);
            }
        };
        if matches!(gathered, Gathered::Ready) && !written {
            let _ = self.chores(true)?;
            return Ok(Step::Stalled);
        }
        let chore = self.chores(idle)?;
        Ok(if written || chore { Step::Worked } else { Step::Idle })
    }

    /// Takes over what was queued; lazy values ride along, or go by themselves when idle.
    fn collect(&mut self, idle: bool) {
        let mut state = self.shared.state.lock();
        if idle || !state.queue.is_empty() {
            queue_lazy(&mut state);
        }
        self.backlog.extend(state.queue.drain(..));
    }

    fn gather_with_room(&mut self) -> Result<Gathered, DiskFailure> {
        self.batch.begin(self.tail.end, self.tail.chain);
        match self.gather() {
            Gathered::NoRoom => {}
            gathered => return Ok(gathered),
        }
        if !self.roll()? {
            return Ok(Gathered::NoRoom);
        }
        self.batch.begin(self.tail.end, self.tail.chain);
        Ok(self.gather())
    }

    /// Encodes what waits into the batch until it is large enough or the segment is full.
    fn gather(&mut self) -> Gathered {
        let options = &self.shared.options;
        let limit = options.segment_bytes;
        let segment = &self.tail.segment;
        while let Some(front) = self.backlog.front() {
            let mut taken = self.front_taken;
            let whole = loop {
                let list;
                let (draft, payload) = match &front.op {
                    Op::Nothing(_) => break true,
                    Op::Small { kind: Kind::Files, .. } => {
                        if taken > 0 {
                            break true;
                        }
                        let mut next = self.list.clone();
                        self.reclaim.apply(&mut next);
                        list = Bytes::from(next.encode());
                        (FILES_DRAFT, &list)
                    }
                    Op::Small { .. } | Op::Entries { .. } => match draft(&front.op, taken) {
                        Some(next) => next,
                        None => break true,
                    },
                };
                let size = segment.record_bytes(payload.len());
                if u64::from(self.batch.end()) + size as u64 > limit {
                    break false;
                }
                if self.batch.records.len() >= options.batch_records
                    || !self.batch.is_empty() && self.batch.bytes + size > options.batch_bytes
                {
                    break false;
                }
                self.batch.push(segment, draft, payload, front.sequence);
                taken += 1;
            };
            if !whole {
                self.front_taken = taken;
                break;
            }
            self.front_taken = 0;
            if let Some(queued) = self.backlog.pop_front() {
                let lists_files = matches!(queued.op, Op::Small { kind: Kind::Files, .. });
                if lists_files {
                    self.reclaim.apply(&mut self.list);
                }
                let result = match queued.op {
                    Op::Nothing(result) => result,
                    _ => Ok(()),
                };
                self.riding.push(Riding { done: queued.done, bytes: queued.bytes, result, lists_files });
            }
        }
        if !self.batch.is_empty() || !self.riding.is_empty() {
            Gathered::Ready
        } else if self.backlog.is_empty() {
            Gathered::Nothing
        } else {
            Gathered::NoRoom
        }
    }

    /// Writes and syncs the batch and completes what rides on it; false when the disk is full.
    fn flush(&mut self) -> Result<bool, DiskFailure> {
        if !self.batch.is_empty() {
            let observer = self.shared.observer.lock().clone();
            if let Some(observer) = &observer {
                observer.sync_begins();
            }
            let file = &self.tail.segment.file;
            if let Err(error) = self.batch.write(file.as_ref()) {
                let failure = DiskFailure::new("write", self.tail.segment.name(), error);
                if failure.is_full() {
                    self.shared.state.lock().full = true;
                    return Ok(false);
                }
                return Err(failure);
            }
            self.sync_tail()?;
            self.settle(observer.as_deref());
        }
        self.complete();
        Ok(true)
    }

    fn sync_tail(&self) -> Result<(), DiskFailure> {
        if fault::active(Fault::SkipSync) {
            return Ok(());
        }
        let file = &self.tail.segment.file;
        let mut synced = file.sync_data();
        if synced.is_err() && fault::active(Fault::RetrySync) {
            synced = file.sync_data();
        }
        synced.map_err(|error| DiskFailure::new("sync", self.tail.segment.name(), error))
    }

    /// Tells readers where the batch's records are now.
    fn settle(&mut self, observer: Option<&dyn Observer>) {
        let number = self.tail.segment.number();
        for records in self.batch.records.chunks(SETTLE_RECORDS) {
            for (record, _) in records {
                self.tail.index.push(record);
            }
            let mut state = self.shared.state.lock();
            for (record, sequence) in records {
                state.settle(record, number, *sequence);
            }
        }
        self.tail.end = self.batch.end();
        self.tail.chain = self.batch.chain;
        self.marker.note(self.batch.bytes);
        let (records, bytes) = (self.batch.records.len(), self.batch.bytes);
        {
            let mut state = self.shared.state.lock();
            state.trim_hot();
            state.stats.syncs += 1;
            state.stats.records_synced += records as u64;
            state.stats.bytes_synced += bytes as u64;
            state.stats.batch_records_max = state.stats.batch_records_max.max(records as u64);
            if let Some(file) = state.files.get_mut(&number) {
                file.end = u64::from(self.tail.end);
                file.last = self.tail.chain;
            }
        }
        self.tell_room();
        if let Some(observer) = observer {
            observer.synced(records, bytes);
        }
    }

    /// Runs the completions of what is durable, in order.
    fn complete(&mut self) {
        self.batch.begin(self.tail.end, self.tail.chain);
        let bytes: usize = self.riding.iter().map(|riding| riding.bytes).sum();
        {
            let mut state = self.shared.state.lock();
            state.queue_bytes = state.queue_bytes.saturating_sub(bytes);
        }
        for riding in std::mem::take(&mut self.riding) {
            if riding.lists_files {
                self.reclaim.listed();
            }
            if let Some(done) = riding.done {
                done(riding.result);
            }
        }
    }

    /// Seals the tail and begins the next segment; false when there is no room for one.
    fn roll(&mut self) -> Result<bool, DiskFailure> {
        let shared = self.shared.clone();
        let options = &shared.options;
        // A list that fills half a segment leaves no room for what callers may submit.
        let list_fits = self.list.encoded_length() as u64 * 2 + 1024 < options.segment_bytes;
        if !list_fits || (self.spares.is_empty() && !self.add_spare()?) {
            self.shared.state.lock().full = true;
            return Ok(false);
        }
        let Some(spare) = self.spares.pop() else {
            return Ok(false);
        };
        let sealed = self.tail.sealed();
        let number = self.tail.segment.number();
        let mut list = self.list.clone();
        list.sealed.insert(number, sealed);
        let begun = Tail::begin(
            self.shared.disk.as_ref(),
            options,
            self.shared.journal,
            &spare,
            Some((number, sealed)),
            &mut list,
        );
        let tail = match begun {
            Ok(tail) => tail,
            Err(failure) if failure.is_full() => {
                self.spares.push(spare);
                self.shared.state.lock().full = true;
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        };
        let old = std::mem::replace(&mut self.tail, tail);
        self.list = list;
        let index = old.index.finish(self.shared.journal, sealed.end, sealed.last);
        self.unindexed.push_back((number, index));
        {
            let mut state = self.shared.state.lock();
            if let Some(file) = state.files.get_mut(&number) {
                file.sealed = true;
            }
            state.reclaim_due = true;
            let file = FileState::tail(&self.tail, options.segment_bytes);
            state.files.insert(self.tail.segment.number(), file);
        }
        self.advance_mark()?;
        self.tell_room();
        Ok(true)
    }

    /// One thing that can wait; says whether there was one.
    fn chores(&mut self, idle: bool) -> Result<bool, DiskFailure> {
        if let Some((number, index)) = self.unindexed.pop_front() {
            self.write_index(number, &index)?;
            return Ok(true);
        }
        let shared = self.shared.clone();
        let options = &shared.options;
        let full = self.shared.state.lock().full;
        let lacking = self.spares.len() < options.spare_segments;
        if (lacking && (!full || idle)) && self.add_spare()? {
            return Ok(true);
        }
        if !lacking && full {
            self.shared.state.lock().full = false;
        }
        let marker = &self.marker;
        let behind = marker.bytes >= options.mark_bytes || marker.batches >= options.mark_batches || idle;
        if behind && self.advance_mark()? {
            return Ok(true);
        }
        let look = idle || self.steps.is_multiple_of(RECLAIM_EVERY_STEPS);
        self.reclaim_slice(look)
    }

    fn advance_mark(&mut self) -> Result<bool, DiskFailure> {
        let segment = self.tail.segment.number();
        let advanced = self.marker.advance(segment, self.tail.end)?;
        if advanced {
            self.shared.state.lock().stats.marks += 1;
        }
        Ok(advanced)
    }

    /// Allocates a segment ahead; false when the disk is full.
    fn add_spare(&mut self) -> Result<bool, DiskFailure> {
        let number = self.next_spare;
        let bytes = self.shared.options.segment_bytes;
        match make_spare(self.shared.disk.as_ref(), number, bytes) {
            Ok(spare) => {
                self.next_spare += 1;
                self.spares.push(spare);
                {
                    let mut state = self.shared.state.lock();
                    // A move that found no room may find it now.
                    state.reclaim_due |= state.full;
                    state.full = false;
                }
                self.tell_room();
                Ok(true)
            }
            Err(failure) if failure.is_full() => {
                self.shared.state.lock().full = true;
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Writes the index file of a sealed segment. Without one the segment is read through at the next start, so
    /// a full disk only costs time.
    fn write_index(&mut self, number: u32, index: &[u8]) -> Result<(), DiskFailure> {
        if !self.list.sealed.contains_key(&number) {
            return Ok(());
        }
        let name = FileName::Index(number).text();
        match crate::reclaim::write_file(self.shared.disk.as_ref(), &name, index) {
            Err(failure) if !failure.is_full() => Err(failure),
            _ => Ok(()),
        }
    }

    pub(crate) fn tell_room(&self) {
        let segment_bytes = self.shared.options.segment_bytes;
        let tail = segment_bytes.saturating_sub(u64::from(self.tail.end));
        self.shared.state.lock().room = tail + self.spares.len() as u64 * segment_bytes;
    }

    fn poison(&mut self, error: JournalError) {
        self.failed = Some(error.clone());
        self.shared.poison(error.clone());
        self.fail_all(&error);
    }

    /// Completes everything that waits with an error, in order; says whether there was anything.
    fn fail_all(&mut self, error: &JournalError) -> bool {
        let queued = std::mem::take(&mut self.shared.state.lock().queue);
        self.backlog.extend(queued);
        self.front_taken = 0;
        let mut any = false;
        for riding in self.riding.drain(..) {
            any = true;
            if let Some(done) = riding.done {
                done(Err(error.clone()));
            }
        }
        for queued in self.backlog.drain(..) {
            any = true;
            if let Some(done) = queued.done {
                let result = match queued.op {
                    Op::Nothing(Err(refused)) => refused,
                    _ => error.clone(),
                };
                done(Err(result));
            }
        }
        any
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.state.lock().writer_gone = true;
        let error = self.failed.clone().unwrap_or(JournalError::Closed);
        self.fail_all(&error);
    }
}

impl FileState {
    pub(crate) fn tail(tail: &Tail, bytes: u64) -> Self {
        Self {
            segment: tail.segment.clone(),
            live_records: 0,
            live_bytes: 0,
            truncations: 0,
            truncated_up_to: 0,
            origin: tail.segment.number(),
            end: u64::from(tail.end),
            last: tail.chain,
            bytes,
            sealed: false,
        }
    }
}

/// Queues the lazy values as ordinary ones.
pub(crate) fn queue_lazy(state: &mut State) {
    for ((group, key), sequence) in std::mem::take(&mut state.lazy) {
        let value =
            state.groups.get(&group).and_then(|group| group.metas.get(&key)).map(|meta| meta.value.clone());
        let Some(value) = value else { continue };
        state.queue.push(Queued {
            sequence,
            bytes: 0,
            op: Op::Small { kind: Kind::Meta, group, index: u64::from(key), term: 0, value },
            done: None,
        });
    }
}

/// The record number `taken` of an operation, `None` when it has no more.
fn draft(op: &Op, taken: usize) -> Option<(Draft, &Bytes)> {
    match op {
        Op::Entries { kind, group, entries } => entries.get(taken).map(|entry| {
            let draft =
                Draft { kind: *kind, group: group.0, index: entry.index, term: entry.term, origin: None };
            (draft, &entry.payload)
        }),
        Op::Small { kind, group, index, term, value } if taken == 0 => {
            let draft = Draft { kind: *kind, group: group.0, index: *index, term: *term, origin: None };
            Some((draft, value))
        }
        _ => None,
    }
}
