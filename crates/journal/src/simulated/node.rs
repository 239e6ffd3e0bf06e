//! One simulated file: what programs see, what is durable, and the changes between.

use super::Chance;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Bytes beyond the end of `data` and before `length` are zeros.
    data: Vec<u8>,
    pub(super) length: u64,
    pub(super) allocated: u64,
    durable: Vec<u8>,
    durable_length: u64,
    changes: Vec<Change>,
}

impl Node {
    /// A file that is on disk as it is.
    pub(super) fn durable(bytes: &[u8]) -> Self {
        Self {
            data: bytes.to_vec(),
            length: bytes.len() as u64,
            allocated: bytes.len() as u64,
            durable: bytes.to_vec(),
            durable_length: bytes.len() as u64,
            changes: Vec::new(),
        }
    }

    pub(super) fn contents(&self) -> Vec<u8> {
        let mut bytes = self.data.clone();
        bytes.resize(self.length as usize, 0);
        bytes
    }

    pub(super) fn is_synced(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> usize {
        let available = self.length.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let data = self.data.get(offset as usize..).unwrap_or_default();
        for (at, target) in bytes.iter_mut().take(available).enumerate() {
            *target = data.get(at).copied().unwrap_or(0);
        }
        available
    }

    pub(super) fn write(&mut self, offset: u64, bytes: Vec<u8>) -> usize {
        let written = bytes.len();
        put(&mut self.data, offset, &bytes);
        self.length = self.length.max(offset + written as u64);
        self.changes.push(Change::Write(offset, bytes));
        written
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.data.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.length = length;
        self.changes.push(Change::Length(length));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.durable, &mut self.durable_length, &change);
        }
    }

    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        if offset >= self.length {
            return false;
        }
        let needed = offset as usize + 1;
        for bytes in [&mut self.data, &mut self.durable] {
            if bytes.len() < needed {
                bytes.resize(needed, 0);
            }
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
        true
    }

    /// The file as it is found when the power is back.
    pub(super) fn after_power_loss(&self, chance: &mut Chance) -> Self {
        let mut data = self.durable.clone();
        let mut length = self.durable_length;
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        if chance.below(2) == 0 {
            for at in (1..changes.len()).rev() {
                changes.swap(at, chance.below(at as u64 + 1) as usize);
            }
        }
        for change in changes {
            match (chance.below(3), change) {
                (0, _) => {}
                (1, Change::Write(offset, bytes)) => {
                    for (start, sector) in sectors(*offset, bytes) {
                        if chance.below(2) == 0 {
                            apply(&mut data, &mut length, &Change::Write(start, sector.to_vec()));
                        }
                    }
                }
                _ => apply(&mut data, &mut length, change),
            }
        }
        Self {
            durable: data.clone(),
            data,
            length,
            durable_length: length,
            allocated: length,
            changes: Vec::new(),
        }
    }
}

fn apply(data: &mut Vec<u8>, length: &mut u64, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            put(data, *offset, bytes);
            *length = (*length).max(offset + bytes.len() as u64);
        }
        Change::Length(new) => {
            data.truncate(usize::try_from(*new).unwrap_or(usize::MAX));
            *length = *new;
        }
    }
}

fn put(data: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if data.len() < end {
        data.resize(end, 0);
    }
    if let Some(target) = data.get_mut(start..end) {
        target.copy_from_slice(bytes);
    }
}

/// Splits a write at the sectors of the file.
fn sectors(offset: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let room = (SECTOR_BYTES - at % SECTOR_BYTES) as usize;
        let (part, later) = rest.split_at(room.min(rest.len()));
        parts.push((at, part));
        at += part.len() as u64;
        rest = later;
    }
    parts
}
