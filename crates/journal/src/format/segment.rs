//! The header at the start of a segment file.

use super::{SEGMENT_HEADER_BYTES, VERSION, seal_checksum, sealed_checksum};
use crate::cursor::{Cursor, patch};

const MAGIC: &[u8; 8] = b"SWMQSEGM";
const FLAG_ENCRYPTED: u8 = 1;
const FLAG_COLD: u8 = 2;

/// A segment's header; the bytes are drawn in [`crate::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Checksum of the header, what the first record's chain repeats.
    pub checksum: u32,
    /// The journal it belongs to.
    pub journal: [u8; 16],
    /// Its number.
    pub number: u32,
    /// Whether it holds moved records.
    pub cold: bool,
    /// Whether payloads are encrypted.
    pub encrypted: bool,
    /// Number of the hot segment before, 0 for none.
    pub predecessor: u32,
    /// Where the predecessor's records end.
    pub predecessor_end: u32,
    /// Header checksum of the predecessor's last record.
    pub predecessor_last: u32,
    /// Random; keys and checksum seeds derive from it.
    pub salt: [u8; 32],
}

impl SegmentHeader {
    /// What the header checksums of this segment's records start from.
    #[must_use]
    pub fn seed(&self) -> u32 {
        crc32c::crc32c(&self.salt)
    }

    /// Writes the header and sets its checksum.
    pub fn encode(&mut self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let mut flags = 0;
        if self.encrypted {
            flags |= FLAG_ENCRYPTED;
        }
        if self.cold {
            flags |= FLAG_COLD;
        }
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, &VERSION.to_le_bytes());
        patch(&mut bytes, 10, &[flags]);
        patch(&mut bytes, 16, &self.journal);
        patch(&mut bytes, 32, &self.number.to_le_bytes());
        patch(&mut bytes, 36, &self.predecessor.to_le_bytes());
        patch(&mut bytes, 64, &self.salt);
        patch(&mut bytes, 96, &self.predecessor_end.to_le_bytes());
        patch(&mut bytes, 100, &self.predecessor_last.to_le_bytes());
        seal_checksum(&mut bytes);
        self.checksum = sealed_checksum(&bytes).unwrap_or_default();
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES).ok_or("a file too short for a segment header")?;
        let checksum = sealed_checksum(bytes).ok_or("a segment header whose checksum is wrong")?;
        Self::parse(bytes, checksum).ok_or("not a segment header of version 1")
    }

    fn parse(bytes: &[u8], checksum: u32) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if &cursor.array::<8>()? != MAGIC || cursor.u16()? != VERSION {
            return None;
        }
        let flags = cursor.u8()?;
        cursor.take(5)?;
        let journal = cursor.array()?;
        let number = cursor.u32()?;
        let predecessor = cursor.u32()?;
        cursor.take(24)?;
        let salt = cursor.array()?;
        Some(Self {
            checksum,
            journal,
            number,
            cold: flags & FLAG_COLD != 0,
            encrypted: flags & FLAG_ENCRYPTED != 0,
            predecessor,
            predecessor_end: cursor.u32()?,
            predecessor_last: cursor.u32()?,
            salt,
        })
    }
}
