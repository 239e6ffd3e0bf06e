//! What a sealed segment holds: from its index file, or from the segment itself when that is missing or damaged.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, read_up_to};
use crate::error::{Damage, OpenError};
use crate::format::{FileName, IndexBuilder, IndexFile, SEGMENT_HEADER_BYTES, SealedFile, SegmentHeader};
use crate::options::MasterKey;
use crate::segment::Segment;
use crate::tail::{index_record, scan};

/// Why a segment's contents are unknown.
#[derive(Debug)]
pub(crate) enum LoadFault {
    Damaged(Damage),
    Missing(String),
    Io(&'static str, String, io::Error),
}

impl From<LoadFault> for OpenError {
    fn from(fault: LoadFault) -> Self {
        match fault {
            LoadFault::Damaged(damage) => Self::Damaged(damage),
            LoadFault::Missing(file) => Self::Missing { file },
            LoadFault::Io(operation, file, error) => Self::Io { operation, file, error },
        }
    }
}

/// Opens a segment and checks its header.
pub(crate) fn open_segment(
    disk: &dyn Disk,
    name: FileName,
    journal: [u8; 16],
    master: Option<&MasterKey>,
) -> Result<Arc<Segment>, LoadFault> {
    let text = name.text();
    let file = match disk.open(&text) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LoadFault::Missing(text));
        }
        Err(error) => return Err(LoadFault::Io("open", text, error)),
    };
    let bytes = read_up_to(file.as_ref(), 0, SEGMENT_HEADER_BYTES)
        .map_err(|error| LoadFault::Io("read", text.clone(), error))?;
    let damaged = |found: &str| {
        LoadFault::Damaged(Damage {
            file: text.clone(),
            offset: 0,
            record: None,
            expected: "a segment header".to_owned(),
            found: found.to_owned(),
        })
    };
    let header = SegmentHeader::decode(&bytes).map_err(damaged)?;
    let (number, cold) = match name {
        FileName::Cold(number) => (number, true),
        FileName::Hot(number) => (number, false),
        _ => return Err(damaged("a name that is no segment's")),
    };
    if header.journal != journal {
        return Err(damaged("a segment of another journal"));
    }
    if header.number != number || header.cold != cold {
        return Err(damaged("the header of another segment"));
    }
    if header.encrypted != master.is_some() {
        return Err(damaged("another kind of encryption than the manifest tells"));
    }
    Ok(Arc::new(Segment::new(header, file, master)))
}

/// The index of a sealed segment, and whether it had to be made from the segment.
pub(crate) fn load_index(
    disk: &dyn Disk,
    segment: &Segment,
    sealed: SealedFile,
) -> Result<(Vec<u8>, bool), LoadFault> {
    if let Some(bytes) = stored_index(disk, segment, sealed) {
        return Ok((bytes, false));
    }
    Ok((rebuild_index(segment, sealed)?, true))
}

/// The index file, if it is whole and describes exactly this segment.
pub(crate) fn stored_index(disk: &dyn Disk, segment: &Segment, sealed: SealedFile) -> Option<Vec<u8>> {
    let file = disk.open(&FileName::Index(segment.number()).text()).ok()?;
    let length = file.length().ok()?;
    // No index is larger than its segment: every record takes more there.
    if length > u64::from(sealed.end) {
        return None;
    }
    let bytes = read_up_to(file.as_ref(), 0, length as usize).ok()?;
    let index = IndexFile::decode(&bytes)?;
    let matches = index.journal == segment.header.journal
        && index.number == segment.number()
        && index.end == sealed.end
        && index.last == sealed.last
        && index.adds_up(segment.header.encrypted);
    matches.then_some(bytes)
}

/// Reads a sealed segment through; anything but all of its records is damage.
pub(crate) fn rebuild_index(segment: &Segment, sealed: SealedFile) -> Result<Vec<u8>, LoadFault> {
    let mut index = IndexBuilder::new(segment.number());
    let end = scan(segment, Some(sealed.end), |header, offset, _| {
        index.push(&index_record(segment, header, offset));
    })
    .map_err(|error| LoadFault::Io("read", segment.name(), error))?;
    if end.end != sealed.end || end.chain != sealed.last {
        let expected = format!("records up to offset {}", sealed.end);
        return Err(LoadFault::Damaged(segment.damage(u64::from(end.end), None, &expected, end.found)));
    }
    Ok(index.finish(segment.header.journal, sealed.end, sealed.last))
}
