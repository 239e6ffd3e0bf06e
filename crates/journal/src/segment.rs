//! An open segment: reading and checking its records.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::GroupId;
use crate::cipher::Cipher;
use crate::disk::{DiskFile, read_up_to};
use crate::error::Damage;
use crate::fault::{self, Fault};
use crate::format::{FileName, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, TAG_BYTES};
use crate::options::MasterKey;

/// A segment file that is open, with what is needed to read its records.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) seed: u32,
    pub(crate) cipher: Option<Cipher>,
}

/// Why a record could not be read.
#[derive(Debug)]
pub(crate) enum RecordFault {
    Invalid(&'static str),
    Io(io::Error),
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>, master: Option<&MasterKey>) -> Self {
        let cipher = master.filter(|_| header.encrypted).map(|master| Cipher::segment(master, &header.salt));
        Self { seed: header.seed(), header, file, cipher }
    }

    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    pub(crate) fn name(&self) -> String {
        if self.header.cold {
            FileName::Cold(self.header.number).text()
        } else {
            FileName::Hot(self.header.number).text()
        }
    }

    /// Bytes a record with a payload of `length` takes.
    pub(crate) fn record_bytes(&self, length: usize) -> usize {
        let tag = if self.header.encrypted { TAG_BYTES } else { 0 };
        RECORD_HEADER_BYTES + length + tag
    }

    /// Reads the record at `offset` whose payload has `length` bytes.
    pub(crate) fn read(&self, offset: u32, length: u32) -> Result<(RecordHeader, Bytes), RecordFault> {
        let size = self.record_bytes(length as usize);
        let bytes = read_up_to(self.file.as_ref(), u64::from(offset), size).map_err(RecordFault::Io)?;
        let (header, _) = self.check(&bytes).map_err(RecordFault::Invalid)?;
        if header.length != length {
            return Err(RecordFault::Invalid("a record of another length"));
        }
        let mut bytes = bytes;
        bytes.drain(..RECORD_HEADER_BYTES);
        let payload = self.decrypt(&header, offset, bytes).map_err(RecordFault::Invalid)?;
        Ok((header, payload))
    }

    /// Checks header and payload checksum of the record that `bytes` begins with; returns the stored payload too.
    pub(crate) fn check<'a>(&self, bytes: &'a [u8]) -> Result<(RecordHeader, &'a [u8]), &'static str> {
        let header = RecordHeader::decode(bytes, self.seed)?;
        if header.segment != self.number() || header.encrypted != self.header.encrypted {
            return Err("a record of another segment");
        }
        let stored = bytes
            .get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + header.stored_length())
            .ok_or("a payload that reaches beyond the end")?;
        if crc32c::crc32c(stored) != header.payload_checksum && !fault::active(Fault::IgnorePayloadChecksum) {
            return Err("a payload whose checksum is wrong");
        }
        Ok((header, stored))
    }

    /// Opens a stored payload.
    pub(crate) fn decrypt(
        &self,
        header: &RecordHeader,
        offset: u32,
        mut stored: Vec<u8>,
    ) -> Result<Bytes, &'static str> {
        match &self.cipher {
            None if header.encrypted => Err("an encrypted payload without a key"),
            None => Ok(Bytes::from(stored)),
            Some(cipher) => {
                if cipher.open(u64::from(offset), &header.authenticated(), &mut stored) {
                    Ok(Bytes::from(stored))
                } else {
                    Err("a payload that does not decrypt")
                }
            }
        }
    }

    pub(crate) fn damage(
        &self,
        offset: u64,
        record: Option<(GroupId, u64)>,
        expected: &str,
        found: &str,
    ) -> Damage {
        Damage { file: self.name(), offset, record, expected: expected.to_owned(), found: found.to_owned() }
    }
}
