//! The index file of a sealed segment: which records it holds, without their payloads.

use std::collections::BTreeMap;

use super::{
    INDEX_HEADER_BYTES, Kind, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, TAG_BYTES, VERSION, seal_checksum,
    sealed_checksum,
};
use crate::cursor::{Cursor, patch, put_varint};

const MAGIC: &[u8; 8] = b"SWMQINDX";
const HAS_GROUP: u8 = 1 << 3;
const HAS_INDEX: u8 = 1 << 4;
const HAS_TERM: u8 = 1 << 5;
const HAS_LENGTH: u8 = 1 << 6;
const HAS_ORIGIN: u8 = 1 << 7;

/// One record as its segment's index tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRecord {
    /// The kind.
    pub kind: Kind,
    /// The group.
    pub group: u32,
    /// Raft index, or what the kind makes of it.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// Where the record's header begins.
    pub offset: u32,
    /// Payload length without the tag.
    pub length: u32,
    /// The segment the record was first written to.
    pub origin: u32,
}

/// What both the encoder and the decoder predict the next record from.
#[derive(Debug, Clone)]
struct Prediction {
    group: u32,
    length: u32,
    origin: u32,
    /// The current group's last index and term, kept out of the map while the group does not change.
    index: u64,
    term: u64,
    others: BTreeMap<u32, (u64, u64)>,
}

impl Prediction {
    fn new(number: u32) -> Self {
        Self { group: 0, length: 0, origin: number, index: 0, term: 0, others: BTreeMap::new() }
    }

    fn enter(&mut self, group: u32) {
        if group != self.group {
            self.others.insert(self.group, (self.index, self.term));
            (self.index, self.term) = self.others.get(&group).copied().unwrap_or((0, 0));
            self.group = group;
        }
    }
}

/// Builds an index body record by record.
#[derive(Debug, Clone)]
pub struct IndexBuilder {
    number: u32,
    body: Vec<u8>,
    count: u32,
    prediction: Prediction,
}

impl IndexBuilder {
    /// An index of segment `number`.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self { number, body: Vec::new(), count: 0, prediction: Prediction::new(number) }
    }

    /// Adds the next record; records come in the order of their offsets, without gaps.
    pub fn push(&mut self, record: &IndexRecord) {
        let last = &mut self.prediction;
        let mut tag = record.kind as u8;
        if record.group != last.group {
            tag |= HAS_GROUP;
        }
        last.enter(record.group);
        if record.index != last.index.wrapping_add(1) {
            tag |= HAS_INDEX;
        }
        if record.term != last.term {
            tag |= HAS_TERM;
        }
        if record.length != last.length {
            tag |= HAS_LENGTH;
        }
        if record.origin != last.origin {
            tag |= HAS_ORIGIN;
        }
        self.body.push(tag);
        let fields = [
            (HAS_GROUP, u64::from(record.group)),
            (HAS_INDEX, record.index),
            (HAS_TERM, record.term),
            (HAS_LENGTH, u64::from(record.length)),
            (HAS_ORIGIN, u64::from(record.origin)),
        ];
        for (flag, value) in fields {
            if tag & flag != 0 {
                put_varint(&mut self.body, value);
            }
        }
        last.index = record.index;
        last.term = record.term;
        last.length = record.length;
        last.origin = record.origin;
        self.count += 1;
    }

    /// The whole index file, for a segment whose records end at `end`.
    #[must_use]
    pub fn finish(&self, journal: [u8; 16], end: u32, last: u32) -> Vec<u8> {
        let mut bytes = vec![0; INDEX_HEADER_BYTES];
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, &VERSION.to_le_bytes());
        patch(&mut bytes, 16, &journal);
        let fields = [(32, self.number), (36, end), (40, last), (44, self.count)];
        for (offset, value) in fields {
            patch(&mut bytes, offset, &value.to_le_bytes());
        }
        patch(&mut bytes, 48, &(self.body.len() as u64).to_le_bytes());
        patch(&mut bytes, 56, &crc32c::crc32c(&self.body).to_le_bytes());
        seal_checksum(&mut bytes);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A checked index file.
#[derive(Debug, Clone, Copy)]
pub struct IndexFile<'a> {
    /// The journal it belongs to.
    pub journal: [u8; 16],
    /// The segment it describes.
    pub number: u32,
    /// Where the segment's records end.
    pub end: u32,
    /// Header checksum of the segment's last record.
    pub last: u32,
    /// How many records there are.
    pub count: u32,
    body: &'a [u8],
}

impl<'a> IndexFile<'a> {
    /// Reads an index file; `None` when anything about it is wrong.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(INDEX_HEADER_BYTES)?;
        sealed_checksum(header)?;
        let mut cursor = Cursor::new(header);
        if &cursor.array::<8>()? != MAGIC || cursor.u16()? != VERSION {
            return None;
        }
        cursor.take(6)?;
        let journal = cursor.array()?;
        let number = cursor.u32()?;
        let end = cursor.u32()?;
        let last = cursor.u32()?;
        let count = cursor.u32()?;
        let length = cursor.u64()?;
        let checksum = cursor.u32()?;
        if body.len() as u64 != length || crc32c::crc32c(body) != checksum {
            return None;
        }
        Some(Self { journal, number, end, last, count, body })
    }

    /// Whether its records are as many as it tells, end where it tells, and are all there is: then each lies within
    /// the segment.
    #[must_use]
    pub fn adds_up(&self, encrypted: bool) -> bool {
        let mut records = self.records(encrypted);
        let count = records.by_ref().count();
        count == self.count as usize && records.offset == u64::from(self.end) && !records.malformed
    }

    /// The records, in order. `encrypted` says whether tags follow the payloads.
    #[must_use]
    pub fn records(&self, encrypted: bool) -> IndexRecords<'a> {
        IndexRecords {
            cursor: Cursor::new(self.body),
            offset: SEGMENT_HEADER_BYTES as u64,
            tag_bytes: if encrypted { TAG_BYTES as u64 } else { 0 },
            prediction: Prediction::new(self.number),
            malformed: false,
        }
    }
}

/// The records of an index file; ends early when the body is malformed, which its checksum excludes.
#[derive(Debug, Clone)]
pub struct IndexRecords<'a> {
    cursor: Cursor<'a>,
    offset: u64,
    tag_bytes: u64,
    prediction: Prediction,
    malformed: bool,
}

impl Iterator for IndexRecords<'_> {
    type Item = IndexRecord;

    fn next(&mut self) -> Option<IndexRecord> {
        if self.malformed || self.cursor.remaining() == 0 {
            return None;
        }
        let record = self.read();
        // What stands behind a malformed record is not one.
        self.malformed = record.is_none();
        record
    }
}

impl std::iter::FusedIterator for IndexRecords<'_> {}

impl IndexRecords<'_> {
    fn read(&mut self) -> Option<IndexRecord> {
        let tag = self.cursor.u8()?;
        let kind = Kind::parse(tag & 0x07)?;
        let mut field = |flag: u8, otherwise: u64| {
            if tag & flag == 0 { Some(otherwise) } else { self.cursor.varint() }
        };
        let last = &mut self.prediction;
        let group = field(HAS_GROUP, u64::from(last.group))?.try_into().ok()?;
        last.enter(group);
        last.index = field(HAS_INDEX, last.index.wrapping_add(1))?;
        last.term = field(HAS_TERM, last.term)?;
        last.length = field(HAS_LENGTH, u64::from(last.length))?.try_into().ok()?;
        last.origin = field(HAS_ORIGIN, u64::from(last.origin))?.try_into().ok()?;
        if !kind.admits(last.index, last.length) {
            return None;
        }
        let record = IndexRecord {
            kind,
            group,
            index: last.index,
            term: last.term,
            offset: self.offset.try_into().ok()?,
            length: last.length,
            origin: last.origin,
        };
        self.offset += RECORD_HEADER_BYTES as u64 + u64::from(last.length) + self.tag_bytes;
        Some(record)
    }
}
