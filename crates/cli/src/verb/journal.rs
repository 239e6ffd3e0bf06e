//! `swarmmq journal`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use swarmmq_journal::format::Kind;
use swarmmq_journal::offline::{self, DumpedRecord, Filter, Report};
use swarmmq_journal::{Damage, Disk as _, DiskLock, FileDisk, GroupId, MasterKey, OpenError};
use swarmmq_node::config;

use crate::console::{Console, Octets, Table, printable};
use crate::failure::Failure;
use crate::quantity::show_count;

/// The file that makes a directory a journal.
const MANIFEST: &str = "journal.manifest";
/// Bytes of a payload that a person is shown.
const SHOWN_BYTES: usize = 60;

/// Look at the journal of a node that is not running; nothing is changed
#[derive(Debug, Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Read everything and report what is damaged; exits with 1 if anything is
    #[command(after_help = "\
EXAMPLES:
  swarmmq journal verify ./swarmmq-data
  swarmmq journal verify ./swarmmq-data --json | jq .damages")]
    Verify(Place),
    /// Write out the records
    #[command(after_help = "\
EXAMPLES:
  swarmmq journal dump ./swarmmq-data --group 3 --from 1000
  swarmmq journal dump ./swarmmq-data --kind entry --json | head")]
    Dump(Dump),
}

#[derive(Debug, Args)]
struct Place {
    /// The node's data directory, or the journal's in it
    directory: PathBuf,

    /// File with the key that the journal is encrypted with: 64 hexadecimal digits
    #[arg(long, value_name = "FILE", env = "SWARMMQ_MASTER_KEY_FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Dump {
    #[command(flatten)]
    place: Place,

    /// Only this group, which is a shard
    #[arg(long, value_name = "N")]
    group: Option<u32>,

    /// Only indexes from here on
    #[arg(long, value_name = "INDEX", default_value = "0", hide_default_value = true)]
    from: u64,

    /// Only this kind
    #[arg(long)]
    kind: Option<KindName>,
}

/// [`Kind`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    Entry,
    Adopted,
    Meta,
    Truncate,
    Purge,
    Files,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Entry => Self::Entry,
            KindName::Adopted => Self::Adopted,
            KindName::Meta => Self::Meta,
            KindName::Truncate => Self::Truncate,
            KindName::Purge => Self::Purge,
            KindName::Files => Self::Files,
        }
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Entry => "entry",
        Kind::Adopted => "adopted",
        Kind::Meta => "meta",
        Kind::Truncate => "truncate",
        Kind::Purge => "purge",
        Kind::Files => "files",
        _ => "unknown",
    }
}

/// What `verify` found, as a program reads it.
#[derive(Debug, Serialize)]
struct ReportRecord<'a> {
    directory: &'a Path,
    intact: bool,
    segments: usize,
    records: u64,
    snapshots: usize,
    indexes_to_rebuild: &'a [u32],
    torn: Option<String>,
    leftovers: &'a [String],
    damages: Vec<DamageRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct DamageRecord<'a> {
    file: &'a str,
    offset: u64,
    group: Option<u32>,
    index: Option<u64>,
    expected: &'a str,
    found: &'a str,
}

impl<'a> From<&'a Damage> for DamageRecord<'a> {
    fn from(damage: &'a Damage) -> Self {
        let Damage { file, offset, record, expected, found } = damage;
        let (group, index) = record.map(|(group, index)| (group.0, index)).unzip();
        Self { file, offset: *offset, group, index, expected, found }
    }
}

/// A record, as a program reads it.
#[derive(Debug, Serialize)]
struct RecordRecord<'a> {
    file: &'a str,
    offset: u32,
    kind: &'static str,
    group: u32,
    index: u64,
    term: u64,
    #[serde(flatten)]
    payload: Octets<'a>,
}

impl Journal {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        match self.deed {
            Deed::Verify(place) => verify(&Opened::new(&place, &console)?, &console),
            Deed::Dump(dump) => {
                let group = dump.group.map(GroupId);
                let filter = Filter { group, from: dump.from, kind: dump.kind.map(Kind::from) };
                show(&Opened::new(&dump.place, &console)?, filter, &console)
            }
        }
    }
}

/// A journal that no node has open, for as long as this lives.
struct Opened {
    directory: PathBuf,
    disk: FileDisk,
    key: Option<MasterKey>,
    _lock: Option<Box<dyn DiskLock>>,
}

impl Opened {
    fn new(place: &Place, console: &Console) -> Result<Self, Failure> {
        let directory = [place.directory.clone(), place.directory.join("journal")]
            .into_iter()
            .find(|directory| directory.join(MANIFEST).is_file())
            .ok_or_else(|| {
                Failure::usage(format!("there is no journal in {}", place.directory.display()))
                    .hint("give the data directory of a node, as in its configuration's node.data_dir")
            })?;
        let disk = FileDisk::read_only(&directory)
            .map_err(|error| Failure::usage(format!("cannot open {}: {error}", directory.display())))?;
        let lock = match disk.lock() {
            Ok(lock) => Some(lock),
            Err(error @ OpenError::Locked { .. }) => {
                return Err(refused(&directory, &error)
                    .hint("stop the node first, or look at a copy of the directory"));
            }
            // A directory that nobody can write to has no node either, as a mounted backup.
            Err(error) => {
                console.warn(format!("looking without a lock, no node may write to it meanwhile: {error}"));
                None
            }
        };
        let key = place.key_file.as_deref().map(|file| key(file, &disk)).transpose()?;
        Ok(Self { directory, disk, key, _lock: lock })
    }

    fn refused(&self, error: &OpenError) -> Failure {
        let failure = refused(&self.directory, error);
        match error {
            OpenError::KeyMissing { .. } => failure.hint("give the key with --key-file"),
            _ => failure,
        }
    }
}

fn refused(directory: &Path, error: &OpenError) -> Failure {
    Failure::failed(error.to_string()).during(directory.display())
}

/// The key in `file`, under the id that the journal knows its key by.
fn key(file: &Path, disk: &FileDisk) -> Result<MasterKey, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the key from {}: {error}", file.display())))?;
    let key = config::MasterKey::from_hexadecimal(&text).ok_or_else(|| {
        Failure::usage(format!("{}: it does not hold 64 hexadecimal digits", file.display()))
    })?;
    let id = match offline::dump(disk, None, Filter::default()).err() {
        Some(OpenError::KeyMissing { expected }) => expected,
        _ => String::new(),
    };
    Ok(MasterKey { id, key: key.0 })
}

fn verify(opened: &Opened, console: &Console) -> Result<(), Failure> {
    let report =
        offline::verify(&opened.disk, opened.key.as_ref()).map_err(|error| opened.refused(&error))?;
    let damages = report.damages.len();
    if console.is_json() {
        console.object(&record_of(&report, &opened.directory))?;
    } else {
        facts(&report, &opened.directory).print(console)?;
        for damage in &report.damages {
            console.line(format!("{} {damage}", console.paint.error("damaged:")))?;
        }
        if damages == 0 {
            console.line(console.paint.good("intact"))?;
        }
    }
    if damages == 0 {
        return Ok(());
    }
    let found = show_count(damages as u64);
    Err(Failure::failed(format!("{}: {found} damaged", opened.directory.display()))
        .hint("keep a copy of the directory as it is; a node does not start on it"))
}

fn record_of<'a>(report: &'a Report, directory: &'a Path) -> ReportRecord<'a> {
    let torn = report.torn.as_ref();
    ReportRecord {
        directory,
        intact: report.damages.is_empty(),
        segments: report.segments,
        records: report.records,
        snapshots: report.snapshots,
        indexes_to_rebuild: &report.indexes_to_rebuild,
        torn: torn.map(|torn| format!("{} at offset {}: {}", torn.file, torn.offset, torn.found)),
        leftovers: &report.leftovers,
        damages: report.damages.iter().map(DamageRecord::from).collect(),
    }
}

fn facts(report: &Report, directory: &Path) -> Table {
    let mut facts = Table::facts();
    facts.fact("journal", directory.display().to_string());
    facts.fact("segments", show_count(report.segments as u64));
    facts.fact("records", show_count(report.records));
    facts.fact("snapshots", show_count(report.snapshots as u64));
    if let Some(torn) = &report.torn {
        let place = format!("{} at offset {}", torn.file, torn.offset);
        facts.fact("unfinished", format!("{place}: {}; a crash left it, opening cuts it", torn.found));
    }
    if !report.indexes_to_rebuild.is_empty() {
        facts.fact("indexes", format!("{} to make again when it is opened", report.indexes_to_rebuild.len()));
    }
    if !report.leftovers.is_empty() {
        facts.fact("leftovers", format!("{}; opening removes them", report.leftovers.join(", ")));
    }
    facts
}

fn show(opened: &Opened, filter: Filter, console: &Console) -> Result<(), Failure> {
    let records =
        offline::dump(&opened.disk, opened.key.as_ref(), filter).map_err(|error| opened.refused(&error))?;
    for record in records {
        let record = record.map_err(|error| opened.refused(&error))?;
        if console.is_json() {
            console.object(&RecordRecord {
                file: &record.file,
                offset: record.offset,
                kind: kind_name(record.kind),
                group: record.group.0,
                index: record.index,
                term: record.term,
                payload: Octets { names: ("payload", "payload_base64"), bytes: &record.payload },
            })?;
        } else {
            console.line(line(&record))?;
        }
    }
    Ok(())
}

fn line(record: &DumpedRecord) -> String {
    let DumpedRecord { file, offset, group, index, term, payload, .. } = record;
    let shown = payload.get(..SHOWN_BYTES.min(payload.len())).unwrap_or_default();
    let more = if shown.len() < payload.len() { "…" } else { "" };
    let (kind, size, shown) = (kind_name(record.kind), payload.len(), printable(shown, false));
    format!("{file}:{offset} {kind} group {group} index {index} term {term}, {size} bytes: {shown}{more}")
}
