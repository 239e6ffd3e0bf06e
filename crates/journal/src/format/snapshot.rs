//! The header of a snapshot file.

use super::{SNAPSHOT_HEADER_BYTES, VERSION, seal_checksum, sealed_checksum};
use crate::cursor::{Cursor, patch};

const MAGIC: &[u8; 8] = b"SWMQSNAP";

/// A snapshot's header; the bytes are drawn in [`crate::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The journal it belongs to.
    pub journal: [u8; 16],
    /// The group.
    pub group: u32,
    /// The last index it contains.
    pub index: u64,
    /// Length of the payload, without checksums and tags.
    pub length: u64,
    /// Whether chunks are encrypted.
    pub encrypted: bool,
    /// Random; the key derives from it.
    pub salt: [u8; 32],
}

impl SnapshotHeader {
    /// Writes the header.
    #[must_use]
    pub fn encode(&self) -> [u8; SNAPSHOT_HEADER_BYTES] {
        let mut bytes = [0; SNAPSHOT_HEADER_BYTES];
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, &VERSION.to_le_bytes());
        patch(&mut bytes, 10, &[u8::from(self.encrypted)]);
        patch(&mut bytes, 16, &self.journal);
        patch(&mut bytes, 32, &self.group.to_le_bytes());
        patch(&mut bytes, 40, &self.index.to_le_bytes());
        patch(&mut bytes, 48, &self.length.to_le_bytes());
        patch(&mut bytes, 64, &self.salt);
        seal_checksum(&mut bytes);
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..SNAPSHOT_HEADER_BYTES).ok_or("a file too short for a snapshot header")?;
        sealed_checksum(bytes).ok_or("a snapshot header whose checksum is wrong")?;
        Self::parse(bytes).ok_or("not a snapshot header of version 1")
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if &cursor.array::<8>()? != MAGIC || cursor.u16()? != VERSION {
            return None;
        }
        let encrypted = cursor.u8()? & 1 != 0;
        cursor.take(5)?;
        let journal = cursor.array()?;
        let group = cursor.u32()?;
        cursor.take(4)?;
        let index = cursor.u64()?;
        let length = cursor.u64()?;
        cursor.take(8)?;
        Some(Self { journal, group, index, length, encrypted, salt: cursor.array()? })
    }
}
