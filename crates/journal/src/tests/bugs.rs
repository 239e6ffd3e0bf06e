//! Each bug on purpose is found by the histories; without one, the same histories pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::harness::{Harness, options};
use super::histories::{Action, action, play};
use crate::fault::{self, Fault};

const HISTORIES: u32 = 400;

fn histories() -> impl Iterator<Item = (u64, Vec<Action>)> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let actions = proptest::collection::vec(action(), 60..120);
    (0..HISTORIES).map(move |seed| {
        let tree = actions.new_tree(&mut runner).unwrap();
        (u64::from(seed), tree.current())
    })
}

fn passes(seed: u64, actions: &[Action]) -> bool {
    catch_unwind(AssertUnwindSafe(|| {
        let mut harness = Harness::new(seed, options());
        play(&mut harness, actions);
    }))
    .is_ok()
}

fn is_found(fault: Fault) {
    let found = fault::with(fault, || histories().any(|(seed, actions)| !passes(seed, &actions)));
    assert!(found, "{HISTORIES} histories did not notice {fault:?}");
}

#[test]
fn histories_pass_without_a_bug() {
    for (seed, actions) in histories() {
        assert!(passes(seed, &actions), "history {seed} fails by itself");
    }
}

#[test]
fn a_skipped_sync_is_found() {
    is_found(Fault::SkipSync);
}

#[test]
fn a_forgotten_purge_is_found() {
    is_found(Fault::ForgetPurge);
}

#[test]
fn a_forgotten_truncation_is_found() {
    is_found(Fault::ForgetTruncate);
}

#[test]
fn a_file_removed_before_the_list_is_durable_is_found() {
    is_found(Fault::RemoveEarly);
}

#[test]
fn a_skipped_directory_sync_is_found() {
    is_found(Fault::SkipDirectorySync);
}

#[test]
fn a_small_value_left_behind_by_a_move_is_found() {
    is_found(Fault::MoveWithoutMeta);
}

#[test]
fn trusting_an_unsynced_tail_is_found() {
    is_found(Fault::TrustUnsyncedTail);
}
