//! The durable mark: how far everything was synced.

use super::{MARK_BYTES, MARK_SLOT_STRIDE, VERSION, seal_checksum, sealed_checksum};
use crate::cursor::{Cursor, patch};

const MAGIC: &[u8; 8] = b"SWMQMARK";

/// A place in the journal before which everything was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The journal it belongs to.
    pub journal: [u8; 16],
    /// Rises with every mark; chooses the slot.
    pub sequence: u64,
    /// The hot segment, 0 before the first.
    pub segment: u32,
    /// The offset in it.
    pub offset: u32,
}

impl Mark {
    /// Where in the file this mark goes.
    #[must_use]
    pub fn slot_offset(&self) -> u64 {
        (self.sequence % 2) * MARK_SLOT_STRIDE
    }

    /// Writes one slot.
    #[must_use]
    pub fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, &VERSION.to_le_bytes());
        patch(&mut bytes, 16, &self.journal);
        patch(&mut bytes, 32, &self.sequence.to_le_bytes());
        patch(&mut bytes, 40, &self.segment.to_le_bytes());
        patch(&mut bytes, 44, &self.offset.to_le_bytes());
        seal_checksum(&mut bytes);
        bytes
    }

    /// Reads one slot; `None` when it is not whole.
    #[must_use]
    pub fn decode_slot(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..MARK_BYTES)?;
        sealed_checksum(bytes)?;
        let mut cursor = Cursor::new(bytes);
        if &cursor.array::<8>()? != MAGIC || cursor.u16()? != VERSION {
            return None;
        }
        cursor.take(6)?;
        Some(Self {
            journal: cursor.array()?,
            sequence: cursor.u64()?,
            segment: cursor.u32()?,
            offset: cursor.u32()?,
        })
    }

    /// Reads a whole mark file: the newest of its slots that are whole.
    #[must_use]
    pub fn decode_file(bytes: &[u8]) -> Option<Self> {
        let second = bytes.get(MARK_SLOT_STRIDE as usize..).unwrap_or_default();
        [bytes, second].into_iter().filter_map(Self::decode_slot).max_by_key(|mark| mark.sequence)
    }
}
