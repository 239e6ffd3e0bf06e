//! The files of a journal, byte by byte. All numbers are little-endian; all checksums are CRC-32C.
//!
//! # The directory
//!
//! ```text
//! journal.lock                     held with flock while a process has the journal open; names its pid
//! journal.manifest                 what this journal is, and which key it needs
//! journal.mark                     the durable mark: everything before it was synced
//! segment-0000000007.log           records in the order they were appended ("hot")
//! segment-0000000005.cold          live records that were moved out of mostly dead segments
//! segment-0000000005.index         what a sealed segment holds; rebuilt from it when missing
//! spare-0000000009.log             a segment allocated ahead, or an old one to be written again
//! snapshot-00000001-0000000000000042.snap     a group's snapshot up to an index
//! *.tmp                            being written; removed when the journal is opened
//! ```
//!
//! # Segment: header (128 bytes), then records back to back
//!
//! ```text
//!   0  u64  magic "SWMQSEGM"          64  [u8;32] salt, random: key and checksum seed derive from it
//!   8  u16  version 1                 96  u32  predecessor's end: where its records stop
//!  10  u8   flags: 1 encrypted,      100  u32  predecessor's last record's header checksum
//!               2 cold               104  [u8;24] zero
//!  11  u8   zero
//!  12  u32  checksum of the 128 bytes with this field zero
//!  16  [u8;16] journal id
//!  32  u32  segment number, rising, never used twice
//!  36  u32  predecessor's number, 0 for none
//!  40  [u8;24] zero
//! ```
//!
//! # Record: header (48 bytes), payload, and a 16-byte tag when encrypted
//!
//! ```text
//!   0  u32  header checksum of bytes 4..48, seeded with the checksum of the segment's salt
//!   4  u32  payload checksum, of the payload as stored (tag included)
//!   8  u32  chain: header checksum of the record before; the segment header's for the first
//!  12  u32  payload length, without the tag
//!  16  u64  index          entry, adopted: raft index; meta: key; truncate: first index removed; purge: last index purged
//!  24  u64  term           entry, adopted, purge: raft term; else zero
//!  32  u32  group          files: zero
//!  36  u32  hot: offset in this segment below which all was synced when this was written
//!           cold: number of the segment the record was first written to, its place in history
//!  40  u8   kind: 1 entry, 2 adopted, 3 meta, 4 truncate, 5 purge, 6 files
//!  41  u8   flags: 1 encrypted
//!  42  u16  zero
//!  44  u32  segment number, so that a recycled file's old records never pass for new ones
//! ```
//!
//! The salt seeds the header checksum so that a payload cannot contain bytes that look like a
//! record of the segment it will be written to. The header holds the payload's checksum, and the next
//! header holds this header's, so a lost, swapped, stale or altered record breaks the chain.
//!
//! Encrypted: AES-256-GCM under HKDF-SHA-256(master key, salt), the nonce is the record's offset in the
//! segment (96 bits, little-endian), bytes 12..36 and 40..42 of the header are authenticated. A segment
//! never has two different records at one offset: after a crash the tail is sealed and a new segment begun.
//!
//! The first record of every hot segment is a *files* record, synced with the header before the segment gets its name.
//! Files record payload: `u32` next segment number, `u32` count, then per sealed segment that exists
//! `u32` number, `u32` end, `u32` last header checksum. The latest one is the truth about which files belong to the journal.
//!
//! # Index file
//!
//! ```text
//!   0  u64  magic "SWMQINDX"     16  [u8;16] journal id      40  u32  last record's header checksum
//!   8  u16  version 1            32  u32  segment number     44  u32  record count
//!  10  u16  zero                 36  u32  end of records     48  u64  body length
//!  12  u32  checksum of the 64 bytes with this field zero    56  u32  body checksum   60  u32 zero
//!  64  body: per record, a tag byte: bits 0..3 kind, then whether there follows (in this order)
//!      bit 3  the group (varint)        else the record before's
//!      bit 4  the index (varint)        else one more than the group's record before
//!      bit 5  the term (varint)         else the group's record before's
//!      bit 6  the length (varint)       else the record before's
//!      bit 7  the origin (varint)       else the record before's; first: the segment itself
//! ```
//! A typical record takes two bytes.
//!
//! # Mark: two slots of 64 bytes at 0 and 4096, written in turn
//!
//! ```text
//!   0  u64  magic "SWMQMARK"     16  [u8;16] journal id      40  u32  segment number
//!   8  u16  version 1            32  u64  sequence, rising   44  u32  offset
//!  10  u16  zero                 48  [u8;16] zero
//!  12  u32  checksum of the 64 bytes with this field zero
//! ```
//!
//! # What a crash may cut, and what counts as damage
//!
//! Recovery reads the newest segment record by record and stops at the first invalid byte, X. X is a *torn
//! tail*, which is cut, unless something says that bytes beyond X were durable: the mark, or any valid
//! record after X whose "synced below" field is greater than X. Then it is *damage*, and the journal
//! refuses to open. Every batch thus vouches for all batches before it in its segment, and a segment that has
//! a successor is vouched for by the list of files. The window that remains: damage after the mark looks like a
//! torn tail when no valid record of a later batch is left after it. With the mark advanced that is
//! the very last batch; and more than that only if the whole rest of the segment was destroyed too. The mark is
//! advanced at every new segment, every `mark_bytes` and `mark_batches`, when the writer has been idle for
//! `idle_ms`, and when the journal is closed. Law 6 of the system covers the window: a majority of replicas has the batch.
//!
//! # Manifest (128 bytes)
//!
//! ```text
//!   0  u64  magic "SWMQJRNL"     16  [u8;16] journal id      64  [u8;32] key check value
//!   8  u16  version 1            32  [u8;32] key id, zeros after it
//!  10  u8   1 encrypted          96  [u8;32] zero
//!  11  u8   key id length
//!  12  u32  checksum of the 128 bytes with this field zero
//! ```
//!
//! # Snapshot: header (128 bytes), then chunks of at most 1 MiB, each followed by its CRC-32C (and tag before it)
//!
//! ```text
//!   0  u64  magic "SWMQSNAP"     16  [u8;16] journal id      64  [u8;32] salt
//!   8  u16  version 1            32  u32  group              96  [u8;32] zero
//!  10  u8   1 encrypted          36  u32  zero
//!  11  u8   zero                 40  u64  last index
//!  12  u32  checksum of the      48  u64  payload length
//!           128 bytes with       56  u64  zero
//!           this field zero
//! ```

mod files;
mod index;
mod manifest;
mod mark;
mod record;
mod segment;
mod snapshot;

pub use files::{FileList, SealedFile};
pub use index::{IndexBuilder, IndexFile, IndexRecord, IndexRecords};
pub use manifest::Manifest;
pub use mark::Mark;
pub use record::{Kind, RecordHeader};
pub use segment::SegmentHeader;
pub use snapshot::SnapshotHeader;

/// The version every structure is written with.
pub const VERSION: u16 = 1;
/// Length of a record header.
pub const RECORD_HEADER_BYTES: usize = 48;
/// Length of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 128;
/// Length of the authentication tag after an encrypted payload.
pub const TAG_BYTES: usize = 16;
/// Length of an index file's header.
pub const INDEX_HEADER_BYTES: usize = 64;
/// Length of a manifest.
pub const MANIFEST_BYTES: usize = 128;
/// Length of a mark's slot.
pub const MARK_BYTES: usize = 64;
/// Where the mark's second slot begins: in another page, so that no torn write takes both.
pub const MARK_SLOT_STRIDE: u64 = 4096;
/// Length of a snapshot's header.
pub const SNAPSHOT_HEADER_BYTES: usize = 128;
/// Payload bytes of a snapshot that share a checksum and a tag.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// Longest key id that fits the manifest.
pub const KEY_ID_BYTES_MAX: usize = 32;
/// Smallest segment: room for a list of files, a batch and the reserve.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// Largest segment: offsets are 32 bits, with room to compute beyond the end.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 31;

pub(crate) const LOCK_NAME: &str = "journal.lock";
pub(crate) const MANIFEST_NAME: &str = "journal.manifest";
pub(crate) const MARK_NAME: &str = "journal.mark";

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileName {
    Lock,
    Manifest,
    Mark,
    Hot(u32),
    Cold(u32),
    Index(u32),
    Spare(u32),
    Snapshot { group: u32, index: u64 },
    Temporary,
    Foreign,
}

impl FileName {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            LOCK_NAME => return Self::Lock,
            MANIFEST_NAME => return Self::Manifest,
            MARK_NAME => return Self::Mark,
            _ => {}
        }
        let parsed = if name.ends_with(".tmp") {
            Some(Self::Temporary)
        } else if let Some(rest) = name.strip_prefix("segment-") {
            rest.split_once('.').and_then(|(number, kind)| {
                let number = number.parse().ok()?;
                match kind {
                    "log" => Some(Self::Hot(number)),
                    "cold" => Some(Self::Cold(number)),
                    "index" => Some(Self::Index(number)),
                    _ => None,
                }
            })
        } else if let Some(rest) = name.strip_prefix("spare-") {
            rest.strip_suffix(".log").and_then(|number| number.parse().ok()).map(Self::Spare)
        } else if let Some(rest) = name.strip_prefix("snapshot-") {
            rest.strip_suffix(".snap").and_then(|rest| rest.split_once('-')).and_then(|(group, index)| {
                Some(Self::Snapshot {
                    group: u32::from_str_radix(group, 16).ok()?,
                    index: u64::from_str_radix(index, 16).ok()?,
                })
            })
        } else {
            None
        };
        // A name that is not exactly as we would write it is not ours.
        parsed.filter(|parsed| *parsed == Self::Temporary || parsed.text() == name).unwrap_or(Self::Foreign)
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::Lock => LOCK_NAME.to_owned(),
            Self::Manifest => MANIFEST_NAME.to_owned(),
            Self::Mark => MARK_NAME.to_owned(),
            Self::Hot(number) => format!("segment-{number:010}.log"),
            Self::Cold(number) => format!("segment-{number:010}.cold"),
            Self::Index(number) => format!("segment-{number:010}.index"),
            Self::Spare(number) => format!("spare-{number:010}.log"),
            Self::Snapshot { group, index } => format!("snapshot-{group:08x}-{index:016x}.snap"),
            Self::Temporary | Self::Foreign => String::new(),
        }
    }
}

/// A fixed-size structure whose checksum sits at bytes 12..16 and is computed with these zero.
pub(crate) fn seal_checksum(bytes: &mut [u8]) {
    crate::cursor::patch(bytes, 12, &[0; 4]);
    let checksum = crc32c::crc32c(bytes);
    crate::cursor::patch(bytes, 12, &checksum.to_le_bytes());
}

/// Checks what [`seal_checksum`] wrote and returns it.
fn sealed_checksum(bytes: &[u8]) -> Option<u32> {
    let stored = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    let computed = crc32c::crc32c(bytes.get(..12)?);
    let computed = crc32c::crc32c_append(computed, &[0; 4]);
    let computed = crc32c::crc32c_append(computed, bytes.get(16..)?);
    (stored == computed).then_some(stored)
}
