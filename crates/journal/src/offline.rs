//! Looking at a journal that is not open: what `swarmmq journal verify` and `dump` print. Nothing here writes.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::disk::{Disk, read_up_to};
use crate::error::{Damage, OpenError, open_io};
use crate::format::{FileList, FileName, Kind, MARK_NAME, MARK_SLOT_STRIDE, Mark, SealedFile, SegmentHeader};
use crate::load::{LoadFault, open_segment, stored_index};
use crate::options::MasterKey;
use crate::recovery::identity::{check_key, read};
use crate::segment::Segment;
use crate::tail::{STALE, TornTail, UNUSED, evidence_beyond, scan};
use crate::{GroupId, snapshot};

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read through.
    pub segments: usize,
    /// Records whose checksums and chain are right.
    pub records: u64,
    /// Snapshots read through.
    pub snapshots: usize,
    /// Index files that are missing or damaged: opening makes them again.
    pub indexes_to_rebuild: Vec<u32>,
    /// What the last crash left unfinished: opening cuts it.
    pub torn: Option<TornTail>,
    /// Files the journal no longer lists: opening removes them.
    pub leftovers: Vec<String>,
    /// What must not be: each names file, offset, what was expected and found.
    pub damages: Vec<Damage>,
}

/// One record of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedRecord {
    /// The segment's file.
    pub file: String,
    /// Where in it the record begins.
    pub offset: u32,
    /// The kind.
    pub kind: Kind,
    /// The group.
    pub group: GroupId,
    /// Raft index, or what the kind makes of it.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// The payload; empty for a record that does not decrypt.
    pub payload: Bytes,
}

/// Which records to dump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this group.
    pub group: Option<GroupId>,
    /// Only indexes from here on.
    pub from: u64,
    /// Only this kind.
    pub kind: Option<Kind>,
}

/// The segments of a journal as found on disk, without any repair.
struct Survey {
    journal: [u8; 16],
    names: Vec<FileName>,
    mark: Option<Mark>,
}

fn survey(disk: &dyn Disk, key: Option<&MasterKey>) -> Result<Survey, OpenError> {
    let manifest = read(disk)?;
    check_key(&manifest, key)?;
    let mut names: Vec<FileName> =
        disk.list().map_err(open_io("list", "."))?.iter().map(|name| FileName::parse(name)).collect();
    names.sort_unstable();
    let mark = disk.open(MARK_NAME).ok().and_then(|file| {
        let bytes = read_up_to(file.as_ref(), 0, 2 * MARK_SLOT_STRIDE as usize).ok()?;
        Mark::decode_file(&bytes)
    });
    Ok(Survey { journal: manifest.journal, names, mark })
}

/// Reads a whole journal and reports all that is wrong, without changing anything.
///
/// # Errors
/// Only when it cannot be looked at: no manifest, the wrong key, or a disk that refuses to read.
pub fn verify(disk: &dyn Disk, key: Option<&MasterKey>) -> Result<Report, OpenError> {
    let survey = survey(disk, key)?;
    let mut report = Report::default();
    if survey.mark.is_none() {
        report.damages.push(Damage {
            file: MARK_NAME.to_owned(),
            offset: 0,
            record: None,
            expected: "a durable mark".to_owned(),
            found: "no whole slot".to_owned(),
        });
    }
    let newest = survey
        .names
        .iter()
        .filter_map(|name| match name {
            FileName::Hot(number) => Some(*number),
            _ => None,
        })
        .max();
    let marked = survey.mark.map_or(0, |mark| mark.segment);
    if marked > newest.unwrap_or(0) {
        report.damages.push(missing(FileName::Hot(marked)));
    }
    let mut list = FileList::default();
    if let Some(newest) = newest {
        list = verify_newest(disk, key, &survey, newest, &mut report)?;
    }
    for (&number, &sealed) in &list.sealed {
        verify_sealed(disk, key, &survey, number, sealed, &mut report)?;
    }
    for name in &survey.names {
        match *name {
            FileName::Hot(number) | FileName::Cold(number) | FileName::Index(number)
                if newest.is_some() && Some(number) != newest && !list.sealed.contains_key(&number) =>
            {
                report.leftovers.push(name.text());
            }
            FileName::Snapshot { group, index } => {
                verify_snapshot(disk, key, *name, (GroupId(group), index), &mut report)?;
            }
            _ => {}
        }
    }
    Ok(report)
}

fn missing(name: FileName) -> Damage {
    Damage {
        file: name.text(),
        offset: 0,
        record: None,
        expected: "a file that the journal lists".to_owned(),
        found: "none".to_owned(),
    }
}

/// Takes damage into the report; any other fault stops verifying.
fn note<T>(loaded: Result<T, LoadFault>, report: &mut Report) -> Result<Option<T>, OpenError> {
    match loaded {
        Ok(loaded) => Ok(Some(loaded)),
        Err(LoadFault::Damaged(damage)) => {
            report.damages.push(damage);
            Ok(None)
        }
        Err(LoadFault::Missing(file)) => {
            report.damages.push(Damage {
                file,
                offset: 0,
                record: None,
                expected: "a file that the journal lists".to_owned(),
                found: "none".to_owned(),
            });
            Ok(None)
        }
        Err(fault) => Err(fault.into()),
    }
}

fn verify_newest(
    disk: &dyn Disk,
    key: Option<&MasterKey>,
    survey: &Survey,
    number: u32,
    report: &mut Report,
) -> Result<FileList, OpenError> {
    let opened = open_segment(disk, FileName::Hot(number), survey.journal, key);
    let Some(segment) = note(opened, report)? else {
        return Ok(FileList::default());
    };
    report.segments += 1;
    let mut list = FileList::default();
    let end = scan(&segment, None, |header, offset, stored| {
        report.records += 1;
        if header.kind == Kind::Files {
            let plain = segment.decrypt(header, offset, stored.to_vec()).ok();
            list = plain.and_then(|plain| FileList::decode(&plain)).unwrap_or_default();
        }
    })
    .map_err(open_io("read", &segment.name()))?;
    let marked = survey.mark.filter(|mark| mark.segment == number).map_or(0, |mark| mark.offset);
    let evidence = evidence_beyond(&segment, end.end).map_err(open_io("read", &segment.name()))?;
    let durable = evidence.map_or(marked, |(_, synced)| marked.max(synced));
    if durable > end.end {
        let expected = format!("records up to offset {durable}, which were durable");
        let damage = segment.damage(u64::from(end.end), None, &expected, end.found);
        report.damages.push(damage);
    } else if end.found != UNUSED && end.found != STALE && end.found != "the end" {
        report.torn =
            Some(TornTail { file: segment.name(), offset: u64::from(end.end), found: end.found.to_owned() });
    }
    Ok(list)
}

fn verify_sealed(
    disk: &dyn Disk,
    key: Option<&MasterKey>,
    survey: &Survey,
    number: u32,
    sealed: SealedFile,
    report: &mut Report,
) -> Result<(), OpenError> {
    let name = if survey.names.contains(&FileName::Cold(number)) {
        FileName::Cold(number)
    } else {
        FileName::Hot(number)
    };
    let opened = open_segment(disk, name, survey.journal, key);
    let Some(segment) = note(opened, report)? else {
        return Ok(());
    };
    report.segments += 1;
    let mut unreadable = None;
    let end = scan(&segment, Some(sealed.end), |header, offset, stored| {
        report.records += 1;
        if let Err(found) = segment.decrypt(header, offset, stored.to_vec()) {
            let record = Some((GroupId(header.group), header.index));
            unreadable = Some(segment.damage(u64::from(offset), record, "a payload", found));
        }
    })
    .map_err(open_io("read", &segment.name()))?;
    report.damages.extend(unreadable);
    if end.end != sealed.end || end.chain != sealed.last {
        let expected = format!("records up to offset {}", sealed.end);
        let damage = segment.damage(u64::from(end.end), None, &expected, end.found);
        report.damages.push(damage);
    }
    if stored_index(disk, &segment, sealed).is_none() {
        report.indexes_to_rebuild.push(number);
    }
    Ok(())
}

fn verify_snapshot(
    disk: &dyn Disk,
    key: Option<&MasterKey>,
    name: FileName,
    record: (GroupId, u64),
    report: &mut Report,
) -> Result<(), OpenError> {
    let text = name.text();
    let file = disk.open(&text).map_err(open_io("open", &text))?;
    let length = file.length().map_err(open_io("read", &text))?;
    let bytes = read_up_to(file.as_ref(), 0, length as usize).map_err(open_io("read", &text))?;
    report.snapshots += 1;
    if let Err(found) = snapshot::decode_with(&bytes, key) {
        report.damages.push(Damage {
            file: text,
            offset: 0,
            record: Some(record),
            expected: "a whole snapshot".to_owned(),
            found: found.to_owned(),
        });
    }
    Ok(())
}

/// Reads the valid records of all segments, oldest file first, one segment at a time.
///
/// Records that were purged, truncated or moved but whose file is still there are told too.
///
/// # Errors
/// When there is no journal, or the key is wrong. A segment that cannot be read ends the iteration with its error.
pub fn dump<'a>(
    disk: &'a dyn Disk,
    key: Option<&'a MasterKey>,
    filter: Filter,
) -> Result<impl Iterator<Item = Result<DumpedRecord, OpenError>> + 'a, OpenError> {
    let survey = survey(disk, key)?;
    let mut segments: BTreeMap<u32, FileName> = BTreeMap::new();
    for name in &survey.names {
        if let FileName::Hot(number) | FileName::Cold(number) = *name {
            segments.insert(number, *name);
        }
    }
    let journal = survey.journal;
    Ok(segments.into_values().flat_map(move |name| match dump_segment(disk, name, journal, key, filter) {
        Ok(records) => records.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    }))
}

fn dump_segment(
    disk: &dyn Disk,
    name: FileName,
    journal: [u8; 16],
    key: Option<&MasterKey>,
    filter: Filter,
) -> Result<Vec<DumpedRecord>, OpenError> {
    let segment = open_segment(disk, name, journal, key)?;
    let mut records = Vec::new();
    scan(&segment, None, |header, offset, stored| {
        let wanted = filter.group.is_none_or(|group| group.0 == header.group)
            && header.index >= filter.from
            && filter.kind.is_none_or(|kind| kind == header.kind);
        if wanted {
            records.push(DumpedRecord {
                file: segment.name(),
                offset,
                kind: header.kind,
                group: GroupId(header.group),
                index: header.index,
                term: header.term,
                payload: segment.decrypt(header, offset, stored.to_vec()).unwrap_or_default(),
            });
        }
    })
    .map_err(open_io("read", &segment.name()))?;
    Ok(records)
}

/// Reads the records of a segment's bytes, for fuzzing.
pub(crate) fn scan_bytes(bytes: &[u8], each: impl FnMut(u32)) -> bool {
    let Ok(header) = SegmentHeader::decode(bytes) else {
        return false;
    };
    let disk = crate::simulated::SimulatedDisk::new(0);
    disk.replace("segment", bytes);
    let Ok(file) = disk.open("segment") else {
        return false;
    };
    let segment = Segment::new(header, file, None);
    let mut each = each;
    let Ok(end) = scan(&segment, None, |_, offset, _| each(offset)) else {
        return false;
    };
    evidence_beyond(&segment, end.end).is_ok()
}
