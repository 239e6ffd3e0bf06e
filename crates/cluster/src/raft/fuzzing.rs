//! Decoding and encoding again, for fuzz targets.

use std::io;

use bytes::Bytes;
use openraft::EntryPayload;

use super::codec;

/// A vote.
///
/// # Errors
/// Where the bytes are none.
pub fn vote(bytes: Bytes) -> io::Result<Bytes> {
    codec::decode_vote(bytes).map(|vote| codec::encode_vote(&vote))
}

/// A log id.
///
/// # Errors
/// Where the bytes are none.
pub fn log_id(bytes: Bytes) -> io::Result<Bytes> {
    codec::decode_log_id(bytes).map(|id| codec::encode_log_id(&id))
}

/// A record of the log: its payload, and whether that is for the broker.
///
/// # Errors
/// Where the bytes are none.
pub fn entry(record: swarmmq_journal::Entry) -> io::Result<(Bytes, bool)> {
    let entry = codec::decode_entry(record)?;
    Ok((codec::encode_payload(&entry), matches!(entry.payload, EntryPayload::Normal(_))))
}

/// A snapshot as it stands in its file: its prefix and its chunks.
///
/// # Errors
/// Where the bytes are none.
pub fn snapshot(bytes: Bytes) -> io::Result<Bytes> {
    let (last, membership, rest) = codec::decode_snapshot_prefix(bytes)?;
    let chunks = codec::snapshot_chunks(rest)?;
    Ok(codec::frame_snapshot(last.as_ref(), &membership, chunks).concat().into())
}
