//! Opening a journal whose directory was damaged: it opens with what can be trusted, or refuses and says
//! where, and then no file was changed. What opens works, and can be opened again.
//!
//! The input is a program of changes to the directory of a small journal.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::{fixtures, input::Input, memory::bounded};
use swarmmq_journal::simulated::SimulatedDisk;
use swarmmq_journal::{
    Disk as _, Entry, GroupId, Journal, MasterKey, MetaKey, OpenError, Options, Step, Writer, fuzzing,
    offline,
};

const GROUP: GroupId = GroupId(1);
const STEPS_MAX: usize = 64;
const FILE_BYTES_MAX: usize = 64 << 10;
/// Work after opening, in steps of the writer: far more than there can be to do.
const WRITER_STEPS_MAX: usize = 10_000;

type Files = BTreeMap<String, Vec<u8>>;

fn options(encrypted: bool) -> Options {
    let key = MasterKey { id: "k1".into(), key: [9; 32] };
    Options {
        segment_bytes: 8 << 10,
        reserve_bytes: 1 << 10,
        encryption: encrypted.then_some(key),
        ..Options::default()
    }
}

fn open(disk: &SimulatedDisk, encrypted: bool) -> Result<(Journal, Writer), OpenError> {
    Journal::open(Arc::new(disk.clone()), options(encrypted))
}

fn files(disk: &SimulatedDisk) -> Files {
    disk.names().into_iter().filter_map(|name| disk.contents(&name).map(|bytes| (name, bytes))).collect()
}

/// A journal with a file of every kind, closed or found after a crash.
fn made(encrypted: bool, crashed: bool) -> Files {
    let disk = SimulatedDisk::new(2026);
    let (journal, mut writer) = open(&disk, encrypted).expect("an empty directory becomes a journal");
    journal.holds_restored();
    for index in 1..=30 {
        let payload = Bytes::from(format!("message {index} ").repeat(20));
        journal.append(GROUP, vec![Entry { index, term: 3, payload }], Box::new(|_| {}));
        journal.put_meta(GroupId(2), MetaKey(1), Bytes::from(index.to_string()), Box::new(|_| {}));
        let _ = writer.step();
        if index == 7 {
            journal.hold(GROUP, 7);
        }
    }
    journal.truncate_after(GROUP, 28, Box::new(|_| {}));
    journal.purge(GROUP, 20, Box::new(|_| {}));
    let _ = journal.write_snapshot(GROUP, 20, &[Bytes::from(vec![5; 3000])]);
    if crashed {
        let _ = writer.step();
        return files(&disk.crash());
    }
    writer.finish();
    files(&disk)
}

/// What the changes begin with, and whether it is encrypted.
static BASES: LazyLock<Vec<(Files, bool)>> = LazyLock::new(|| {
    let fixture = fixtures::JOURNAL.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    vec![
        (fixture.collect(), false),
        (made(false, false), false),
        (made(false, true), false),
        (made(true, true), true),
        (Files::new(), false),
    ]
});

/// A name of one of the files, or one that a journal may give or leave.
fn name(files: &Files, choice: u8) -> String {
    let number = u32::from(choice >> 4);
    match files.keys().nth(usize::from(choice % 16)) {
        Some(name) => name.clone(),
        None => match choice % 4 {
            0 => format!("segment-{number:010}.log"),
            1 => format!("segment-{number:010}.index"),
            2 => format!("spare-{number:010}.log"),
            _ => format!("segment-{number:010}.tmp"),
        },
    }
}

/// Makes one change. The file is resealed where the change says so, as if a program had written it.
fn change(files: &mut Files, input: &mut Input<'_>) {
    let operation = input.u8();
    let name = name(files, input.u8());
    let place = usize::from(input.u16());
    if operation % 16 == 14 {
        files.remove(&name);
        return;
    }
    let other = if operation % 16 == 13 { self::name(files, input.u8()) } else { name.clone() };
    let mut bytes = files.get(&other).cloned().unwrap_or_default();
    match operation % 16 {
        0..=3 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = input.u8();
            }
        }
        4..=7 => {
            let value = input.u64().to_le_bytes();
            let width = [1, 2, 4, 8][usize::from(operation % 4)];
            if let Some(target) = bytes.get_mut(place..place + width) {
                target.copy_from_slice(&value[..width]);
            }
        }
        8 | 9 => bytes.truncate(place),
        10 => bytes.resize((place + bytes.len()).min(FILE_BYTES_MAX), 0),
        11 => {
            let more = input.short();
            let at = place.min(bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        12 => bytes = input.long().to_vec(),
        _ => {}
    }
    bytes.truncate(FILE_BYTES_MAX);
    if operation & 16 != 0 {
        fuzzing::reseal(&mut bytes);
    }
    files.insert(name, bytes);
}

/// An error names the file, and where in it, or says what is wrong with the key or the directory.
fn check_error(error: &OpenError) {
    match error {
        OpenError::Damaged(damage) => {
            assert!(!damage.file.is_empty() && !damage.expected.is_empty() && !damage.found.is_empty());
        }
        OpenError::Missing { file } | OpenError::NewerVersion { file, .. } => assert!(!file.is_empty()),
        OpenError::NotAJournal { found } => assert!(!found.is_empty()),
        OpenError::WrongKey { .. } | OpenError::KeyMissing { .. } | OpenError::NotEncrypted { .. } => {}
        _ => panic!("no damage of a file has this error: {error:?}"),
    }
    assert!(!error.to_string().is_empty());
}

/// Reads all there is. A record below what was known to be whole may be damaged; that is an error, no more.
fn read_all(journal: &Journal) {
    for group in journal.groups() {
        let state = journal.state(group);
        let (Some(first), Some((last, _))) = (state.first, state.last) else { continue };
        let mut from = first;
        while from <= last {
            let Ok(entries) = journal.read_range(group, from, last.saturating_add(1), 64 << 10) else {
                break;
            };
            let Some(read) = entries.last() else { break };
            assert_eq!(entries.first().map(|entry| entry.index), Some(from), "a log has no gaps");
            if read.index == u64::MAX {
                break;
            }
            from = read.index + 1;
        }
        let _ = journal.read(group, last);
        let _ = journal.read_snapshot(group);
        let _ = journal.meta(group, MetaKey(1));
    }
}

fn settle(writer: &mut Writer) {
    let mut steps = 0;
    while writer.step() == Step::Worked || writer.idle() == Step::Worked {
        steps += 1;
        assert!(steps < WRITER_STEPS_MAX, "the writer never comes to an end");
    }
}

/// Appends to what was opened, and finds it after a crash.
fn use_it(disk: &SimulatedDisk, journal: &Journal, writer: &mut Writer, encrypted: bool) {
    read_all(journal);
    let group = GroupId(77);
    let index = journal.state(group).last.map_or(1, |(last, _)| last.saturating_add(1));
    let payload = Bytes::from_static(b"after the recovery");
    let outcome = Arc::new(Mutex::new(None));
    let told = outcome.clone();
    let done = Box::new(move |result: Result<(), _>| *told.lock().unwrap() = Some(result.is_ok()));
    journal.append(group, vec![Entry { index, term: 9, payload: payload.clone() }], done);
    journal.holds_restored();
    settle(writer);
    let outcome = outcome.lock().unwrap().take();
    if index == u64::MAX {
        return;
    }
    assert_eq!(outcome, Some(true), "a disk with room takes an entry that follows on");
    let (again, _writer) = match open(&disk.crash(), encrypted) {
        Ok(opened) => opened,
        Err(error) => panic!("what opened does not open again: {error}"),
    };
    let entry = again.read(group, index).expect("what was acknowledged can be read");
    assert_eq!(entry.map(|entry| entry.payload), Some(payload), "what was acknowledged is there");
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (base, encrypted) = &BASES[usize::from(input.u8()) % BASES.len()];
    let mut files = base.clone();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        change(&mut files, &mut input);
    }
    let disk = SimulatedDisk::new(1);
    for (name, bytes) in &files {
        disk.replace(name, bytes);
    }
    let size: usize = files.values().map(Vec::len).sum();
    let most = 32 * size + (4 << 20);
    let key = options(*encrypted).encryption;
    bounded(most, || {
        if let Ok(report) = offline::verify(&disk, key.as_ref()) {
            report.damages.iter().for_each(|damage| assert!(!damage.file.is_empty()));
        }
    });
    let names = disk.list().map(|names| names.len()).unwrap_or_default();
    assert_eq!(names, files.len(), "verifying writes nothing");
    bounded(most, || match open(&disk, *encrypted) {
        Ok((journal, mut writer)) => use_it(&disk, &journal, &mut writer, *encrypted),
        Err(error) => {
            check_error(&error);
            let mut left = self::files(&disk);
            left.remove("journal.lock");
            files.remove("journal.lock");
            assert!(left == files, "a journal that refuses to open leaves the files as they are: {error}");
        }
    });
});
