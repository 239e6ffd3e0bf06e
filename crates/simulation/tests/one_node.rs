//! Scenarios of one node.
#![allow(missing_docs, clippy::unwrap_used)]

use swarmmq_simulation::Scenario;

/// How many seeds are run; `SWARMMQ_SEEDS` asks for more, and `simulate` runs them much faster when it is
/// built for release.
fn seeds() -> u64 {
    std::env::var("SWARMMQ_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let mut stored = 0;
    for seed in 0..seeds() {
        match Scenario::new(seed).run() {
            Ok(report) => stored += report.stored,
            Err(violation) => panic!("{violation}"),
        }
    }
    assert!(stored > 1_000, "the workload did something: {stored} messages");
}

#[test]
fn a_seed_gives_the_same_history_every_time() {
    assert_eq!(Scenario::new(3).run(), Scenario::new(3).run());
}
