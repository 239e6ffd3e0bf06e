//! The files of a journal, each by its decoder. The first byte chooses one, and whether checksums are made
//! right first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::{input::Input, memory::bounded};
use swarmmq_journal::format::{
    FileList, IndexBuilder, IndexFile, Manifest, Mark, RecordHeader, SegmentHeader,
};
use swarmmq_journal::{format::SnapshotHeader, fuzzing};

fn decode(decoder: u8, bytes: &[u8]) {
    match decoder {
        0 => {
            fuzzing::segment_header(bytes);
            if let Ok(mut header) = SegmentHeader::decode(bytes) {
                let again = SegmentHeader::decode(&header.encode()).expect("what was written can be read");
                assert_eq!(again, header);
            }
        }
        1 => {
            fuzzing::record_header(bytes);
            if let Some((seed, rest)) = bytes.split_first_chunk::<4>() {
                let seed = u32::from_le_bytes(*seed);
                if let Ok(mut header) = RecordHeader::decode(rest, seed) {
                    assert_eq!(header.encode(seed), rest[..48], "one header has one encoding");
                }
            }
        }
        2 => fuzzing::record_stream(bytes),
        3 => {
            fuzzing::index_file(bytes);
            if let Some(index) = IndexFile::decode(bytes) {
                let mut again = IndexBuilder::new(index.number);
                let records: Vec<_> = index.records(false).collect();
                records.iter().for_each(|record| again.push(record));
                let again = again.finish(index.journal, index.end, index.last);
                let again = IndexFile::decode(&again).expect("what was written can be read");
                assert!(again.records(false).eq(records), "an index reads back as it was written");
            }
        }
        4 => {
            fuzzing::file_list(bytes);
            if let Some(list) = FileList::decode(bytes) {
                assert_eq!(FileList::decode(&list.encode()), Some(list));
            }
        }
        5 => {
            fuzzing::mark(bytes);
            if let Some(mark) = Mark::decode_slot(bytes) {
                assert_eq!(Mark::decode_slot(&mark.encode()), Some(mark));
            }
        }
        6 => {
            fuzzing::manifest(bytes);
            if let Ok(manifest) = Manifest::decode(bytes) {
                assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
            }
        }
        _ => {
            fuzzing::snapshot(bytes);
            if let Ok(header) = SnapshotHeader::decode(bytes) {
                assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let choice = input.u8();
    let mut bytes = input.rest().to_vec();
    if choice & 8 != 0 {
        fuzzing::reseal(&mut bytes);
    }
    bounded(128 * data.len() + (256 << 10), || decode(choice % 8, &bytes));
});
