//! Opening a journal: making one, or reading back what a crash left.

pub(crate) mod identity;
mod replay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, read_up_to};
use crate::error::{Damage, OpenError, open_io};
use crate::fault::{self, Fault};
use crate::format::{FileList, FileName, IndexBuilder, Kind, MARK_NAME, Mark, SEGMENT_HEADER_BYTES};
use crate::load::open_segment;
use crate::mark::Marker;
use crate::options::Options;
use crate::segment::Segment;
use crate::state::{FileState, Shared, State};
use crate::tail::{STALE, Spare, Tail, TornTail, UNUSED, evidence_beyond, index_record, make_spare, scan};
use crate::writer::{Parts, Writer};

/// Bytes a mark file may have: two slots, far apart.
const MARK_FILE_BYTES_MAX: u64 = 2 * crate::format::MARK_SLOT_STRIDE;

/// What opening a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the directory was empty and a journal was made.
    pub created: bool,
    /// Segments read.
    pub segments: usize,
    /// Records replayed.
    pub records: u64,
    /// What a crash left unfinished and was cut.
    pub torn: Option<TornTail>,
    /// Segments whose index file was missing or damaged, and was made again.
    pub indexes_rebuilt: Vec<u32>,
    /// Files removed because the journal had already replaced them.
    pub leftovers: Vec<String>,
}

/// The directory's files, sorted by what they are.
#[derive(Default)]
struct Names {
    hot: BTreeSet<u32>,
    cold: BTreeSet<u32>,
    index: BTreeSet<u32>,
    spares: Vec<u32>,
    temporary: Vec<String>,
}

impl Names {
    fn sort(names: &[String]) -> Self {
        let mut sorted = Self::default();
        for name in names {
            match FileName::parse(name) {
                FileName::Hot(number) => {
                    sorted.hot.insert(number);
                }
                FileName::Cold(number) => {
                    sorted.cold.insert(number);
                }
                FileName::Index(number) => {
                    sorted.index.insert(number);
                }
                FileName::Spare(number) => sorted.spares.push(number),
                FileName::Temporary => sorted.temporary.push(name.clone()),
                _ => {}
            }
        }
        sorted
    }

    /// A number above all in use by any name.
    fn next(&self) -> u32 {
        [&self.hot, &self.cold, &self.index]
            .into_iter()
            .filter_map(|numbers| numbers.last())
            .max()
            .map_or(1, |last| last + 1)
    }
}

/// Opens or makes the journal in `disk`.
pub(crate) fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Writer, RecoveryReport), OpenError> {
    let lock = disk.lock()?;
    let names = disk.list().map_err(open_io("list", "."))?;
    let mut report = RecoveryReport::default();
    let (manifest, created) = identity::open_or_make(disk.as_ref(), &names, &options)?;
    report.created = created;
    let names = Names::sort(&names);
    let opening =
        Opening { disk: disk.as_ref(), options: &options, journal: manifest.journal, names: &names };
    let marker = opening.read_mark()?;
    let mut state = State {
        encrypted: options.encryption.is_some(),
        hot_bytes_max: options.hot_bytes,
        ..State::default()
    };
    let mut unindexed = VecDeque::new();
    let newest = opening.newest(&marker.mark, &mut report)?;
    let mut list = FileList { next: 1, ..FileList::default() };
    if let Some(newest) = &newest {
        list = newest.list.clone();
        opening.replay(&mut state, newest, &mut unindexed, &mut report)?;
    }
    list.next = list.next.max(names.next());
    let (tail, spares, next_spare) = opening.begin_tail(newest.as_ref(), &mut list)?;
    let mut marker = marker;
    marker.advance(tail.segment.number(), tail.end)?;
    if let Some(newest) = &newest {
        opening.seal_old_tail(newest)?;
        opening.clean(&list, tail.segment.number(), &mut report)?;
    }
    state.files.insert(tail.segment.number(), FileState::tail(&tail, options.segment_bytes));
    let shared = Arc::new(Shared {
        disk: disk.clone(),
        options,
        journal: manifest.journal,
        state: Mutex::new(state),
        work: Condvar::new(),
        wake: Mutex::new(None),
        observer: Mutex::new(None),
        snapshots: Mutex::new(()),
    });
    let writer = Writer::new(Parts { shared, lock, tail, list, spares, next_spare, marker, unindexed });
    Ok((writer, report))
}

/// The newest segment, read through to where its valid records end.
struct Newest {
    segment: Arc<Segment>,
    /// All other sealed files.
    list: FileList,
    index: IndexBuilder,
    end: u32,
    chain: u32,
}

struct Opening<'a> {
    disk: &'a dyn Disk,
    options: &'a Options,
    journal: [u8; 16],
    names: &'a Names,
}

impl Opening<'_> {
    fn read_mark(&self) -> Result<Marker, OpenError> {
        let file = self.disk.open(MARK_NAME).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                OpenError::Missing { file: MARK_NAME.to_owned() }
            } else {
                open_io("open", MARK_NAME)(error)
            }
        })?;
        let length = file.length().map_err(open_io("read", MARK_NAME))?;
        let bytes = read_up_to(file.as_ref(), 0, length.min(MARK_FILE_BYTES_MAX) as usize)
            .map_err(open_io("read", MARK_NAME))?;
        let mark = Mark::decode_file(&bytes).filter(|mark| mark.journal == self.journal);
        let mark = mark.ok_or_else(|| {
            OpenError::Damaged(Damage {
                file: MARK_NAME.to_owned(),
                offset: 0,
                record: None,
                expected: "a durable mark of this journal".to_owned(),
                found: "two slots that are not whole".to_owned(),
            })
        })?;
        Ok(Marker::new(file, mark))
    }

    /// Reads the newest hot segment and decides whether its end is a torn tail or damage.
    fn newest(&self, mark: &Mark, report: &mut RecoveryReport) -> Result<Option<Newest>, OpenError> {
        let newest = self.names.hot.last().copied().unwrap_or(0);
        if mark.segment > newest {
            return Err(OpenError::Missing { file: FileName::Hot(mark.segment).text() });
        }
        if newest == 0 {
            return Ok(None);
        }
        let segment =
            open_segment(self.disk, FileName::Hot(newest), self.journal, self.options.encryption.as_ref())?;
        let mut index = IndexBuilder::new(newest);
        let mut list = None;
        let mut last_record = None;
        let mut malformed = None;
        let end = scan(&segment, None, |header, offset, stored| {
            report.records += 1;
            last_record = Some(offset);
            index.push(&index_record(&segment, header, offset));
            if header.kind == Kind::Files {
                let plain = segment.decrypt(header, offset, stored.to_vec()).ok();
                match plain.and_then(|plain| FileList::decode(&plain)) {
                    Some(found) => list = Some(found),
                    None => malformed = Some(offset),
                }
            }
        })
        .map_err(open_io("read", &segment.name()))?;
        self.judge_end(&segment, mark, end.end, end.found, report)?;
        if malformed.is_some() || list.is_none() {
            let offset = malformed.unwrap_or(SEGMENT_HEADER_BYTES as u32);
            return Err(OpenError::Damaged(segment.damage(
                u64::from(offset),
                None,
                "the list of the journal's files",
                end.found,
            )));
        }
        Ok(Some(Newest { list: list.unwrap_or_default(), segment, index, end: end.end, chain: end.chain }))
    }

    /// Damage, when anything tells that bytes beyond the end were durable; a torn tail otherwise.
    fn judge_end(
        &self,
        segment: &Segment,
        mark: &Mark,
        end: u32,
        found: &'static str,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let tolerated = fault::active(Fault::CutBelowMark);
        if mark.segment == segment.number() && mark.offset > end && !tolerated {
            let expected = format!("records up to the durable mark at offset {}", mark.offset);
            return Err(OpenError::Damaged(segment.damage(u64::from(end), None, &expected, found)));
        }
        let evidence = evidence_beyond(segment, end).map_err(open_io("read", &segment.name()))?;
        if let Some((place, synced)) = evidence.filter(|_| !tolerated) {
            let expected = format!(
                "records up to offset {synced}, as the record at offset {place} tells that they were durable"
            );
            return Err(OpenError::Damaged(segment.damage(u64::from(end), None, &expected, found)));
        }
        if found != UNUSED && found != "the end" {
            report.torn =
                Some(TornTail { file: segment.name(), offset: u64::from(end), found: found.to_owned() });
            if found != STALE {
                tracing::warn!(file = segment.name(), offset = end, found, "cut a torn tail");
            }
        }
        Ok(())
    }

    /// Seals what was recovered by beginning a new segment after it.
    fn begin_tail(
        &self,
        newest: Option<&Newest>,
        list: &mut FileList,
    ) -> Result<(Tail, Vec<Spare>, u32), OpenError> {
        let bytes = self.options.segment_bytes;
        let mut spares = Vec::new();
        let mut next_spare = 1;
        for &number in &self.names.spares {
            next_spare = next_spare.max(number + 1);
            let name = FileName::Spare(number).text();
            let file = self.disk.open(&name).map_err(open_io("open", &name))?;
            // One of another size, or whose allocation a crash interrupted, is made anew.
            let usable = file.length().map_err(open_io("read", &name))? == bytes
                && spares.len() <= self.options.spare_segments
                && file.allocate(bytes).is_ok();
            if usable {
                spares.push(Spare { name, file });
            } else {
                self.disk.remove(&name).map_err(open_io("remove", &name))?;
            }
        }
        if spares.is_empty() {
            spares.push(make_spare(self.disk, next_spare, bytes).map_err(|failure| {
                if failure.is_full() { OpenError::NoSpace { bytes } } else { failure.into() }
            })?);
            next_spare += 1;
        }
        let mut predecessor = None;
        if let Some(newest) = newest {
            // What a killed process left in the page cache is about to be trusted, bytes and names: it has to be
            // durable first.
            if !fault::active(Fault::TrustUnsyncedTail) {
                self.disk.sync_dir().map_err(open_io("sync directory", "."))?;
                newest.segment.file.sync_data().map_err(open_io("sync", &newest.segment.name()))?;
            }
            let sealed = newest.sealed();
            list.sealed.insert(newest.segment.number(), sealed);
            predecessor = Some((newest.segment.number(), sealed));
        }
        let Some(spare) = spares.pop() else {
            return Err(OpenError::NoSpace { bytes });
        };
        let tail = Tail::begin(self.disk, self.options, self.journal, &spare, predecessor, list)?;
        Ok((tail, spares, next_spare))
    }

    /// Gives back the unused room of the old tail and writes its index.
    fn seal_old_tail(&self, newest: &Newest) -> Result<(), OpenError> {
        let name = newest.segment.name();
        newest.segment.file.set_length(u64::from(newest.end)).map_err(open_io("cut", &name))?;
        Ok(())
    }

    /// Removes what the list says the journal no longer has.
    fn clean(&self, list: &FileList, tail: u32, report: &mut RecoveryReport) -> Result<(), OpenError> {
        let mut remove = self.names.temporary.clone();
        let gone = |number: &u32| !list.sealed.contains_key(number) && *number != tail;
        let hot = self.names.hot.iter().map(|number| (number, FileName::Hot(*number)));
        let cold = self.names.cold.iter().map(|number| (number, FileName::Cold(*number)));
        let index = self.names.index.iter().map(|number| (number, FileName::Index(*number)));
        let unlisted = hot.chain(cold).chain(index).filter(|(number, _)| gone(number));
        remove.extend(unlisted.map(|(_, name)| name.text()));
        for name in remove {
            self.disk.remove(&name).map_err(open_io("remove", &name))?;
            report.leftovers.push(name);
        }
        Ok(())
    }
}

impl Newest {
    fn sealed(&self) -> crate::format::SealedFile {
        crate::format::SealedFile { end: self.end, last: self.chain }
    }

    fn index_bytes(&self, journal: [u8; 16]) -> Vec<u8> {
        self.index.finish(journal, self.end, self.chain)
    }
}

/// The indexes of sealed segments, kept while history still needs them.
type Indexes = BTreeMap<u32, Vec<u8>>;
