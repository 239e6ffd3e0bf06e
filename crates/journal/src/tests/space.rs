//! Full disks, which pass, and failed syncs, which do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::harness::{Harness, options};
use crate::fault::{self, Fault};
use crate::simulated::Operation;
use crate::{GroupId, JournalError, MetaKey, OpenError, Options, SnapshotError, Step};

fn small_disk(capacity: u64) -> Harness {
    let mut harness = Harness::new(1, options());
    harness.disk.set_capacity(Some(capacity));
    harness.try_open().unwrap();
    harness.journal().holds_restored();
    harness
}

fn fill(harness: &mut Harness) -> usize {
    let mut appended = 0;
    while harness.journal().admits(200) {
        harness.append(0, 1, 200);
        let _ = harness.step();
        appended += 1;
        assert!(appended < 10_000, "the disk never fills");
    }
    appended
}

#[test]
fn a_full_disk_refuses_data_takes_control_records_and_recovers_by_itself() {
    let mut harness = small_disk(60 << 10);
    assert!(fill(&mut harness) > 50);
    harness.settle();
    assert!(harness.completed_all(), "what was admitted has room");
    assert!(harness.journal().space().full);
    harness.check_running();
    harness.meta(0, 1, 10);
    harness.purge(0, 3);
    harness.settle();
    assert!(harness.completed_all(), "control records fit the reserve");
    assert!(harness.journal().admits(200), "purging made room");
    assert!(fill(&mut harness) > 50);
    harness.settle();
    harness.check_running();
}

#[test]
fn an_exhausted_reserve_stalls_without_failing_and_goes_on_when_room_returns() {
    let mut harness = small_disk(60 << 10);
    fill(&mut harness);
    for _ in 0..60 {
        harness.meta(0, 1, 200);
    }
    let mut steps = 0;
    while harness.step() == Step::Worked {
        steps += 1;
        assert!(steps < 1000);
    }
    assert_eq!(harness.step(), Step::Stalled);
    assert!(!harness.completed_all());
    harness.check_running();
    harness.disk.set_capacity(None);
    harness.settle();
    assert!(harness.completed_all());
    harness.check_running();
    harness.close();
    harness.try_open().unwrap();
    harness.check_recovered();
}

#[test]
fn a_crash_while_stalled_keeps_what_was_acknowledged() {
    let mut harness = small_disk(60 << 10);
    fill(&mut harness);
    for _ in 0..60 {
        harness.meta(0, 1, 200);
        let _ = harness.step();
    }
    harness.close();
    harness.disk = harness.disk.power_loss(3);
    let full = harness.try_open();
    assert!(matches!(full, Err(OpenError::NoSpace { .. })) || full.is_ok());
    harness.close();
    harness.disk.set_capacity(None);
    harness.try_open().unwrap();
    harness.check_recovered();
}

/// A journal with a few records that are synced, and how often it called its fatal hook.
fn settled() -> (Harness, Arc<AtomicUsize>) {
    let fatal = Arc::new(AtomicUsize::new(0));
    let calls = fatal.clone();
    let options =
        Options { fatal: Some(Arc::new(move |_| _ = calls.fetch_add(1, Ordering::SeqCst))), ..options() };
    let mut harness = Harness::new(1, options);
    harness.try_open().unwrap();
    harness.append(0, 3, 100);
    harness.settle();
    (harness, fatal)
}

fn fail_a_sync() -> (usize, usize, u64, u64) {
    let (mut harness, fatal) = settled();
    let failed = Arc::new(AtomicUsize::new(0));
    harness.disk.fail(Operation::Sync, 0);
    for _ in 0..4 {
        let failed = failed.clone();
        harness.journal().put_meta(
            GroupId(0),
            MetaKey(1),
            Bytes::from_static(b"vote"),
            Box::new(move |result| {
                if matches!(result, Err(JournalError::Poisoned { .. })) {
                    failed.fetch_add(1, Ordering::SeqCst);
                }
            }),
        );
    }
    let _ = harness.step();
    let before = harness.disk.operations();
    let late = failed.clone();
    harness.journal().put_meta(
        GroupId(0),
        MetaKey(1),
        Bytes::new(),
        Box::new(move |result| {
            assert!(result.is_err());
            late.fetch_add(1, Ordering::SeqCst);
        }),
    );
    for _ in 0..5 {
        let _ = harness.step();
        let _ = harness.idle();
    }
    (fatal.load(Ordering::SeqCst), failed.load(Ordering::SeqCst), before, harness.disk.operations())
}

#[test]
fn the_first_failed_sync_stops_the_journal_for_good() {
    let (fatal, failed, before, after) = fail_a_sync();
    assert_eq!(fatal, 1);
    assert_eq!(failed, 5, "all that waited and all that came later");
    assert_eq!(before, after, "nothing is written or synced any more");
}

/// A journal with an entry, the sync of whose first snapshot fails: how often `fatal` was called, and what the writes
/// that followed came to.
fn fail_the_sync_of_a_snapshot(operation: Operation) -> (usize, bool, bool) {
    let (mut harness, fatal) = settled();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    // It waits in the queue while the sync fails.
    let count = acknowledged.clone();
    harness.journal().put_meta(
        GroupId(0),
        MetaKey(1),
        Bytes::from_static(b"vote"),
        Box::new(move |result| _ = count.fetch_add(usize::from(result.is_ok()), Ordering::SeqCst)),
    );
    harness.disk.fail(operation, 0);
    let written = harness.journal().write_snapshot(GroupId(0), 2, &[Bytes::from_static(b"state")]);
    for _ in 0..5 {
        let _ = harness.step();
        let _ = harness.idle();
    }
    (fatal.load(Ordering::SeqCst), written.is_ok(), acknowledged.load(Ordering::SeqCst) > 0)
}

#[test]
fn a_failed_sync_of_a_snapshot_stops_the_journal_too() {
    for operation in [Operation::Sync, Operation::SyncDirectory] {
        assert_eq!(fail_the_sync_of_a_snapshot(operation), (1, false, false), "{operation:?}");
    }
}

#[test]
fn a_snapshot_that_there_is_no_room_for_stops_nothing() {
    let mut harness = small_disk(60 << 10);
    fill(&mut harness);
    let big = Bytes::from(vec![7; 1 << 20]);
    let refused = harness.journal().write_snapshot(GroupId(0), 1, &[big]);
    assert!(matches!(refused, Err(SnapshotError::NoSpace { .. })), "{refused:?}");
    harness.disk.set_capacity(None);
    harness.settle();
    assert!(harness.completed_all());
}

#[test]
fn a_retried_sync_is_found() {
    let found = fault::with(Fault::RetrySync, || {
        std::panic::catch_unwind(fail_a_sync).map_or(true, |(fatal, ..)| fatal != 1)
    });
    assert!(found);
}

#[test]
fn a_failed_write_of_any_kind_never_completes_with_success() {
    for operation in [Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDirectory] {
        for skip in 0..12 {
            let mut harness = Harness::new(2, options());
            harness.try_open().unwrap();
            harness.journal().holds_restored();
            harness.disk.fail(operation, skip);
            for round in 0..20 {
                harness.append(round % 3, 3, 300);
                let _ = harness.step();
                let _ = harness.idle();
            }
            harness.close();
            harness.disk = harness.disk.power_loss(skip);
            harness.try_open().unwrap();
            harness.check_recovered();
        }
    }
}
