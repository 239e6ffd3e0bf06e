//! The manifest: what a directory is and which key it needs.

use super::{KEY_ID_BYTES_MAX, MANIFEST_BYTES, VERSION, seal_checksum, sealed_checksum};
use crate::cursor::{Cursor, patch};

const MAGIC: &[u8; 8] = b"SWMQJRNL";

/// A journal's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The version it was written with.
    pub version: u16,
    /// Random, given when the journal is made.
    pub journal: [u8; 16],
    /// The id and check value of the key, when the journal is encrypted.
    pub key: Option<(String, [u8; 32])>,
}

impl Manifest {
    /// Writes the manifest.
    #[must_use]
    pub fn encode(&self) -> [u8; MANIFEST_BYTES] {
        let mut bytes = [0; MANIFEST_BYTES];
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, &self.version.to_le_bytes());
        patch(&mut bytes, 16, &self.journal);
        if let Some((id, check)) = &self.key {
            patch(&mut bytes, 10, &[1, id.len() as u8]);
            patch(&mut bytes, 32, id.as_bytes());
            patch(&mut bytes, 64, check);
        }
        seal_checksum(&mut bytes);
        bytes
    }

    /// Reads a manifest. One of a newer version is returned with its version and nothing else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..MANIFEST_BYTES).ok_or("a file too short")?;
        sealed_checksum(bytes).ok_or("a manifest whose checksum is wrong")?;
        Self::parse(bytes).ok_or("not a manifest")
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if &cursor.array::<8>()? != MAGIC {
            return None;
        }
        let version = cursor.u16()?;
        let encrypted = cursor.u8()?;
        let id_length = usize::from(cursor.u8()?);
        cursor.take(4)?;
        let journal = cursor.array()?;
        if version > VERSION {
            return Some(Self { version, journal, key: None });
        }
        let id = cursor.take(KEY_ID_BYTES_MAX)?;
        let check = cursor.array()?;
        let key = match encrypted {
            0 => None,
            1 => Some((String::from_utf8(id.get(..id_length)?.to_vec()).ok()?, check)),
            _ => return None,
        };
        Some(Self { version, journal, key })
    }
}
