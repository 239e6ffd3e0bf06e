//! Snapshots: one file a group, written whole or not at all.

use std::io;

use bytes::Bytes;

use crate::GroupId;
use crate::cipher::Cipher;
use crate::disk::{DiskFile, read_up_to, write_bytes};
use crate::error::{Damage, JournalError, SnapshotError, is_full};
use crate::format::{FileName, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_HEADER_BYTES, SnapshotHeader, TAG_BYTES};
use crate::journal::Journal;
use crate::options::MasterKey;
use crate::tail::DiskFailure;

/// Length of the checksum after each chunk.
pub(crate) const CHECKSUM_BYTES: usize = 4;

impl Journal {
    /// Writes the group's snapshot up to `last_index` and removes those before. Where there is a newer one it
    /// stays, and nothing is written.
    ///
    /// It is durable when this returns. Blocking: call it off the async threads.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshot before is still there then. When it is a sync that failed, for another reason than
    /// a full disk, the journal is poisoned.
    pub fn write_snapshot(
        &self,
        group: GroupId,
        last_index: u64,
        data: &[Bytes],
    ) -> Result<(), SnapshotError> {
        let _one_at_a_time = self.shared.snapshots.lock();
        if let Some(error) = self.shared.state.lock().refusal() {
            return Err(error.into());
        }
        if self.snapshots_of(group)?.last().is_some_and(|(newest, _)| *newest > last_index) {
            return Ok(());
        }
        let name = FileName::Snapshot { group: group.0, index: last_index }.text();
        let temporary = format!("{name}.tmp");
        let length: u64 = data.iter().map(|part| part.len() as u64).sum();
        let disk = self.shared.disk.as_ref();
        let file = disk.create(&temporary).map_err(failed("create", &temporary, length))?;
        if let Err(error) = self.fill_snapshot(file.as_ref(), group, last_index, length, data) {
            drop(file);
            // The write's error is the one to tell; a leftover is removed at the next start.
            let _ = disk.remove(&temporary);
            return Err(failed("write", &temporary, length)(error));
        }
        if let Err(error) = file.sync_data() {
            let _ = disk.remove(&temporary);
            return Err(self.not_synced("sync", &temporary, length)(error));
        }
        disk.rename(&temporary, &name).map_err(failed("rename", &temporary, length))?;
        disk.sync_dir().map_err(self.not_synced("sync directory", &name, length))?;
        for (index, older) in self.snapshots_of(group)? {
            if index != last_index {
                disk.remove(&older).map_err(failed("remove", &older, 0))?;
            }
        }
        Ok(())
    }

    /// The group's newest snapshot and the last index it contains.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] rather than an older one.
    pub fn read_snapshot(&self, group: GroupId) -> Result<Option<(u64, Bytes)>, SnapshotError> {
        let _none_goes_meanwhile = self.shared.snapshots.lock();
        let Some((index, name)) = self.snapshots_of(group)?.pop() else {
            return Ok(None);
        };
        let file = self.shared.disk.open(&name).map_err(failed("open", &name, 0))?;
        let length = file.length().map_err(failed("read", &name, 0))?;
        let bytes = read_up_to(file.as_ref(), 0, length as usize).map_err(failed("read", &name, 0))?;
        let damaged = |found: &str| {
            SnapshotError::Damaged(Damage {
                file: name.clone(),
                offset: 0,
                record: Some((group, index)),
                expected: "a whole snapshot".to_owned(),
                found: found.to_owned(),
            })
        };
        let (header, _) = decode_header(&bytes).map_err(damaged)?;
        if header.journal != self.shared.journal || (header.group, header.index) != (group.0, index) {
            return Err(damaged("another snapshot"));
        }
        let master = self.shared.options.encryption.as_ref();
        let payload = decode_with(&bytes, master).map_err(damaged)?;
        Ok(Some((index, payload)))
    }

    /// The group's snapshots by index, the newest last.
    fn snapshots_of(&self, group: GroupId) -> Result<Vec<(u64, String)>, SnapshotError> {
        let names = self.shared.disk.list().map_err(failed("list", ".", 0))?;
        let mut all: Vec<(u64, String)> = names
            .into_iter()
            .filter_map(|name| match FileName::parse(&name) {
                FileName::Snapshot { group: g, index } if g == group.0 => Some((index, name)),
                _ => None,
            })
            .collect();
        all.sort_unstable();
        Ok(all)
    }

    fn fill_snapshot(
        &self,
        file: &dyn DiskFile,
        group: GroupId,
        index: u64,
        length: u64,
        data: &[Bytes],
    ) -> io::Result<()> {
        let mut salt = [0; 32];
        self.shared.disk.random(&mut salt)?;
        let master = self.shared.options.encryption.as_ref();
        let cipher = master.map(|master| Cipher::snapshot(master, &salt));
        let header = SnapshotHeader {
            journal: self.shared.journal,
            group: group.0,
            index,
            length,
            encrypted: cipher.is_some(),
            salt,
        };
        write_bytes(file, &header.encode(), 0)?;
        let mut chunks = ChunkWriter {
            file,
            cipher: cipher.as_ref(),
            offset: SNAPSHOT_HEADER_BYTES as u64,
            number: 0,
            chunk: Vec::new(),
        };
        for part in data {
            let mut rest = part.as_ref();
            while !rest.is_empty() {
                let room = SNAPSHOT_CHUNK_BYTES - chunks.chunk.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                chunks.chunk.extend_from_slice(now);
                rest = later;
                if chunks.chunk.len() == SNAPSHOT_CHUNK_BYTES {
                    chunks.flush()?;
                }
            }
        }
        chunks.flush()
    }

    /// What a failed sync of a snapshot comes to. Nobody knows any more what is on the disk, so the journal stops, as it
    /// does when the sync of a segment fails; but where only room is missing, as it may turn out at the sync, the
    /// snapshot alone is given up.
    fn not_synced(
        &self,
        operation: &'static str,
        file: &str,
        bytes: u64,
    ) -> impl FnOnce(io::Error) -> SnapshotError {
        let file = file.to_owned();
        move |error| {
            if !is_full(&error) {
                // The error that is told has the same words.
                let told = io::Error::new(error.kind(), error.to_string());
                self.shared.poison(JournalError::from(DiskFailure::new(operation, &*file, told)));
            }
            failed(operation, &file, bytes)(error)
        }
    }
}

struct ChunkWriter<'a> {
    file: &'a dyn DiskFile,
    cipher: Option<&'a Cipher>,
    offset: u64,
    number: u64,
    chunk: Vec<u8>,
}

impl ChunkWriter<'_> {
    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        if let Some(cipher) = self.cipher {
            let tag = cipher.seal(self.number, &[], &mut self.chunk);
            self.chunk.extend_from_slice(&tag);
        }
        // The chunk's number is part of its checksum, so that chunks cannot change places.
        let checksum = chunk_checksum(self.number, &self.chunk);
        self.chunk.extend_from_slice(&checksum.to_le_bytes());
        write_bytes(self.file, &self.chunk, self.offset)?;
        self.offset += self.chunk.len() as u64;
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }
}

pub(crate) fn chunk_checksum(number: u64, chunk: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), chunk)
}

/// Reads the header and checks that the file is exactly as long as it tells.
fn decode_header(bytes: &[u8]) -> Result<(SnapshotHeader, &[u8]), &'static str> {
    let header = SnapshotHeader::decode(bytes)?;
    let body = bytes.get(SNAPSHOT_HEADER_BYTES..).unwrap_or_default();
    let tag = if header.encrypted { TAG_BYTES } else { 0 };
    let chunks = header.length.div_ceil(SNAPSHOT_CHUNK_BYTES as u64);
    let expected =
        chunks.checked_mul((tag + CHECKSUM_BYTES) as u64).and_then(|extra| extra.checked_add(header.length));
    if expected != Some(body.len() as u64) {
        return Err("a file of another length");
    }
    Ok((header, body))
}

/// Reads a whole snapshot under the master key, if it is encrypted.
pub(crate) fn decode_with(bytes: &[u8], master: Option<&MasterKey>) -> Result<Bytes, &'static str> {
    let (header, _) = decode_header(bytes)?;
    let cipher = master.map(|master| Cipher::snapshot(master, &header.salt));
    decode(bytes, cipher.as_ref())
}

/// Reads a whole snapshot; `cipher` opens its chunks when they are encrypted.
pub(crate) fn decode(bytes: &[u8], cipher: Option<&Cipher>) -> Result<Bytes, &'static str> {
    let (header, body) = decode_header(bytes)?;
    if header.encrypted != cipher.is_some() {
        return Err("another kind of encryption");
    }
    let tag = if header.encrypted { TAG_BYTES } else { 0 };
    let mut payload = Vec::with_capacity(body.len());
    for (number, chunk) in body.chunks(SNAPSHOT_CHUNK_BYTES + tag + CHECKSUM_BYTES).enumerate() {
        let (stored, checksum) =
            chunk.split_last_chunk::<CHECKSUM_BYTES>().ok_or("a chunk that is too short")?;
        if chunk_checksum(number as u64, stored) != u32::from_le_bytes(*checksum) {
            return Err("a chunk whose checksum is wrong");
        }
        match cipher {
            None => payload.extend_from_slice(stored),
            Some(cipher) => {
                let mut plain = stored.to_vec();
                if !cipher.open(number as u64, &[], &mut plain) {
                    return Err("a chunk that does not decrypt");
                }
                payload.extend_from_slice(&plain);
            }
        }
    }
    Ok(Bytes::from(payload))
}

fn failed<'a>(
    operation: &'static str,
    file: &'a str,
    bytes: u64,
) -> impl FnOnce(io::Error) -> SnapshotError + 'a {
    move |error| {
        if is_full(&error) {
            SnapshotError::NoSpace { bytes }
        } else {
            SnapshotError::Io { operation, file: file.to_owned(), error }
        }
    }
}
