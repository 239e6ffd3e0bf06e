//! Decoders take any bytes: noise, and valid files with bytes changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use swarmmq_journal::format::{IndexBuilder, IndexFile};
use swarmmq_journal::simulated::SimulatedDisk;
use swarmmq_journal::{Entry, GroupId, Journal, MetaKey, Options, fuzzing};

fn all(bytes: &[u8]) {
    fuzzing::segment_header(bytes);
    fuzzing::record_header(bytes);
    fuzzing::record_stream(bytes);
    fuzzing::index_file(bytes);
    fuzzing::file_list(bytes);
    fuzzing::mark(bytes);
    fuzzing::manifest(bytes);
    fuzzing::snapshot(bytes);
}

/// A journal with a file of every kind; its seed decides every byte.
fn files() -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedDisk::new(2026);
    let options = Options { segment_bytes: 8 << 10, reserve_bytes: 1 << 10, ..Options::default() };
    let (journal, mut writer) = Journal::open(Arc::new(disk.clone()), options).unwrap();
    journal.holds_restored();
    for index in 1..=40u64 {
        let payload = Bytes::from(format!("message {index} ").repeat(20));
        journal.append(GroupId(1), vec![Entry { index, term: 3, payload }], Box::new(|r| r.unwrap()));
        journal.put_meta(GroupId(2), MetaKey(1), Bytes::from(index.to_string()), Box::new(|r| r.unwrap()));
        let _ = writer.step();
        if index == 7 {
            journal.hold(GroupId(1), 7);
        }
    }
    journal.truncate_after(GroupId(1), 38, Box::new(|r| r.unwrap()));
    journal.purge(GroupId(1), 35, Box::new(|r| r.unwrap()));
    journal.write_snapshot(GroupId(1), 35, &[Bytes::from(vec![5; 3000])]).unwrap();
    writer.finish();
    drop(journal);
    disk.names()
        .into_iter()
        .map(|name| {
            let bytes = disk.contents(&name).unwrap();
            (name, bytes)
        })
        .collect()
}

fn fixture() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// Unused room at the end of a file is not kept in the repository.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..used.next_multiple_of(128).min(bytes.len())]
}

#[test]
fn version_1_is_written_byte_for_byte_as_ever() {
    let files = files();
    if std::env::var_os("JOURNAL_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(fixture()).unwrap();
        for (name, bytes) in &files {
            std::fs::write(fixture().join(name), trimmed(bytes)).unwrap();
        }
    }
    let kinds = ["manifest", "mark", "log", "cold", "index", "snap"];
    for kind in kinds {
        assert!(files.iter().any(|(name, _)| name.ends_with(kind)), "no {kind} file");
    }
    assert_eq!(std::fs::read_dir(fixture()).unwrap().count(), files.len());
    for (name, bytes) in &files {
        let kept = std::fs::read(fixture().join(name)).unwrap();
        assert_eq!(kept, trimmed(bytes), "{name} is written differently now");
    }
}

#[test]
fn version_1_is_read() {
    let disk = SimulatedDisk::new(1);
    for file in std::fs::read_dir(fixture()).unwrap() {
        let file = file.unwrap();
        disk.replace(&file.file_name().to_string_lossy(), &std::fs::read(file.path()).unwrap());
    }
    let options = Options { segment_bytes: 8 << 10, reserve_bytes: 1 << 10, ..Options::default() };
    let (journal, _writer) = Journal::open(Arc::new(disk), options).unwrap();
    let state = journal.state(GroupId(1));
    assert_eq!((state.purged, state.first, state.last), (Some((35, 3)), Some(36), Some((38, 3))));
    for index in [7, 36, 37, 38] {
        let payload = format!("message {index} ").repeat(20);
        assert_eq!(journal.read(GroupId(1), index).unwrap().unwrap().payload, payload);
    }
    assert_eq!(journal.meta(GroupId(2), MetaKey(1)).unwrap(), "40");
    assert_eq!(journal.read_snapshot(GroupId(1)).unwrap(), Some((35, Bytes::from(vec![5; 3000]))));
}

#[test]
fn an_index_ends_for_good_at_a_malformed_record() {
    let (_, bytes) = files().into_iter().find(|(name, _)| name.ends_with(".index")).unwrap();
    let whole = IndexFile::decode(&bytes).unwrap();
    assert!(whole.adds_up(false));
    let mut longer = bytes.clone();
    // No kind, and behind it what could be a record.
    longer.extend_from_slice(&[0, 3, 3, 3]);
    fuzzing::reseal(&mut longer);
    let longer = IndexFile::decode(&longer).unwrap();
    assert!(!longer.adds_up(false));
    let mut records = longer.records(false);
    assert!(records.by_ref().eq(whole.records(false)));
    assert_eq!((records.next(), records.next()), (None, None));
}

/// The lengths in an index are those of records in its segment, or the index is not believed.
#[test]
fn an_index_that_does_not_add_up_is_made_again() {
    for wrong in [u32::MAX, 1 << 28, 0] {
        let disk = SimulatedDisk::new(1);
        for (name, bytes) in files() {
            let bytes = match IndexFile::decode(&bytes).filter(|_| name.ends_with(".index")) {
                None => bytes,
                Some(index) => {
                    let mut lying = IndexBuilder::new(index.number);
                    for mut record in index.records(false) {
                        record.length = wrong;
                        lying.push(&record);
                    }
                    lying.finish(index.journal, index.end, index.last)
                }
            };
            disk.replace(&name, &bytes);
        }
        let options = Options { segment_bytes: 8 << 10, reserve_bytes: 1 << 10, ..Options::default() };
        let (journal, _writer) = Journal::open(Arc::new(disk), options).unwrap();
        assert!(!journal.recovery().indexes_rebuilt.is_empty(), "length {wrong}");
        for index in [7, 36, 37, 38] {
            let payload = format!("message {index} ").repeat(20);
            assert_eq!(journal.read(GroupId(1), index).unwrap().unwrap().payload, payload);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoders_survive_noise(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        all(&bytes);
    }
}

#[test]
fn decoders_survive_changed_files() {
    for (_, bytes) in files() {
        let bytes = trimmed(&bytes);
        for at in 0..bytes.len().min(600) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (at % 8);
            all(&changed);
            all(&bytes[..at]);
        }
    }
}
