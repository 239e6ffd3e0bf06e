//! What an operator meets on a real directory: locks, keys, foreign directories; and readers while records move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use swarmmq_journal::{Entry, FileDisk, GroupId, Journal, MasterKey, OpenError, Options, Step, Writer};

const G: GroupId = GroupId(1);

fn options(key: Option<(&str, u8)>) -> Options {
    Options {
        segment_bytes: 64 << 10,
        reserve_bytes: 8 << 10,
        hot_bytes: 1,
        encryption: key.map(|(id, byte)| MasterKey { id: id.to_owned(), key: [byte; 32] }),
        ..Options::default()
    }
}

fn open(path: &Path, options: Options) -> Result<(Journal, Writer), OpenError> {
    Journal::open(Arc::new(FileDisk::new(path).unwrap()), options)
}

fn refusal(path: &Path, options: Options) -> String {
    open(path, options).map(|_| ()).unwrap_err().to_string()
}

fn payload(index: u64) -> Bytes {
    Bytes::from(vec![index as u8; 500 + (index % 100) as usize])
}

#[test]
fn a_second_process_is_told_who_has_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), options(None)).unwrap();
    let told = refusal(directory.path(), options(None));
    assert!(told.contains(&format!("pid {}", std::process::id())), "{told}");
    drop(first);
    open(directory.path(), options(None)).unwrap();
}

#[test]
fn a_wrong_missing_or_needless_key_is_told_by_its_id() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), options(Some(("x", 1)))).unwrap());
    let told = refusal(directory.path(), options(Some(("y", 2))));
    assert!(told.contains("key id \"x\"") && told.contains("id \"y\""), "{told}");
    let told = refusal(directory.path(), options(Some(("x", 2))));
    assert!(told.contains("not the same key"), "{told}");
    let told = refusal(directory.path(), options(None));
    assert!(told.contains("no key was given"), "{told}");
    drop(open(directory.path(), options(Some(("x", 1)))).unwrap());

    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), options(None)).unwrap());
    let told = refusal(directory.path(), options(Some(("y", 2))));
    assert!(told.contains("not encrypted"), "{told}");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("letters.txt"), "dear").unwrap();
    let told = refusal(directory.path(), options(None));
    assert!(told.contains("not a journal") && told.contains("letters.txt"), "{told}");
    assert!(!directory.path().join("journal.manifest").exists());
}

#[test]
fn a_newer_journal_is_refused_by_its_version() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), options(None)).unwrap());
    let path = directory.path().join("journal.manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    bytes[12..16].fill(0);
    let checksum = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let told = refusal(directory.path(), options(None));
    assert!(told.contains("format version 2"), "{told}");
}

/// 400 entries held out of 8,000, all purged: segments are moved, joined, recycled and removed while threads read.
#[test]
fn readers_see_every_held_entry_while_records_move() {
    for key in [None, Some(("k", 7))] {
        let directory = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(directory.path(), options(key)).unwrap();
        journal.holds_restored();
        let stop = Arc::new(AtomicBool::new(false));
        let held = |index: u64| index.is_multiple_of(20);
        let mut readers = Vec::new();
        for seed in 0..3u64 {
            let (journal, stop) = (journal.clone(), stop.clone());
            readers.push(std::thread::spawn(move || {
                let (mut reads, mut at) = (0u64, seed);
                while !stop.load(Ordering::Relaxed) {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let last = journal.state(G).last.map_or(0, |(last, _)| last);
                    let index = (at >> 33) % (last / 20 + 1) * 20;
                    if index == 0 {
                        continue;
                    }
                    let entry = journal.read(G, index).unwrap().expect("held");
                    assert_eq!(entry.payload, payload(index));
                    reads += 1;
                }
                reads
            }));
        }
        for round in 0..400u64 {
            let entries: Vec<Entry> = (round * 20 + 1..=round * 20 + 20)
                .map(|index| Entry { index, term: 1, payload: payload(index) })
                .collect();
            let last = round * 20 + 20;
            journal.append(G, entries, Box::new(|result| result.unwrap()));
            assert!(journal.hold(G, last));
            journal.purge(G, last - 1, Box::new(|result| result.unwrap()));
            let _ = writer.step();
            let _ = writer.idle();
        }
        while writer.idle() == Step::Worked {}
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
        let stats = journal.stats();
        assert!(stats.records_moved > 200 && stats.segments_removed > 20, "{stats:?}");
        assert!(stats.bytes < 1 << 20, "old messages pin segments: {stats:?}");
        drop(journal);
        drop(writer);
        let (journal, _writer) = open(directory.path(), options(key)).unwrap();
        for index in (1..=400 * 20).filter(|index| held(*index)) {
            assert_eq!(journal.read(G, index).unwrap().unwrap().payload, payload(index));
        }
    }
}
