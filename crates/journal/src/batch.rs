//! Records encoded for one write.

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::disk::{DiskFile, write_all};
use crate::format::{IndexRecord, Kind, RECORD_HEADER_BYTES, RecordHeader};
use crate::segment::Segment;

/// Payloads below this are copied beside their headers: a copy of this size costs less than two more parts in a
/// `pwritev` of at most 1,024.
const COPY_BELOW_BYTES: usize = 2048;

#[derive(Debug)]
enum Part {
    /// Up to this offset of the staging buffer, from where the part before it ended.
    Staged(usize),
    Shared(Bytes),
}

/// Records encoded back to back for one place in one segment.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) base: u32,
    pub(crate) bytes: usize,
    pub(crate) chain: u32,
    /// Offset below which all is synced, what hot records carry.
    synced: u32,
    staging: Vec<u8>,
    parts: Vec<Part>,
    pub(crate) records: Vec<(IndexRecord, u32)>,
}

/// What a record says, before it has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) group: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// The segment of origin of a moved record.
    pub(crate) origin: Option<u32>,
}

impl Batch {
    /// Begins again at `base`, after the record whose header checksum is `chain`, keeping the buffers.
    pub(crate) fn begin(&mut self, base: u32, chain: u32) {
        self.base = base;
        self.synced = base;
        self.chain = chain;
        self.bytes = 0;
        self.staging.clear();
        self.parts.clear();
        self.records.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Offset just past the last record.
    pub(crate) fn end(&self) -> u32 {
        self.base + self.bytes as u32
    }

    /// Encodes a record; `sequence` is the submission that brought it.
    pub(crate) fn push(&mut self, segment: &Segment, draft: Draft, payload: &Bytes, sequence: u32) {
        let offset = self.end();
        let mut header = RecordHeader {
            checksum: 0,
            payload_checksum: 0,
            chain: self.chain,
            length: payload.len() as u32,
            index: draft.index,
            term: draft.term,
            group: draft.group,
            synced_or_origin: draft.origin.unwrap_or(self.synced),
            kind: draft.kind,
            encrypted: segment.header.encrypted,
            segment: segment.number(),
        };
        if let Some(cipher) = &segment.cipher {
            let at = self.staging.len();
            self.staging.resize(at + RECORD_HEADER_BYTES, 0);
            self.staging.extend_from_slice(payload);
            let start = at + RECORD_HEADER_BYTES;
            let body = self.staging.get_mut(start..).unwrap_or_default();
            let tag = cipher.seal(u64::from(offset), &header.authenticated(), body);
            self.staging.extend_from_slice(&tag);
            header.payload_checksum = crc32c::crc32c(self.staging.get(start..).unwrap_or_default());
            let encoded = header.encode(segment.seed);
            crate::cursor::patch(&mut self.staging, at, &encoded);
            self.stage();
        } else {
            header.payload_checksum = crc32c::crc32c(payload);
            let encoded = header.encode(segment.seed);
            self.staging.extend_from_slice(&encoded);
            if payload.len() < COPY_BELOW_BYTES {
                self.staging.extend_from_slice(payload);
                self.stage();
            } else {
                self.stage();
                self.parts.push(Part::Shared(payload.clone()));
            }
        }
        self.chain = header.checksum;
        self.bytes += segment.record_bytes(payload.len());
        let record = IndexRecord {
            kind: draft.kind,
            group: draft.group,
            index: draft.index,
            term: draft.term,
            offset,
            length: header.length,
            origin: draft.origin.unwrap_or(segment.number()),
        };
        self.records.push((record, sequence));
    }

    fn stage(&mut self) {
        let end = self.staging.len();
        match self.parts.last_mut() {
            Some(Part::Staged(last)) => *last = end,
            _ => self.parts.push(Part::Staged(end)),
        }
    }

    /// Writes all records at their place.
    pub(crate) fn write(&self, file: &dyn DiskFile) -> io::Result<()> {
        let mut from = 0;
        let mut parts: Vec<IoSlice<'_>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Staged(end) => {
                    let bytes = self.staging.get(from..*end).unwrap_or_default();
                    from = *end;
                    IoSlice::new(bytes)
                }
                Part::Shared(payload) => IoSlice::new(payload),
            })
            .collect();
        write_all(file, &mut parts, u64::from(self.base))
    }
}
