//! Checksums made right again, so that a changed file is judged by what it says.

use crate::cursor::{Cursor, patch};
use crate::format::{
    INDEX_HEADER_BYTES, MANIFEST_BYTES, MARK_BYTES, MARK_SLOT_STRIDE, RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_HEADER_BYTES, TAG_BYTES, seal_checksum,
};
use crate::snapshot::{CHECKSUM_BYTES, chunk_checksum};

/// Makes the checksums of a file right, and the chain of its records, as far as its bytes can be read.
/// What the file is, its first eight bytes say.
pub fn reseal(bytes: &mut [u8]) {
    match bytes.first_chunk::<8>() {
        Some(b"SWMQSEGM") => segment(bytes),
        Some(b"SWMQINDX") => index(bytes),
        Some(b"SWMQSNAP") => snapshot(bytes),
        Some(b"SWMQJRNL") => header(bytes, MANIFEST_BYTES),
        Some(b"SWMQMARK") => {
            header(bytes, MARK_BYTES);
            header(bytes.get_mut(MARK_SLOT_STRIDE as usize..).unwrap_or_default(), MARK_BYTES);
        }
        _ => {}
    }
}

fn header(bytes: &mut [u8], length: usize) {
    if let Some(header) = bytes.get_mut(..length) {
        seal_checksum(header);
    }
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Cursor::new(bytes.get(offset..)?).u32()
}

fn segment(bytes: &mut [u8]) {
    header(bytes, SEGMENT_HEADER_BYTES);
    let (Some(mut chain), Some(salt)) = (number(bytes, 12), bytes.get(64..96)) else { return };
    let seed = crc32c::crc32c(salt);
    let mut rest = bytes.get_mut(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    while let Some((header, behind)) = rest.split_at_mut_checked(RECORD_HEADER_BYTES) {
        let (Some(length), Some([kind @ 1..=6, flags @ 0..=1])) = (number(header, 12), header.get(40..42))
        else {
            return;
        };
        let (_, tag) = (kind, usize::from(*flags) * TAG_BYTES);
        let Some((payload, behind)) = behind.split_at_mut_checked((length as usize).saturating_add(tag))
        else {
            return;
        };
        patch(header, 4, &crc32c::crc32c(payload).to_le_bytes());
        patch(header, 8, &chain.to_le_bytes());
        chain = crc32c::crc32c_append(seed, header.get(4..).unwrap_or_default());
        patch(header, 0, &chain.to_le_bytes());
        rest = behind;
    }
}

fn index(bytes: &mut [u8]) {
    let Some((head, body)) = bytes.split_at_mut_checked(INDEX_HEADER_BYTES) else { return };
    patch(head, 48, &(body.len() as u64).to_le_bytes());
    patch(head, 56, &crc32c::crc32c(body).to_le_bytes());
    seal_checksum(head);
}

fn snapshot(bytes: &mut [u8]) {
    header(bytes, SNAPSHOT_HEADER_BYTES);
    let tag = bytes.get(10).map_or(0, |flags| usize::from(flags & 1) * TAG_BYTES);
    let body = bytes.get_mut(SNAPSHOT_HEADER_BYTES..).unwrap_or_default();
    for (number, chunk) in body.chunks_mut(SNAPSHOT_CHUNK_BYTES + tag + CHECKSUM_BYTES).enumerate() {
        if let Some((stored, checksum)) = chunk.split_last_chunk_mut::<CHECKSUM_BYTES>() {
            *checksum = chunk_checksum(number as u64, stored).to_le_bytes();
        }
    }
}
