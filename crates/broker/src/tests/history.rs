//! Random histories, and the property that all of them must have.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings, Overflow, Position};
use swarmmq_protocol::{DestinationName, GroupName, Message, MessageId};

use super::driver::Driver;

/// How many histories a run plays, unless `SWARMMQ_HISTORIES` says otherwise.
const HISTORIES: u32 = 10_000;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Create {
        at: usize,
        settings: DestinationSettings,
        group: GroupSettings,
    },
    Update {
        at: usize,
        settings: DestinationSettings,
    },
    Delete {
        at: usize,
    },
    Purge {
        at: usize,
    },
    CreateGroup {
        at: usize,
        group: usize,
        settings: GroupSettings,
    },
    UpdateGroup {
        at: usize,
        group: usize,
        settings: GroupSettings,
    },
    DeleteGroup {
        at: usize,
        group: usize,
    },
    Pause {
        at: usize,
        group: usize,
        paused: bool,
    },
    Reset {
        at: usize,
        group: usize,
        to: Position,
    },
    Put {
        at: usize,
        messages: Vec<Message>,
        stamp: Option<Stamp>,
        expected: Option<bool>,
        auto: Option<GroupSettings>,
    },
    Lease {
        at: usize,
        group: usize,
        consumer: u64,
        messages_max: usize,
        bytes_max: usize,
        lease_ms: u64,
    },
    Settle {
        picks: Vec<(u16, u8)>,
        verdict: swarmmq_protocol::request::Verdict,
    },
    Commit {
        skew_ms: u64,
    },
    Abandon {
        pick: u16,
    },
    Wait {
        ms: u64,
    },
    Due,
    Release {
        consumer: u64,
    },
    Forward {
        leave: u64,
        again: bool,
    },
    RestartOutbox,
    Lead {
        commit: bool,
    },
    Restore {
        commit: bool,
    },
}

/// A producer's stamp: which producer, which epoch, and how far from the next sequence.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) producer: u128,
    pub(super) epoch: u32,
    pub(super) back: i64,
}

/// The names histories use: a queue, a stream, and where their dead letters go.
pub(super) fn destination(at: usize) -> DestinationName {
    DestinationName::new(["queue", "stream", "dead"][at]).unwrap()
}

pub(super) fn group(nth: usize) -> GroupName {
    GroupName::new(["default", "b"][nth]).unwrap()
}

fn message() -> impl Strategy<Value = Message> {
    (
        0_usize..30,
        prop_oneof![4 => Just(5_u8), 1 => Just(1), 1 => Just(9), 1 => Just(10)],
        prop_oneof![4 => Just(None), 1 => (1_u64..400).prop_map(Some)],
        prop_oneof![5 => Just(None), 1 => (1_u64..300).prop_map(Some)],
        proptest::option::of(0_u8..3),
        prop_oneof![3 => Just(0_u128), 1 => 1_u128..5],
    )
        .prop_map(|(length, priority, ttl_ms, delay_ms, key, id)| {
            let mut message = Message::new(vec![7; length]).priority(priority).id(MessageId(id));
            message.ttl_ms = ttl_ms;
            message.delay_ms = delay_ms;
            message.key = key.map(|key| bytes::Bytes::from(vec![b'k', key]));
            message
        })
}

/// A number that is mostly 0, which means no limit.
fn seldom(range: std::ops::Range<u64>) -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 1 => range]
}

fn settings(at: usize) -> impl Strategy<Value = DestinationSettings> {
    (
        any::<bool>(),
        (seldom(1..6), seldom(30..200), seldom(50..900), seldom(50..400), seldom(20..60)),
        any::<bool>(),
        (prop_oneof![Just(0_u64), 1_u64..500], 1_u64..4, 1_u64..900, 1_u64..3),
    )
        .prop_map(move |(drop_oldest, limits, last_per_key, dedup)| {
            let mut settings =
                if at == 1 { DestinationSettings::stream() } else { DestinationSettings::queue() };
            settings.overflow = if drop_oldest { Overflow::DropOldest } else { Overflow::Refuse };
            (settings.messages_max, settings.bytes_max, settings.age_max_ms, ..) = limits;
            (.., settings.ttl_default_ms, settings.message_bytes_max) = limits;
            settings.last_per_key = last_per_key && at == 1;
            (
                settings.dedup_window_ms,
                settings.dedup_ids_max,
                settings.producer_ttl_ms,
                settings.producers_max,
            ) = dedup;
            settings
        })
}

fn position() -> impl Strategy<Value = Position> {
    prop_oneof![
        Just(Position::Earliest),
        Just(Position::Latest),
        (0_u64..12).prop_map(Position::Sequence),
        (1_000_u64..3_000).prop_map(Position::Time),
    ]
}

fn group_settings() -> impl Strategy<Value = GroupSettings> {
    (position(), 20_u64..300, 0_u32..4, any::<bool>(), seldom(1..100), any::<bool>(), 1_u32..6).prop_map(
        |(start, lease_ms, deliveries_max, dead_letter, redelivery_delay_ms, key_ordered, leased_max)| {
            let mut settings = GroupSettings::default();
            settings.start = start;
            settings.lease_ms = lease_ms;
            settings.deliveries_max = deliveries_max;
            settings.dead_letter = dead_letter.then(|| destination(2));
            settings.redelivery_delay_ms = redelivery_delay_ms;
            settings.key_ordered = key_ordered;
            settings.leased_max = if leased_max == 5 { 65_536 } else { leased_max };
            settings
        },
    )
}

/// The group that a queue begins with: mostly the default one.
fn first_group() -> impl Strategy<Value = GroupSettings> {
    prop_oneof![2 => Just(GroupSettings::default()), 1 => group_settings()]
}

fn verdict() -> impl Strategy<Value = swarmmq_protocol::request::Verdict> {
    use swarmmq_protocol::request::Verdict;
    prop_oneof![
        5 => Just(Verdict::Ack),
        3 => (prop_oneof![Just(0_u64), 1_u64..200]).prop_map(|delay_ms| Verdict::Nack { delay_ms }),
        1 => (0_u64..300).prop_map(|lease_ms| Verdict::Extend { lease_ms }),
        1 => Just(Verdict::Reject { reason: "no".into() }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let stamp = (1_u128..3, 0_u32..2, -4_i64..2).prop_map(|(producer, epoch, back)| Stamp {
        producer,
        epoch,
        back: back.min(1),
    });
    let stamp = prop_oneof![3 => Just(None), 2 => stamp.prop_map(Some)];
    let expected = prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let at = || 0_usize..2;
    let nth = || 0_usize..2;
    prop_oneof![
        2 => (0_usize..2).prop_flat_map(|at| (settings(at), first_group())
            .prop_map(move |(settings, group)| Op::Create { at, settings, group })),
        2 => (0_usize..2).prop_flat_map(|at| settings(at).prop_map(move |settings| Op::Update { at, settings })),
        1 => (0_usize..3).prop_map(|at| Op::Delete { at }),
        1 => at().prop_map(|at| Op::Purge { at }),
        3 => (at(), nth(), group_settings())
            .prop_map(|(at, group, settings)| Op::CreateGroup { at, group, settings }),
        5 => (at(), nth(), group_settings())
            .prop_map(|(at, group, settings)| Op::UpdateGroup { at, group, settings }),
        1 => (at(), nth()).prop_map(|(at, group)| Op::DeleteGroup { at, group }),
        2 => (at(), nth(), any::<bool>()).prop_map(|(at, group, paused)| Op::Pause { at, group, paused }),
        2 => (at(), nth(), position()).prop_map(|(at, group, to)| Op::Reset { at, group, to }),
        24 => (at(), proptest::collection::vec(message(), 1..4), stamp, expected, proptest::option::of(first_group())).prop_map(
            |(at, messages, stamp, expected, auto)| Op::Put { at, messages, stamp, expected, auto }
        ),
        24 => (at(), nth(), 1_u64..3, 1_usize..5, 10_usize..200, seldom(10..300)).prop_map(
            |(at, group, consumer, messages_max, bytes_max, lease_ms)| Op::Lease {
                at, group, consumer, messages_max, bytes_max, lease_ms
            }
        ),
        20 => (proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4), verdict())
            .prop_map(|(picks, verdict)| Op::Settle { picks, verdict }),
        30 => seldom(1..300).prop_map(|skew_ms| Op::Commit { skew_ms }),
        3 => any::<u16>().prop_map(|pick| Op::Abandon { pick }),
        12 => prop_oneof![1_u64..50, 50_u64..500].prop_map(|ms| Op::Wait { ms }),
        10 => Just(Op::Due),
        2 => (1_u64..3).prop_map(|consumer| Op::Release { consumer }),
        4 => (seldom(1..3), any::<bool>()).prop_map(|(leave, again)| Op::Forward { leave, again }),
        1 => Just(Op::RestartOutbox),
        2 => any::<bool>().prop_map(|commit| Op::Lead { commit }),
        2 => any::<bool>().prop_map(|commit| Op::Restore { commit }),
    ]
}

/// A history, and after how many of its operations the shard is restored and another one leads.
fn history() -> impl Strategy<Value = (Vec<Op>, usize, usize)> {
    (proptest::collection::vec(op(), 10..70), 0_usize..60, 0_usize..60)
}

fn play(ops: &[Op], restore_at: usize, lead_at: usize) -> Result<(), TestCaseError> {
    let mut driver = Driver::new();
    for (nth, op) in ops.iter().enumerate() {
        if nth == restore_at {
            driver.step(&Op::Restore { commit: nth % 2 == 0 })?;
        }
        if nth == lead_at {
            driver.step(&Op::Lead { commit: nth % 2 == 1 })?;
        }
        driver.step(op)?;
    }
    driver.finish()
}

/// Plays so many histories. The seed is fixed: the same histories each time.
pub(super) fn play_many(histories: u32, max_shrink_iters: u32) -> Result<(), String> {
    let config =
        Config { cases: histories, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&history(), |(ops, restore_at, lead_at)| play(&ops, restore_at, lead_at))
        .map_err(|error| error.to_string())
}

#[test]
fn a_shard_does_what_the_plain_model_does() {
    let histories = std::env::var("SWARMMQ_HISTORIES").ok().and_then(|text| text.parse().ok());
    if let Err(error) = play_many(histories.unwrap_or(HISTORIES), 10_000) {
        panic!("{error}");
    }
}
