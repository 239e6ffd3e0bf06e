//! Random histories with crashes against the model.

use proptest::prelude::*;

use super::harness::{GROUPS, Harness, options};
use crate::options::MasterKey;
use crate::simulated::CrashPoint;

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Append(u32, usize, usize),
    Truncate(u32, u64),
    Purge(u32, u64),
    Install(u32, u64),
    Meta(u32, u8, usize),
    Lazy(u32),
    Hold(u32, u64),
    Release(u32, usize),
    Step(usize),
    Idle(usize),
    Check,
    Crash { in_operations: u64, after: bool, power: bool, seed: u64, again: Option<u64> },
    Restart,
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let group = 0..GROUPS;
    prop_oneof![
        8 => (group.clone(), 1usize..8, 0usize..400).prop_map(|(g, n, s)| Action::Append(g, n, s)),
        1 => (group.clone(), 1usize..2, 2000usize..3500).prop_map(|(g, n, s)| Action::Append(g, n, s)),
        1 => (group.clone(), 0u64..6).prop_map(|(g, n)| Action::Truncate(g, n)),
        3 => (group.clone(), 0u64..12).prop_map(|(g, n)| Action::Purge(g, n)),
        1 => (group.clone(), 1u64..9).prop_map(|(g, n)| Action::Install(g, n)),
        2 => (group.clone(), 0u8..4, 0usize..100).prop_map(|(g, k, s)| Action::Meta(g, k, s)),
        1 => group.clone().prop_map(Action::Lazy),
        2 => (group.clone(), 0u64..6).prop_map(|(g, b)| Action::Hold(g, b)),
        1 => (group, 0usize..5).prop_map(|(g, p)| Action::Release(g, p)),
        6 => (1usize..6).prop_map(Action::Step),
        4 => (1usize..12).prop_map(Action::Idle),
        1 => Just(Action::Check),
        2 => (0u64..40, any::<bool>(), any::<bool>(), any::<u64>(), prop::option::of(0u64..25))
            .prop_map(|(in_operations, after, power, seed, again)| Action::Crash { in_operations, after, power, seed, again }),
        1 => Just(Action::Restart),
    ]
}

pub(crate) fn play(harness: &mut Harness, actions: &[Action]) {
    harness.try_open().unwrap();
    harness.journal().holds_restored();
    let mut pending: Option<(bool, u64, Option<u64>)> = None;
    for action in actions {
        match *action {
            Action::Append(group, count, size) => harness.append(group, count, size),
            Action::Truncate(group, back) => harness.truncate(group, back),
            Action::Purge(group, keep) => harness.purge(group, keep),
            Action::Install(group, gap) => harness.install(group, gap),
            Action::Meta(group, key, size) => harness.meta(group, key, size),
            Action::Lazy(group) => harness.lazy(group),
            Action::Hold(group, back) => harness.hold(group, back),
            Action::Release(group, pick) => harness.release(group, pick),
            Action::Step(count) => (0..count).for_each(|_| _ = harness.step()),
            Action::Idle(count) => (0..count).for_each(|_| _ = harness.idle()),
            Action::Check if pending.is_none() => harness.check_running(),
            Action::Check => {}
            Action::Crash { in_operations, after, power, seed, again } if pending.is_none() => {
                let point = if after { CrashPoint::After } else { CrashPoint::Before };
                let at = harness.disk.operations() + in_operations;
                harness.disk.crash_at(at, point);
                pending = Some((power, seed, again));
            }
            Action::Crash { .. } => {}
            Action::Restart if pending.is_none() => {
                harness.settle();
                assert!(harness.completed_all());
                harness.close();
                harness.try_open().unwrap();
                harness.check_recovered();
            }
            Action::Restart => {}
        }
        if harness.disk.crashed()
            && let Some((power, seed, again)) = pending.take()
        {
            recover(harness, power, seed, again);
        }
    }
    if let Some((power, seed, again)) = pending {
        recover(harness, power, seed, again);
    }
    harness.settle();
    harness.check_running();
    harness.close();
    harness.try_open().unwrap();
    harness.check_recovered();
}

/// Opens what a crash left, perhaps crashing while doing so.
pub(crate) fn recover(harness: &mut Harness, power: bool, seed: u64, again: Option<u64>) {
    harness.close();
    harness.disk = if power { harness.disk.power_loss(seed) } else { harness.disk.crash() };
    if let Some(at) = again {
        harness.disk.crash_at(at, CrashPoint::After);
        if harness.try_open().is_err() {
            assert!(harness.disk.crashed());
        }
        harness.close();
        harness.disk = harness.disk.power_loss(seed.wrapping_add(1));
    }
    harness.try_open().unwrap();
    harness.check_recovered();
}

pub(crate) fn cases(default: u32) -> u32 {
    std::env::var("JOURNAL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2000), failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_with_crashes_recovers_to_what_was_completed(
        seed in any::<u64>(),
        encrypted in any::<bool>(),
        short in any::<bool>(),
        actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut options = options();
        if encrypted {
            options.encryption = Some(MasterKey { id: "k".into(), key: [3; 32] });
        }
        let mut harness = Harness::new(seed, options);
        harness.disk.set_short_writes(short);
        play(&mut harness, &actions);
    }
}
