//! Bits flipped, files cut, records swapped: below what is known to be durable it is refused, above it is cut.

use std::sync::Arc;

use bytes::Bytes;

use super::harness::options;
use crate::fault::{self, Fault};
use crate::format::{FileName, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader};
use crate::simulated::{Operation, SimulatedDisk};
use crate::{Entry, GroupId, Journal, MasterKey, MetaKey, OpenError, Options, ReadError, Step, Writer};

const G: GroupId = GroupId(7);

fn open(disk: &SimulatedDisk, options: &Options) -> Result<(Journal, Writer), OpenError> {
    Journal::open(Arc::new(disk.clone()), options.clone())
}

fn append(journal: &Journal, writer: &mut Writer, indexes: std::ops::RangeInclusive<u64>) {
    let entries =
        indexes.map(|index| Entry { index, term: 1, payload: Bytes::from(vec![b'p'; 40]) }).collect();
    journal.append(G, entries, Box::new(|result| result.unwrap()));
    assert_eq!(writer.step(), Step::Worked);
}

/// A small journal: the mark after entry 6, three batches after it, the last with entries 12 and 13.
struct Sample {
    disk: SimulatedDisk,
    tail: String,
    bytes: Vec<u8>,
    /// Where each record begins, in order, and which is first after the mark and in the last batch.
    records: Vec<usize>,
    marked: usize,
    last_batch: usize,
}

fn sample(options: &Options) -> Sample {
    let disk = SimulatedDisk::new(5);
    let (journal, mut writer) = open(&disk, options).unwrap();
    append(&journal, &mut writer, 1..=3);
    append(&journal, &mut writer, 4..=6);
    let mut idle = 0;
    while writer.idle() == Step::Worked {
        idle += 1;
        assert!(idle < 100);
    }
    append(&journal, &mut writer, 7..=9);
    append(&journal, &mut writer, 10..=11);
    append(&journal, &mut writer, 12..=13);
    let disk = disk.crash();
    let tail = FileName::Hot(1).text();
    let bytes = disk.contents(&tail).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let mut records = Vec::new();
    let mut at = crate::format::SEGMENT_HEADER_BYTES;
    while let Ok(record) = RecordHeader::decode(&bytes[at..], header.seed()) {
        records.push(at);
        at += RECORD_HEADER_BYTES + record.stored_length();
    }
    records.push(at);
    // One files record, then 13 entries, then the end.
    assert_eq!(records.len(), 15);
    Sample { disk, tail, bytes, marked: records[7], last_batch: records[12], records }
}

/// Opens a damaged copy: refused and untouched when the damage is below what is known to be durable, else a prefix.
fn check(
    sample: &Sample,
    options: &Options,
    damaged: &[u8],
    at: usize,
    refuse_below: usize,
) -> Result<(), String> {
    let disk = sample.disk.fork();
    disk.replace(&sample.tail, damaged);
    let names = disk.names();
    match open(&disk, options) {
        Err(OpenError::Damaged(_)) if at < refuse_below => {
            let untouched = disk.names() == names && disk.contents(&sample.tail).as_deref() == Some(damaged);
            if untouched { Ok(()) } else { Err(format!("damage at {at} changed the files")) }
        }
        Err(error) => Err(format!("damage at {at}: {error}")),
        Ok(_) if at < refuse_below => Err(format!("damage at {at} was not refused")),
        Ok((journal, _)) => {
            let whole = sample.records.iter().skip(2).filter(|end| **end <= at).count() as u64;
            let last = journal.state(G).last.map_or(0, |(last, _)| last);
            if last != whole {
                return Err(format!("damage at {at}: {last} entries, not {whole}"));
            }
            for index in 1..=last {
                journal.read(G, index).map_err(|error| error.to_string())?.ok_or("entry gone")?;
            }
            Ok(())
        }
    }
}

/// Every bit of every header, and every 13th bit of the payloads.
fn flip_all(options: &Options) -> Result<(), String> {
    let sample = sample(options);
    let end = *sample.records.last().unwrap();
    for at in 0..end {
        let start = sample.records.iter().rev().find(|start| **start <= at).copied().unwrap_or(0);
        let in_header = at < sample.records[0] || at - start < RECORD_HEADER_BYTES;
        for bit in 0..8 {
            if !in_header && (at * 8 + bit) % 13 != 0 {
                continue;
            }
            let mut damaged = sample.bytes.clone();
            damaged[at] ^= 1 << bit;
            check(&sample, options, &damaged, at, sample.last_batch)?;
        }
    }
    Ok(())
}

fn encrypted() -> Options {
    Options { encryption: Some(MasterKey { id: "k1".into(), key: [9; 32] }), ..options() }
}

#[test]
fn every_flipped_bit_is_refused_below_the_durable_end_and_cut_above() {
    flip_all(&options()).unwrap();
    flip_all(&encrypted()).unwrap();
}

#[test]
fn flipped_bits_find_the_bugs_they_are_for() {
    for fault in [Fault::CutBelowMark, Fault::IgnoreEvidence, Fault::IgnorePayloadChecksum] {
        assert!(fault::with(fault, || flip_all(&options())).is_err(), "{fault:?} was not found");
    }
}

fn cut_everywhere() -> Result<(), String> {
    let options = options();
    let sample = sample(&options);
    for length in 0..=*sample.records.last().unwrap() {
        let cut = &sample.bytes[..length];
        check(&sample, &options, cut, length, sample.marked)?;
    }
    Ok(())
}

#[test]
fn a_file_cut_at_any_offset_is_refused_below_the_mark_and_a_prefix_above() {
    cut_everywhere().unwrap();
    assert!(fault::with(Fault::CutBelowMark, cut_everywhere).is_err());
}

/// Two neighbours of one size change places, whole records with right checksums.
fn swap_all() -> Result<(), String> {
    let options = options();
    let sample = sample(&options);
    for pair in sample.records[1..].windows(3) {
        let (first, second, end) = (pair[0], pair[1], pair[2]);
        let mut damaged = sample.bytes.clone();
        damaged[first..end].rotate_left(second - first);
        if first < sample.last_batch {
            check(&sample, &options, &damaged, first, sample.last_batch)?;
        }
    }
    Ok(())
}

#[test]
fn swapped_records_are_refused() {
    swap_all().unwrap();
    assert!(fault::with(Fault::IgnoreChain, swap_all).is_err());
}

/// A journal of some sealed segments.
fn sealed(options: &Options) -> (SimulatedDisk, u64) {
    let disk = SimulatedDisk::new(6);
    let (journal, mut writer) = open(&disk, options).unwrap();
    for index in 1..=100u64 {
        let payload = Bytes::from(vec![index as u8; 300]);
        journal.append(G, vec![Entry { index, term: 2, payload }], Box::new(|result| result.unwrap()));
        journal.put_meta(G, MetaKey(1), Bytes::from(index.to_string()), Box::new(|result| result.unwrap()));
        let _ = writer.step();
    }
    writer.finish();
    drop(journal);
    (disk.fork(), 100)
}

#[test]
fn a_missing_or_damaged_index_file_is_made_again() {
    let options = options();
    let (disk, last) = sealed(&options);
    let indexes: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with(".index")).collect();
    assert!(indexes.len() > 2);
    for name in &indexes {
        let length = disk.contents(name).unwrap().len() as u64;
        for offset in (0..length).step_by(5).map(Some).chain([None]) {
            let copy = disk.fork();
            match offset {
                Some(offset) => assert!(copy.flip_bit(name, offset, (offset % 8) as u8)),
                None => copy.lose(name),
            }
            let (journal, _writer) = open(&copy, &options).unwrap();
            assert_eq!(journal.recovery().indexes_rebuilt.len(), 1, "{name} {offset:?}");
            assert_eq!(journal.state(G).last, Some((last, 2)));
        }
    }
}

#[test]
fn damage_in_a_sealed_segment_is_told_when_it_is_read() {
    for options in [options(), encrypted()] {
        let (disk, last) = sealed(&options);
        let name = FileName::Hot(1).text();
        let length = disk.contents(&name).unwrap().len() as u64;
        for offset in (300..length - 300).step_by(97) {
            let copy = disk.fork();
            copy.flip_bit(&name, offset, 3);
            match open(&copy, &options) {
                // A small value that is still needed is read at start.
                Err(OpenError::Damaged(_)) => {}
                Err(error) => panic!("{error}"),
                Ok((journal, _writer)) => {
                    let damaged = (1..=last)
                        .filter(|index| matches!(journal.read(G, *index), Err(ReadError::Damaged(_))))
                        .count();
                    let report = crate::offline::verify(&copy, options.encryption.as_ref()).unwrap();
                    assert_eq!(report.damages.len(), 1, "offset {offset}: {report:?}");
                    assert!(damaged <= 1);
                }
            }
        }
    }
}

#[test]
fn a_lost_segment_is_missed() {
    let options = options();
    let (disk, _) = sealed(&options);
    for name in disk.names().into_iter().filter(|name| name.ends_with(".log") && name.starts_with("segment"))
    {
        let copy = disk.fork();
        copy.lose(&name);
        assert!(matches!(open(&copy, &options), Err(OpenError::Missing { .. })), "{name}");
    }
}

#[test]
fn a_damaged_manifest_or_mark_is_refused() {
    let options = options();
    let (disk, _) = sealed(&options);
    for bit in 0..128 * 8u64 {
        let copy = disk.fork();
        copy.flip_bit("journal.manifest", bit / 8, (bit % 8) as u8);
        assert!(matches!(open(&copy, &options), Err(OpenError::Damaged(_) | OpenError::NewerVersion { .. })));
    }
    for bit in 0..64 * 8u64 {
        let copy = disk.fork();
        copy.flip_bit("journal.mark", bit / 8, (bit % 8) as u8);
        let one_is_left = open(&copy, &options);
        assert!(one_is_left.is_ok());
        drop(one_is_left);
        let copy = disk.fork();
        copy.flip_bit("journal.mark", bit / 8, (bit % 8) as u8);
        copy.flip_bit("journal.mark", 4096 + bit / 8, (bit % 8) as u8);
        assert!(matches!(open(&copy, &options), Err(OpenError::Damaged(_))));
    }
}

#[test]
fn a_read_error_of_the_disk_is_not_a_torn_tail() {
    let options = options();
    let sample = sample(&options);
    for skip in 0..12 {
        let disk = sample.disk.fork();
        disk.fail(Operation::Read, skip);
        if let Err(error) = open(&disk, &options) {
            assert!(matches!(error, OpenError::Io { .. }), "{error}");
        }
        assert_eq!(
            disk.contents(&sample.tail).unwrap()[..sample.last_batch],
            sample.bytes[..sample.last_batch]
        );
    }
}
