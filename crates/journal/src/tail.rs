//! The segment that is being written: beginning one, and finding the end of one after a crash.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{Batch, Draft};
use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile, read_up_to, write_bytes};
use crate::error::{JournalError, OpenError, is_full};
use crate::fault::{self, Fault};
use crate::format::{
    FileList, FileName, IndexBuilder, IndexRecord, Kind, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, SealedFile, SegmentHeader,
};
use crate::options::Options;
use crate::segment::Segment;

/// Bytes read at a time when a segment is read through.
const WINDOW_BYTES: usize = 4 << 20;

/// An operation of the disk that failed.
#[derive(Debug)]
pub(crate) struct DiskFailure {
    pub(crate) operation: &'static str,
    pub(crate) file: String,
    pub(crate) error: io::Error,
}

impl DiskFailure {
    pub(crate) fn new(operation: &'static str, file: impl Into<String>, error: io::Error) -> Self {
        Self { operation, file: file.into(), error }
    }

    pub(crate) fn is_full(&self) -> bool {
        is_full(&self.error)
    }
}

impl From<DiskFailure> for JournalError {
    fn from(failure: DiskFailure) -> Self {
        Self::Poisoned { operation: failure.operation, file: failure.file, error: Arc::new(failure.error) }
    }
}

impl From<DiskFailure> for OpenError {
    fn from(failure: DiskFailure) -> Self {
        Self::Io { operation: failure.operation, file: failure.file, error: failure.error }
    }
}

/// What a crash left unfinished at the end of the newest segment. It was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file.
    pub file: String,
    /// Where the valid records end.
    pub offset: u64,
    /// What was found there.
    pub found: String,
}

/// A file allocated ahead.
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// The segment that is being written.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u32,
    pub(crate) chain: u32,
    pub(crate) index: IndexBuilder,
}

/// Makes a spare segment. The error may be that the disk is full; no file is left then.
pub(crate) fn make_spare(disk: &dyn Disk, number: u32, bytes: u64) -> Result<Spare, DiskFailure> {
    let name = FileName::Spare(number).text();
    let file = disk.create(&name).map_err(|error| DiskFailure::new("create", &*name, error))?;
    if let Err(error) = file.allocate(bytes) {
        drop(file);
        // The allocation's error is the one to tell; a leftover is removed when the journal is opened.
        let _ = disk.remove(&name);
        return Err(DiskFailure::new("allocate", name, error));
    }
    Ok(Spare { name, file })
}

impl Tail {
    /// Begins the next hot segment in `spare`: header and file list are durable before it gets its name.
    /// `list` describes all files but this one, and loses a number to it.
    pub(crate) fn begin(
        disk: &dyn Disk,
        options: &Options,
        journal: [u8; 16],
        spare: &Spare,
        predecessor: Option<(u32, SealedFile)>,
        list: &mut FileList,
    ) -> Result<Self, DiskFailure> {
        let number = list.next;
        let mut salt = [0; 32];
        disk.random(&mut salt).map_err(|error| DiskFailure::new("random", "", error))?;
        let (predecessor, sealed) = predecessor.unwrap_or((0, SealedFile { end: 0, last: 0 }));
        let mut header = SegmentHeader {
            checksum: 0,
            journal,
            number,
            cold: false,
            encrypted: options.encryption.is_some(),
            predecessor,
            predecessor_end: sealed.end,
            predecessor_last: sealed.last,
            salt,
        };
        let encoded = header.encode();
        let segment = Arc::new(Segment::new(header, spare.file.clone(), options.encryption.as_ref()));
        let mut next_list = list.clone();
        next_list.next = number + 1;
        let mut batch = Batch::default();
        batch.begin(SEGMENT_HEADER_BYTES as u32, header.checksum);
        batch.push(&segment, FILES_DRAFT, &Bytes::from(next_list.encode()), 0);
        let failed = |operation| {
            let name = spare.name.clone();
            move |error| DiskFailure::new(operation, name, error)
        };
        write_bytes(spare.file.as_ref(), &encoded, 0).map_err(failed("write"))?;
        batch.write(spare.file.as_ref()).map_err(failed("write"))?;
        spare.file.sync_data().map_err(failed("sync"))?;
        disk.rename(&spare.name, &segment.name()).map_err(failed("rename"))?;
        if !fault::active(Fault::SkipDirectorySync) {
            disk.sync_dir().map_err(failed("sync directory"))?;
        }
        *list = next_list;
        let mut index = IndexBuilder::new(number);
        for (record, _) in &batch.records {
            index.push(record);
        }
        Ok(Self { segment, end: batch.end(), chain: batch.chain, index })
    }

    pub(crate) fn sealed(&self) -> SealedFile {
        SealedFile { end: self.end, last: self.chain }
    }
}

/// What a files record is but for its payload.
pub(crate) const FILES_DRAFT: Draft = Draft { kind: Kind::Files, group: 0, index: 0, term: 0, origin: None };

/// Where the valid records of a segment end, and why there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanEnd {
    pub(crate) end: u32,
    pub(crate) chain: u32,
    pub(crate) found: &'static str,
}

/// Reads a segment in windows that grow to the record at hand.
struct Windows<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    base: u64,
    bytes: Vec<u8>,
}

impl Windows<'_> {
    /// The bytes from `offset` on, at least `wanted` unless the file ends before.
    fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let have_to = self.base + self.bytes.len() as u64;
        let need_to = (offset + wanted as u64).min(self.length);
        if offset < self.base || need_to > have_to {
            let size = (self.length.saturating_sub(offset)).min(wanted.max(WINDOW_BYTES) as u64);
            self.bytes = read_up_to(self.file, offset, size as usize)?;
            self.base = offset;
        }
        Ok(self.bytes.get((offset - self.base) as usize..).unwrap_or_default())
    }
}

/// Reads a segment's records in order until the first that is not valid, or until `limit`.
pub(crate) fn scan(
    segment: &Segment,
    limit: Option<u32>,
    mut each: impl FnMut(&RecordHeader, u32, &[u8]),
) -> io::Result<ScanEnd> {
    let length = segment.file.length()?;
    let mut windows = Windows { file: segment.file.as_ref(), length, base: 0, bytes: Vec::new() };
    let mut at =
        ScanEnd { end: SEGMENT_HEADER_BYTES as u32, chain: segment.header.checksum, found: "the end" };
    while limit != Some(at.end) {
        let offset = u64::from(at.end);
        let bytes = windows.at(offset, RECORD_HEADER_BYTES)?;
        at.found = match RecordHeader::decode(bytes, segment.seed) {
            Err(found) => {
                at.found = describe(bytes, segment.number(), found);
                break;
            }
            Ok(header) if offset + segment.record_bytes(header.length as usize) as u64 > length => {
                "a record that reaches beyond the end of the file"
            }
            Ok(header) => {
                let size = segment.record_bytes(header.length as usize);
                let bytes = windows.at(offset, size)?;
                match segment.check(bytes) {
                    Err(found) => found,
                    Ok((header, _)) if header.chain != at.chain && !fault::active(Fault::IgnoreChain) => {
                        "a record that does not follow the one before"
                    }
                    Ok((header, stored)) => {
                        each(&header, at.end, stored);
                        at.end += size as u32;
                        at.chain = header.checksum;
                        continue;
                    }
                }
            }
        };
        break;
    }
    Ok(at)
}

/// Tells unused room, which is where records normally end, from a record that is not whole.
fn describe(bytes: &[u8], number: u32, found: &'static str) -> &'static str {
    let header = bytes.get(..RECORD_HEADER_BYTES).unwrap_or(bytes);
    let mut cursor = Cursor::new(header);
    let ours = cursor.take(RECORD_HEADER_BYTES - 4).and_then(|_| cursor.u32()) == Some(number);
    if header.iter().all(|byte| *byte == 0) {
        UNUSED
    } else if ours {
        found
    } else {
        STALE
    }
}

pub(crate) const UNUSED: &str = "unused room";
pub(crate) const STALE: &str = "bytes of an earlier use of the file, or a torn header";

/// Looks beyond `end` for a valid record that says that bytes beyond `end` were durable when it was written.
pub(crate) fn evidence_beyond(segment: &Segment, end: u32) -> io::Result<Option<(u32, u32)>> {
    if fault::active(Fault::IgnoreEvidence) {
        return Ok(None);
    }
    let length = segment.file.length()?;
    let mut windows = Windows { file: segment.file.as_ref(), length, base: 0, bytes: Vec::new() };
    let tag = segment.number().to_le_bytes();
    let mut offset = u64::from(end);
    loop {
        let bytes = windows.at(offset, WINDOW_BYTES)?;
        if bytes.len() < RECORD_HEADER_BYTES {
            return Ok(None);
        }
        let tails = bytes.get(RECORD_HEADER_BYTES - 4..).unwrap_or_default();
        for (at, window) in tails.windows(4).enumerate() {
            if window != tag {
                continue;
            }
            let candidate = bytes.get(at..).unwrap_or_default();
            if let Ok(header) = RecordHeader::decode(candidate, segment.seed)
                && header.segment == segment.number()
                && header.synced_or_origin > end
            {
                let place = (offset + at as u64) as u32;
                return Ok(Some((place, header.synced_or_origin)));
            }
        }
        offset += (bytes.len() - RECORD_HEADER_BYTES + 1) as u64;
    }
}

/// A record's header as an index would tell it.
pub(crate) fn index_record(segment: &Segment, header: &RecordHeader, offset: u32) -> IndexRecord {
    IndexRecord {
        kind: header.kind,
        group: header.group,
        index: header.index,
        term: header.term,
        offset,
        length: header.length,
        origin: if segment.header.cold { header.synced_or_origin } else { segment.number() },
    }
}
