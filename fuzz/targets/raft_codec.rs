//! What consensus keeps in the journal: votes, log ids, entries, the prefix of a snapshot.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_cluster::fuzzing;
use swarmmq_fuzz::{input::Input, memory::bounded};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let choice = input.u8() % 4;
    let bytes = Bytes::copy_from_slice(input.clone().rest());
    bounded(128 * data.len() + (16 << 10), || match choice {
        0 => {
            if let Ok(again) = fuzzing::vote(bytes.clone()) {
                assert_eq!(again, bytes, "a vote has one encoding");
            }
        }
        1 => {
            if let Ok(again) = fuzzing::log_id(bytes.clone()) {
                assert_eq!(again, bytes, "a log id has one encoding");
            }
        }
        2 => {
            let record = |payload| swarmmq_journal::Entry { index: 5, term: 3, payload };
            if let Ok((again, for_broker)) = fuzzing::entry(record(bytes.clone())) {
                // Members may stand in another order; nothing else may.
                let is_membership = bytes.first() == Some(&0xf1);
                assert!(is_membership || again == bytes, "an entry has one encoding");
                assert!(!for_broker || !is_membership);
                let third = fuzzing::entry(record(again.clone())).expect("what was written can be read");
                assert_eq!(third.0, again, "and is written the same for ever");
            }
        }
        _ => {
            if let Ok(again) = fuzzing::snapshot(bytes) {
                let third = fuzzing::snapshot(again.clone()).expect("what was written can be read");
                assert_eq!(third, again, "and is written the same for ever");
            }
        }
    });
});
