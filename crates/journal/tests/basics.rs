//! What a journal does on a real directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use swarmmq_journal::{
    Completion, Entry, FileDisk, GroupId, Journal, JournalError, MasterKey, MetaKey, OpenError, Options, Step,
};

const G: GroupId = GroupId(1);

fn entry(index: u64, term: u64, text: &str) -> Entry {
    Entry { index, term, payload: Bytes::copy_from_slice(text.as_bytes()) }
}

fn waiter() -> (Completion, mpsc::Receiver<Result<(), JournalError>>) {
    let (tell, told) = mpsc::channel();
    (
        Box::new(move |result| {
            let _ = tell.send(result);
        }),
        told,
    )
}

fn small() -> Options {
    Options { segment_bytes: 64 << 10, reserve_bytes: 8 << 10, hot_bytes: 4 << 10, ..Options::default() }
}

fn open(
    path: &std::path::Path,
    options: Options,
) -> Result<(Journal, std::thread::JoinHandle<()>), OpenError> {
    let disk = Arc::new(FileDisk::new(path).unwrap());
    let (journal, writer) = Journal::open(disk, options)?;
    let thread = std::thread::spawn(move || writer.run());
    Ok((journal, thread))
}

#[test]
fn appended_entries_are_read_back_after_a_restart() {
    for encryption in [None, Some(MasterKey { id: "a".into(), key: [7; 32] })] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { encryption, ..small() };
        let (journal, thread) = open(directory.path(), options.clone()).unwrap();
        let mut told = Vec::new();
        for index in 1..=2000u64 {
            let (done, wait) = waiter();
            journal.append(
                G,
                vec![entry(index, 1, &format!("payload {index} {}", "x".repeat((index % 300) as usize)))],
                done,
            );
            told.push(wait);
        }
        let (done, wait) = waiter();
        journal.put_meta(G, MetaKey(3), Bytes::from_static(b"vote"), done);
        told.push(wait);
        for wait in told {
            wait.recv().unwrap().unwrap();
        }
        drop(journal);
        thread.join().unwrap();
        let (journal, thread) = open(directory.path(), options).unwrap();
        assert!(journal.recovery().segments > 3);
        assert_eq!(journal.state(G).last, Some((2000, 1)));
        for index in 1..=2000u64 {
            let found = journal.read(G, index).unwrap().unwrap();
            assert_eq!(
                found,
                entry(index, 1, &format!("payload {index} {}", "x".repeat((index % 300) as usize)))
            );
        }
        let range = journal.read_range(G, 5, 2001, 10_000).unwrap();
        assert!(range.len() > 10 && range.len() < 1000);
        assert_eq!(journal.meta(G, MetaKey(3)).unwrap(), &b"vote"[..]);
        drop(journal);
        thread.join().unwrap();
    }
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path()).unwrap());
    let (journal, mut writer) = Journal::open(disk, small()).unwrap();
    let (done, wait) = waiter();
    journal.append(G, vec![entry(1, 1, "a"), entry(3, 1, "c")], done);
    while writer.step() == Step::Worked {}
    assert!(matches!(wait.recv().unwrap(), Err(JournalError::Refused(_))));
    assert_eq!(journal.state(G).last, None);
}
