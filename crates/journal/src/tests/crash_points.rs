//! A fixed scenario with rolling, moving, recycling and snapshots, crashed before and after every operation of the disk.

use bytes::Bytes;

use super::harness::{Harness, options};
use super::histories::recover;
use crate::simulated::CrashPoint;
use crate::{GroupId, Options};

const SNAPSHOT_GROUP: GroupId = GroupId(1);

struct Scenario {
    harness: Harness,
    /// Snapshots written, the last maybe not.
    snapshots: Vec<u64>,
    written: usize,
}

fn snapshot(index: u64) -> Vec<Bytes> {
    vec![Bytes::from(vec![index as u8; 1000]), Bytes::from(index.to_string())]
}

impl Scenario {
    fn new() -> Self {
        let options = Options { move_below_percent: 60, ..options() };
        Self { harness: Harness::new(11, options), snapshots: Vec::new(), written: 0 }
    }

    fn snapshot(&mut self, index: u64) {
        self.snapshots.push(index);
        if self.harness.journal().write_snapshot(SNAPSHOT_GROUP, index, &snapshot(index)).is_ok() {
            self.written = self.snapshots.len();
        }
    }

    fn turn(&mut self) {
        for _ in 0..6 {
            let _ = self.harness.step();
            let _ = self.harness.idle();
        }
    }

    /// Runs until done, or until the disk has crashed.
    fn run(&mut self) {
        if self.harness.try_open().is_err() {
            return;
        }
        self.harness.journal().holds_restored();
        for round in 0..8u64 {
            for group in 0..3 {
                self.harness.append(group, 3 + group as usize, 150 * (group as usize + 1));
                self.harness.meta(group, 1, 20);
            }
            self.harness.hold(0, 1);
            self.harness.lazy(2);
            self.turn();
            if round == 3 {
                self.harness.truncate(2, 4);
                self.harness.append(2, 2, 500);
            }
            self.harness.purge(0, 1);
            self.harness.purge(1, 2);
            if round % 2 == 1 {
                self.harness.purge(2, 1);
                self.harness.release(0, 0);
                self.snapshot(round * 10);
            }
            self.turn();
            if self.harness.disk.crashed() {
                return;
            }
        }
        for _ in 0..60 {
            self.turn();
        }
    }

    fn check_snapshot(&self) {
        let found = self.harness.journal().read_snapshot(SNAPSHOT_GROUP).unwrap();
        let least = self.written.checked_sub(1).and_then(|last| self.snapshots.get(last));
        match found {
            None => assert!(least.is_none(), "a written snapshot is gone"),
            Some((index, data)) => {
                assert!(self.snapshots.contains(&index));
                assert!(least.is_none_or(|least| index >= *least), "an older snapshot came back");
                assert_eq!(data, snapshot(index).concat());
            }
        }
    }
}

#[test]
fn the_scenario_rolls_moves_and_removes() {
    let mut scenario = Scenario::new();
    scenario.run();
    let stats = scenario.harness.journal().stats();
    assert!(stats.records_moved > 3, "{stats:?}");
    assert!(stats.segments_removed > 3, "{stats:?}");
    scenario.harness.check_running();
}

#[test]
fn a_crash_before_or_after_any_operation_loses_nothing_acknowledged() {
    let mut whole = Scenario::new();
    whole.run();
    let operations = whole.harness.disk.operations();
    assert!(operations > 150, "only {operations} operations");
    for operation in 0..operations {
        for point in [CrashPoint::Before, CrashPoint::After] {
            for seed in 0..4u64 {
                let mut scenario = Scenario::new();
                scenario.harness.disk.crash_at(operation, point);
                scenario.run();
                let again = (seed == 3).then_some(operation % 17);
                recover(&mut scenario.harness, seed > 0, seed * 1000 + operation, again);
                scenario.check_snapshot();
                // And it goes on as if nothing had happened.
                scenario.harness.append(0, 2, 100);
                scenario.harness.settle();
                scenario.harness.check_running();
            }
        }
    }
}
