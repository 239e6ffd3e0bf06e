//! The header in front of every record.

use super::RECORD_HEADER_BYTES;
use crate::cursor::Cursor;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A raft entry that continued its group's log.
    Entry = 1,
    /// An entry stored for a snapshot that refers to it, outside the log.
    Adopted = 2,
    /// A small named value.
    Meta = 3,
    /// All entries from an index on are gone.
    Truncate = 4,
    /// The raft log begins after an index.
    Purge = 5,
    /// Which files belong to the journal.
    Files = 6,
}

impl Kind {
    pub(crate) fn parse(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::Adopted,
            3 => Self::Meta,
            4 => Self::Truncate,
            5 => Self::Purge,
            6 => Self::Files,
            _ => return None,
        })
    }

    /// Whether a record of this kind may have this index and payload length. What tells where a log begins or ends has
    /// no payload, and a named value's name is one byte: no journal ever wrote anything else.
    pub(crate) fn admits(self, index: u64, length: u32) -> bool {
        match self {
            Self::Entry | Self::Adopted | Self::Files => true,
            Self::Meta => index <= u64::from(u8::MAX),
            Self::Truncate | Self::Purge => length == 0,
        }
    }
}

const FLAG_ENCRYPTED: u8 = 1;

/// A record's header; the bytes are drawn in [`crate::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Checksum of the header itself, what the next record's `chain` repeats.
    pub checksum: u32,
    /// Checksum of the stored payload.
    pub payload_checksum: u32,
    /// Header checksum of the record before.
    pub chain: u32,
    /// Payload length without the tag.
    pub length: u32,
    /// Raft index, or what the kind makes of it.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// The group.
    pub group: u32,
    /// Hot: synced below this offset. Cold: number of the segment of origin.
    pub synced_or_origin: u32,
    /// The kind.
    pub kind: Kind,
    /// Whether the payload is encrypted and followed by a tag.
    pub encrypted: bool,
    /// The segment this was written to.
    pub segment: u32,
}

impl RecordHeader {
    /// Bytes of the payload as stored.
    #[must_use]
    pub fn stored_length(&self) -> usize {
        self.length as usize + if self.encrypted { super::TAG_BYTES } else { 0 }
    }

    /// Writes the header, computing its checksum from `seed`; returns the checksum.
    pub fn encode(&mut self, seed: u32) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let fields = [
            (4, self.payload_checksum),
            (8, self.chain),
            (12, self.length),
            (32, self.group),
            (36, self.synced_or_origin),
            (44, self.segment),
        ];
        for (offset, value) in fields {
            crate::cursor::patch(&mut bytes, offset, &value.to_le_bytes());
        }
        crate::cursor::patch(&mut bytes, 16, &self.index.to_le_bytes());
        crate::cursor::patch(&mut bytes, 24, &self.term.to_le_bytes());
        let flags = if self.encrypted { FLAG_ENCRYPTED } else { 0 };
        crate::cursor::patch(&mut bytes, 40, &[self.kind as u8, flags]);
        self.checksum = crc32c::crc32c_append(seed, bytes.get(4..).unwrap_or_default());
        crate::cursor::patch(&mut bytes, 0, &self.checksum.to_le_bytes());
        bytes
    }

    /// Reads a header whose checksum is right under `seed`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8], seed: u32) -> Result<Self, &'static str> {
        let header = bytes.get(..RECORD_HEADER_BYTES).ok_or("the end of the file")?;
        if crc32c::crc32c_append(seed, header.get(4..).unwrap_or_default())
            != Cursor::new(header).u32().unwrap_or_default()
        {
            return Err("a header whose checksum is wrong");
        }
        Self::parse(header).ok_or("a header of a kind that is unknown or says what its kind never does")
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let checksum = cursor.u32()?;
        let payload_checksum = cursor.u32()?;
        let chain = cursor.u32()?;
        let length = cursor.u32()?;
        let index = cursor.u64()?;
        let term = cursor.u64()?;
        let group = cursor.u32()?;
        let synced_or_origin = cursor.u32()?;
        let kind = Kind::parse(cursor.u8()?)?;
        let flags = cursor.u8()?;
        if flags & !FLAG_ENCRYPTED != 0 || cursor.u16()? != 0 || !kind.admits(index, length) {
            return None;
        }
        Some(Self {
            checksum,
            payload_checksum,
            chain,
            length,
            index,
            term,
            group,
            synced_or_origin,
            kind,
            encrypted: flags & FLAG_ENCRYPTED != 0,
            segment: cursor.u32()?,
        })
    }

    /// What encryption authenticates besides the payload.
    pub(crate) fn authenticated(&self) -> [u8; 26] {
        let mut bytes = [0; 26];
        crate::cursor::patch(&mut bytes, 0, &self.length.to_le_bytes());
        crate::cursor::patch(&mut bytes, 4, &self.index.to_le_bytes());
        crate::cursor::patch(&mut bytes, 12, &self.term.to_le_bytes());
        crate::cursor::patch(&mut bytes, 20, &self.group.to_le_bytes());
        crate::cursor::patch(&mut bytes, 24, &[self.kind as u8, FLAG_ENCRYPTED]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, index: u64, length: u32) -> Result<RecordHeader, &'static str> {
        let mut header = RecordHeader {
            checksum: 0,
            payload_checksum: 0,
            chain: 0,
            length,
            index,
            term: 1,
            group: 1,
            synced_or_origin: 0,
            kind,
            encrypted: false,
            segment: 1,
        };
        RecordHeader::decode(&header.encode(7), 7)
    }

    #[test]
    fn a_record_that_says_what_its_kind_never_does_is_refused() {
        for kind in [Kind::Truncate, Kind::Purge] {
            assert!(read(kind, 300, 0).is_ok());
            assert!(read(kind, 300, 1).is_err(), "{kind:?} with a payload");
        }
        assert!(read(Kind::Meta, 255, 9).is_ok());
        assert!(read(Kind::Meta, 256, 9).is_err(), "a name of two bytes");
        assert!(read(Kind::Entry, u64::MAX, 9).is_ok());
    }
}
