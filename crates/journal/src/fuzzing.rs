//! The decoders, for fuzz targets: each takes any bytes, never panics, and takes no more memory than the bytes warrant.

mod reseal;

pub use reseal::reseal;

use crate::format::{FileList, IndexFile, Manifest, Mark, RecordHeader, SegmentHeader, SnapshotHeader};

/// A segment header.
pub fn segment_header(bytes: &[u8]) {
    let _ = SegmentHeader::decode(bytes);
}

/// A record header, under a seed of the first four bytes.
pub fn record_header(bytes: &[u8]) {
    if let Some((seed, rest)) = bytes.split_first_chunk::<4>() {
        let _ = RecordHeader::decode(rest, u32::from_le_bytes(*seed));
    }
}

/// A whole segment: header, records, and the search for valid ones after the first invalid one.
pub fn record_stream(bytes: &[u8]) {
    crate::offline::scan_bytes(bytes, |_| {});
}

/// An index file and all its records.
pub fn index_file(bytes: &[u8]) {
    if let Some(index) = IndexFile::decode(bytes) {
        let _ = index.records(false).count();
        let _ = index.records(true).count();
    }
}

/// A list of files.
pub fn file_list(bytes: &[u8]) {
    let _ = FileList::decode(bytes);
}

/// A mark file.
pub fn mark(bytes: &[u8]) {
    let _ = Mark::decode_file(bytes);
}

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    let _ = Manifest::decode(bytes);
}

/// A snapshot file that is not encrypted.
pub fn snapshot(bytes: &[u8]) {
    let _ = SnapshotHeader::decode(bytes);
    let _ = crate::snapshot::decode(bytes, None);
}
