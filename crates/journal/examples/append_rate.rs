//! Prints what a journal on a real directory does: `append_rate [directory]`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use swarmmq_journal::{Disk, DiskFile, Entry, FileDisk, GroupId, Journal, Options, Step, Writer};

const COUNT: u64 = 1_000_000;

fn entry(index: u64, bytes: usize) -> Entry {
    Entry { index, term: 1, payload: Bytes::from(vec![b'm'; bytes]) }
}

fn open(path: &std::path::Path) -> (Journal, Writer) {
    Journal::open(Arc::new(FileDisk::new(path).unwrap()), Options::default()).unwrap()
}

/// One thread appends entry by entry while another writes.
fn throughput(path: &std::path::Path, bytes: usize) {
    let (journal, writer) = open(path);
    let thread = std::thread::spawn(move || writer.run());
    let done = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    for index in 1..=COUNT {
        let done = done.clone();
        let counted = Box::new(move |result: Result<_, _>| {
            result.unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        });
        journal.append(GroupId(1), vec![entry(index, bytes)], counted);
    }
    let submitted = begin.elapsed();
    while done.load(Ordering::Relaxed) < COUNT {
        std::thread::sleep(Duration::from_micros(100));
    }
    let took = begin.elapsed();
    let stats = journal.stats();
    println!(
        "append {bytes:>4} B: {:>9.0} entries/s durable ({:.0}/s submitted), {} syncs, {:.1} B on disk beside each payload",
        COUNT as f64 / took.as_secs_f64(),
        COUNT as f64 / submitted.as_secs_f64(),
        stats.syncs,
        stats.bytes_synced as f64 / COUNT as f64 - bytes as f64,
    );
    drop(journal);
    thread.join().unwrap();
    let index_bytes: u64 = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap())
        .filter(|file| file.file_name().to_string_lossy().ends_with(".index"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    let begin = Instant::now();
    let (journal, writer) = open(path);
    let opened = begin.elapsed();
    let begin = Instant::now();
    for index in 1..=COUNT {
        journal.hold(GroupId(1), index);
    }
    let held = begin.elapsed();
    println!(
        "  start again: {:.0} ms for {COUNT} entries ({:.1} B of index each); hold: {:.0} ns",
        opened.as_secs_f64() * 1e3,
        index_bytes as f64 / COUNT as f64,
        held.as_secs_f64() * 1e9 / COUNT as f64,
    );
    drop((journal, writer));
}

/// One entry at a time, stepped in this thread, beside the bare sync of the same file system.
fn latency(path: &std::path::Path) {
    let rounds = 2000;
    let disk = FileDisk::new(path.join("bare")).unwrap();
    let file: Arc<dyn DiskFile> = disk.create("bare").unwrap();
    file.allocate(64 << 20).unwrap();
    file.sync_data().unwrap();
    let block = [b'b'; 148];
    let mut bare = Vec::new();
    for at in 0..rounds {
        let begin = Instant::now();
        file.write_vectored_at(&[std::io::IoSlice::new(&block)], at * 148).unwrap();
        file.sync_data().unwrap();
        bare.push(begin.elapsed());
    }
    let (journal, mut writer) = open(&path.join("journal"));
    while writer.idle() == Step::Worked {}
    let mut through = Vec::new();
    for index in 1..=rounds {
        let begin = Instant::now();
        journal.append(GroupId(1), vec![entry(index, 100)], Box::new(|result| result.unwrap()));
        let _ = writer.step();
        through.push(begin.elapsed());
    }
    bare.sort_unstable();
    through.sort_unstable();
    let median = |all: &[Duration]| all.get(all.len() / 2).unwrap().as_secs_f64() * 1e6;
    println!(
        "one entry: {:.1} µs, bare pwritev + fdatasync: {:.1} µs (medians)",
        median(&through),
        median(&bare)
    );
}

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    for bytes in [16, 100, 1000] {
        let directory = tempfile::tempdir_in(&base).unwrap();
        throughput(directory.path(), bytes);
    }
    let directory = tempfile::tempdir_in(&base).unwrap();
    latency(directory.path());
}
