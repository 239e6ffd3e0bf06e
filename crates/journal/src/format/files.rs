//! The list of files that belong to the journal, the payload of a files record.

use std::collections::BTreeMap;

use crate::cursor::Cursor;

/// Bytes per listed file.
const ITEM_BYTES: usize = 12;

/// Where a sealed segment's records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFile {
    /// Offset just past the last record.
    pub end: u32,
    /// Header checksum of the last record.
    pub last: u32,
}

/// All sealed segments, by number, and the next number to be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileList {
    /// Numbers from here on were not given yet.
    pub next: u32,
    /// The sealed segments that exist.
    pub sealed: BTreeMap<u32, SealedFile>,
}

impl FileList {
    /// Length of the list as stored.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        8 + self.sealed.len() * ITEM_BYTES
    }

    /// Writes the list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_length());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&(self.sealed.len() as u32).to_le_bytes());
        for (number, file) in &self.sealed {
            for value in [*number, file.end, file.last] {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads a list; `None` when it is malformed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let next = cursor.u32()?;
        let count = cursor.u32()? as usize;
        if cursor.remaining() != count.checked_mul(ITEM_BYTES)? {
            return None;
        }
        let mut sealed = BTreeMap::new();
        for _ in 0..count {
            let number = cursor.u32()?;
            let file = SealedFile { end: cursor.u32()?, last: cursor.u32()? };
            sealed.insert(number, file);
        }
        Some(Self { next, sealed })
    }
}
