//! Copying the live records of some segments into a new cold one, slice by slice.

use std::sync::Arc;

use crate::GroupId;
use crate::batch::{Batch, Draft};
use crate::disk::{DiskFile, write_bytes};
use crate::fault::{self, Fault};
use crate::format::{
    FileName, IndexBuilder, IndexFile, IndexRecord, Kind, SEGMENT_HEADER_BYTES, SealedFile, SegmentHeader,
};
use crate::load::{LoadFault, load_index};
use crate::segment::{RecordFault, Segment};
use crate::state::{FileState, Shared, State};
use crate::tail::DiskFailure;

use super::{Moved, write_file};

/// Records copied in one slice, whatever their size.
const SLICE_RECORDS: usize = 2048;

/// Why copying stopped.
pub(super) enum CopyFault {
    /// This segment is damaged.
    Damaged(u32),
    Disk(DiskFailure),
}

impl From<DiskFailure> for CopyFault {
    fn from(failure: DiskFailure) -> Self {
        Self::Disk(failure)
    }
}

/// A cold segment in the making.
pub(super) struct Copying {
    number: u32,
    victims: Vec<u32>,
    loaded: usize,
    plan: Vec<(IndexRecord, u32)>,
    copied: usize,
    target: Option<Target>,
    moved: Vec<Moved>,
    truncations: (u64, u32),
    done: Option<SealedFile>,
}

struct Target {
    segment: Arc<Segment>,
    temporary: String,
    batch: Batch,
    index: IndexBuilder,
}

impl Copying {
    pub(super) fn new(number: u32, victims: Vec<u32>) -> Self {
        Self {
            number,
            victims,
            loaded: 0,
            plan: Vec::new(),
            copied: 0,
            target: None,
            moved: Vec::new(),
            truncations: (0, 0),
            done: None,
        }
    }

    /// Does one slice; true when the cold segment is whole and durable under its name.
    pub(super) fn slice(&mut self, shared: &Shared) -> Result<bool, CopyFault> {
        if let Some(&victim) = self.victims.get(self.loaded) {
            self.load(shared, victim)?;
            self.loaded += 1;
            if self.loaded == self.victims.len() {
                // Stable: records of one segment keep their order.
                self.plan.sort_by_key(|(record, _)| record.origin);
            }
            return Ok(false);
        }
        if self.target.is_none() {
            self.target = Some(self.begin(shared)?);
            return Ok(false);
        }
        if self.copied < self.plan.len() {
            self.copy(shared)?;
            return Ok(false);
        }
        self.complete(shared)?;
        Ok(true)
    }

    /// Plans to copy what is alive in one segment.
    fn load(&mut self, shared: &Shared, victim: u32) -> Result<(), CopyFault> {
        let (segment, sealed) = {
            let state = shared.state.lock();
            let Some(file) = state.files.get(&victim) else {
                return Ok(());
            };
            let end = file.end as u32;
            (file.segment.clone(), SealedFile { end, last: file.last })
        };
        let index = match load_index(shared.disk.as_ref(), &segment, sealed) {
            Ok((index, _)) => index,
            Err(LoadFault::Io(operation, file, error)) => {
                return Err(DiskFailure::new(operation, file, error).into());
            }
            Err(_) => return Err(CopyFault::Damaged(victim)),
        };
        let Some(index) = IndexFile::decode(&index) else {
            return Err(CopyFault::Damaged(victim));
        };
        let mut records = index.records(segment.header.encrypted).peekable();
        while records.peek().is_some() {
            let state = shared.state.lock();
            for record in records.by_ref().take(SLICE_RECORDS) {
                if self.is_needed(&state, &record, victim) {
                    self.plan.push((record, victim));
                }
            }
        }
        Ok(())
    }

    fn is_needed(&self, state: &State, record: &IndexRecord, victim: u32) -> bool {
        let here = |segment: u32, offset: u32| segment == victim && offset == record.offset;
        let group = state.groups.get(&GroupId(record.group));
        match record.kind {
            Kind::Entry | Kind::Adopted => group
                .and_then(|group| group.table.get(record.index))
                .is_some_and(|slot| here(slot.segment, slot.offset)),
            Kind::Meta if fault::active(Fault::MoveWithoutMeta) => false,
            Kind::Meta => group
                .and_then(|group| group.metas.get(&(record.index as u8)))
                .is_some_and(|meta| here(meta.place.segment, meta.place.offset)),
            Kind::Purge => group
                .and_then(|group| group.purge_place)
                .is_some_and(|place| here(place.segment, place.offset)),
            Kind::Truncate => state
                .files
                .iter()
                .any(|(number, file)| !self.victims.contains(number) && file.origin < record.origin),
            Kind::Files => false,
        }
    }

    fn begin(&self, shared: &Shared) -> Result<Target, CopyFault> {
        let mut salt = [0; 32];
        let name = FileName::Cold(self.number).text();
        let temporary = format!("{name}.tmp");
        let failed = |operation| {
            let name = temporary.clone();
            move |error| DiskFailure::new(operation, name, error)
        };
        shared.disk.random(&mut salt).map_err(failed("random"))?;
        let master = shared.options.encryption.as_ref();
        let mut header = SegmentHeader {
            checksum: 0,
            journal: shared.journal,
            number: self.number,
            cold: true,
            encrypted: master.is_some(),
            predecessor: 0,
            predecessor_end: 0,
            predecessor_last: 0,
            salt,
        };
        let encoded = header.encode();
        let file: Arc<dyn DiskFile> = shared.disk.create(&temporary).map_err(failed("create"))?;
        write_bytes(file.as_ref(), &encoded, 0).map_err(failed("write"))?;
        let mut batch = Batch::default();
        batch.begin(SEGMENT_HEADER_BYTES as u32, header.checksum);
        Ok(Target {
            segment: Arc::new(Segment::new(header, file, master)),
            temporary,
            batch,
            index: IndexBuilder::new(self.number),
        })
    }

    fn copy(&mut self, shared: &Shared) -> Result<(), CopyFault> {
        let Some(target) = &mut self.target else {
            return Ok(());
        };
        let slice_bytes = shared.options.move_slice_bytes;
        let mut slice = 0;
        while let Some((record, victim)) = self.plan.get(self.copied) {
            if slice == SLICE_RECORDS || target.batch.bytes >= slice_bytes {
                break;
            }
            slice += 1;
            self.copied += 1;
            let source = {
                let state = shared.state.lock();
                state.files.get(victim).map(|file| file.segment.clone())
            };
            let Some(source) = source else { continue };
            let payload = match source.read(record.offset, record.length) {
                Ok((_, payload)) => payload,
                Err(RecordFault::Invalid(_)) => return Err(CopyFault::Damaged(*victim)),
                Err(RecordFault::Io(error)) => {
                    return Err(DiskFailure::new("read", source.name(), error).into());
                }
            };
            let draft = Draft {
                kind: record.kind,
                group: record.group,
                index: record.index,
                term: record.term,
                origin: Some(record.origin),
            };
            target.batch.push(&target.segment, draft, &payload, 0);
            if record.kind == Kind::Truncate {
                self.truncations.0 += 1;
                self.truncations.1 = self.truncations.1.max(record.origin);
            }
            if let Some((copy, _)) = target.batch.records.last() {
                target.index.push(copy);
                self.moved.push(Moved { record: *copy, from: (*victim, record.offset) });
            }
        }
        let file = target.segment.file.as_ref();
        target.batch.write(file).map_err(|error| DiskFailure::new("write", &*target.temporary, error))?;
        let (end, chain) = (target.batch.end(), target.batch.chain);
        target.batch.begin(end, chain);
        Ok(())
    }

    fn complete(&mut self, shared: &Shared) -> Result<(), CopyFault> {
        let Some(target) = &self.target else {
            return Ok(());
        };
        let name = target.segment.name();
        let failed = |operation| {
            let name = name.clone();
            move |error| DiskFailure::new(operation, name, error)
        };
        let disk = shared.disk.as_ref();
        let sealed = SealedFile { end: target.batch.end(), last: target.batch.chain };
        target.segment.file.sync_data().map_err(failed("sync"))?;
        let index = target.index.finish(shared.journal, sealed.end, sealed.last);
        write_file(disk, &FileName::Index(self.number).text(), &index)?;
        disk.rename(&target.temporary, &name).map_err(failed("rename"))?;
        disk.sync_dir().map_err(failed("sync directory"))?;
        self.done = Some(sealed);
        Ok(())
    }

    /// The cold segment, what it holds, and the segments it replaces.
    #[expect(clippy::expect_used, reason = "called once, after the slice that completed the segment")]
    pub(super) fn finish(self) -> (FileState, SealedFile, Vec<Moved>, Vec<u32>) {
        let sealed = self.done.expect("a completed cold segment");
        let target = self.target.expect("a completed cold segment");
        let origin = self.plan.first().map(|(record, _)| record.origin);
        let file = FileState {
            segment: target.segment,
            live_records: 0,
            live_bytes: 0,
            truncations: self.truncations.0,
            truncated_up_to: self.truncations.1,
            origin: origin.unwrap_or(self.number),
            end: u64::from(sealed.end),
            last: sealed.last,
            bytes: u64::from(sealed.end),
            sealed: true,
        };
        (file, sealed, self.moved, self.victims)
    }

    /// Removes what was made so far, as far as the disk lets.
    pub(super) fn abandon(self, shared: &Shared) {
        if let Some(target) = self.target {
            for name in [
                target.temporary,
                target.segment.name(),
                FileName::Index(self.number).text(),
                format!("{}.tmp", FileName::Index(self.number).text()),
            ] {
                // Leftovers are removed at the next start.
                let _ = shared.disk.remove(&name);
            }
        }
    }
}
