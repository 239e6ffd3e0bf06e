//! A configuration file, read and checked as a node does it at its start. No file that it names is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::memory::bounded;
use swarmmq_node::config::{self, PROBLEMS_MAX};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match bounded(512 * data.len() + (8 << 20), || config::parse(&text)) {
        Ok(config) => {
            let shown = format!("{config:?}");
            assert!(!shown.is_empty());
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "an error says what is wrong");
            let lines = error.to_string().lines().count();
            assert!(lines <= 4 * PROBLEMS_MAX, "{lines} lines of problems");
            for problem in &error.problems {
                assert!(!problem.kind.to_string().is_empty());
            }
        }
    }
});
