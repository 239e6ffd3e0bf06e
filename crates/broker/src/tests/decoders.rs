//! Entries and snapshots as bytes: fixtures that never change, and bytes that mean nothing.

use bytes::Bytes;
use proptest::prelude::*;
use swarmmq_protocol::codec::{Decode, Encode, Reader};
use swarmmq_protocol::request::{Put, Verdict};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{Message, MessageId, ProducerId, ProducerStamp};

use super::behaviour::{Leader, create, default, name};
use crate::command::Placed;
use crate::entry::decode;
use crate::{AutoCreate, Command, EntryBuilder, LeaseRequest, SequenceRun, Shard, ShardLimits};

const ENTRY_V1: &str = include_str!("fixtures/entry_v1.hex");
const SNAPSHOT_V1: &str = include_str!("fixtures/snapshot_v1.hex");

fn to_hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(32).map(|line| line.concat() + "\n").collect()
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// One command of each kind.
fn every_command() -> Vec<Command> {
    let destination = name("orders");
    let group = default();
    let mut queue = DestinationSettings::queue();
    queue.messages_max = 1000;
    let mut settings = GroupSettings::default();
    settings.dead_letter = Some(name("dead"));
    settings.deliveries_max = 3;
    let runs = vec![
        SequenceRun { first: 1, count: 2, attempts: 0 },
        SequenceRun { first: 9, count: 1, attempts: 4 },
    ];
    let message = Message::new("payload").id(MessageId(5)).key("k").ttl_ms(100).delay_ms(3).priority(9);
    let put = Put {
        destination: destination.clone(),
        stamp: Some(ProducerStamp { producer: ProducerId(7), epoch: 1, sequence: 1 }),
        expected_last: Some(0),
        messages: vec![message.encode().unwrap(), Message::new("").encode().unwrap()],
    };
    let settle = |verdict| Command::Settle {
        destination: destination.clone(),
        group: group.clone(),
        generation: 6,
        verdict,
        runs: runs.clone(),
    };
    vec![
        Command::Put {
            put: put.clone(),
            auto_create: Some(AutoCreate { destination: queue.clone(), group: settings.clone() }),
        },
        Command::Put { put: Put { stamp: None, expected_last: None, ..put }, auto_create: None },
        settle(Verdict::Ack),
        settle(Verdict::Nack { delay_ms: 250 }),
        settle(Verdict::Reject { reason: "no".into() }),
        Command::Expire {
            destination: destination.clone(),
            group: group.clone(),
            generation: 6,
            at_once: true,
            runs: runs.clone(),
        },
        Command::CreateDestination {
            destination: name("other"),
            settings: DestinationSettings::stream(),
            group: settings.clone(),
        },
        Command::UpdateDestination { destination: destination.clone(), settings: queue },
        Command::CreateGroup { destination: name("other"), group: group.clone(), settings: settings.clone() },
        Command::UpdateGroup { destination: destination.clone(), group: group.clone(), settings },
        Command::PauseGroup { destination: destination.clone(), group: group.clone(), paused: true },
        Command::ResetGroup { destination: name("other"), group: group.clone(), to: Position::Time(77) },
        Command::Tick { destinations: vec![destination.clone(), name("other")] },
        Command::OutboxDone { target: name("dead"), epoch: 0, through: 5, again: vec![4] },
        Command::OutboxRestart { target: name("dead"), epoch: 0 },
        Command::DeleteGroup { destination: name("other"), group },
        Command::PurgeDestination { destination: name("other") },
        Command::DeleteDestination { destination: name("other") },
    ]
}

fn entry_of_every_command() -> Bytes {
    let mut entry = EntryBuilder::new(1_700_000_000_000, (3 << 40) | 9);
    for command in every_command() {
        entry.push(&command);
    }
    entry.finish()
}

/// A shard with something of everything in it.
fn full_shard() -> Shard {
    let mut leader = Leader::new(ShardLimits { retire_max: 1, ..ShardLimits::default() });
    let mut settings = GroupSettings::default();
    (settings.deliveries_max, settings.dead_letter, settings.redelivery_delay_ms) =
        (2, Some(name("dead")), 50);
    for (destination, of) in [
        ("queue", DestinationSettings::queue()),
        ("stream", DestinationSettings::stream()),
        ("gone", DestinationSettings::queue()),
    ] {
        leader.done(create(name(destination), of));
    }
    let group = default();
    leader.done(Command::CreateGroup {
        destination: name("stream"),
        group: group.clone(),
        settings: settings.clone(),
    });
    leader.done(Command::UpdateGroup { destination: name("queue"), group, settings });
    for destination in ["queue", "stream", "gone"] {
        let stamp = Some(ProducerStamp { producer: ProducerId(9), epoch: 2, sequence: 1 });
        let message = |nth: u64| Message::new("x").id(MessageId(u128::from(nth))).priority(nth as u8);
        let messages = [
            message(1).key("a").ttl_ms(90_000),
            message(2).key("a").delay_ms(70_000),
            message(3),
            message(4),
            Message::new(vec![0; 2 << 20]),
        ];
        let messages = messages.map(|message| message.encode().unwrap()).to_vec();
        let put = Put { destination: name(destination), stamp, expected_last: None, messages };
        let _ = leader.apply(&Command::Put { put, auto_create: None });
    }
    for destination in ["queue", "stream"] {
        let receipts = leader.lease(destination, 9);
        leader.settle(destination, Verdict::Reject { reason: "bad".into() }, vec![receipts[0]]);
        leader.settle(destination, Verdict::Nack { delay_ms: 0 }, vec![receipts[1]]);
    }
    leader.put("gone", &[Message::new("x")]);
    leader.done(Command::DeleteDestination { destination: name("gone") });
    assert!(!leader.shard.trash.is_empty());
    leader.shard
}

fn snapshot(shard: &Shard) -> Bytes {
    Bytes::from(shard.snapshot().concat())
}

#[test]
fn entries_of_version_1_read_for_ever() {
    assert_eq!(to_hex(&entry_of_every_command()), ENTRY_V1);
    let entry = decode(from_hex(ENTRY_V1)).unwrap();
    assert_eq!((entry.now_ms, entry.token_bound), (1_700_000_000_000, (3 << 40) | 9));
    let commands: Vec<Command> = entry.commands.into_iter().map(|placed| placed.command).collect();
    assert_eq!(commands, every_command());
}

#[test]
fn snapshots_of_version_1_read_for_ever() {
    assert_eq!(to_hex(&snapshot(&full_shard())), SNAPSHOT_V1);
    let restored = Shard::restore(&[from_hex(SNAPSHOT_V1)]).unwrap();
    assert_eq!(restored.held().collect::<Vec<_>>(), full_shard().held().collect::<Vec<_>>());
    assert_eq!(restored.outbox(9).len(), 1);
    assert_eq!(to_hex(&snapshot(&restored)), SNAPSHOT_V1);
}

#[test]
fn messages_of_an_entry_are_slices_of_it() {
    let bytes = entry_of_every_command();
    let entry = decode(bytes.clone()).unwrap();
    let Placed { command: Command::Put { put, .. }, messages } = &entry.commands[0] else {
        panic!("it begins with a put")
    };
    for (message, placed) in put.messages.iter().zip(messages) {
        let from = placed.offset as usize;
        let slice = bytes.slice(from..from + placed.length as usize);
        assert_eq!(slice, *message.as_bytes());
        assert_eq!(slice.as_ptr(), message.as_bytes().as_ptr(), "not a copy");
    }
}

#[test]
fn a_snapshot_is_cut_into_chunks_and_may_be_cut_otherwise() {
    let mut leader = Leader::new(ShardLimits::default());
    leader.done(create(name("queue"), DestinationSettings::queue()));
    leader.put_many("queue", 300_000);
    let chunks = leader.shard.snapshot();
    assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk.len() < (1 << 20) + 1000));
    let whole = Bytes::from(chunks.concat());
    let cut: Vec<Bytes> = whole.chunks(777).map(Bytes::copy_from_slice).collect();
    assert_eq!(Shard::restore(&cut).unwrap().snapshot(), chunks);
}

#[test]
fn every_truncation_is_refused() {
    let entry = entry_of_every_command();
    let whole = decode(entry.clone()).unwrap().commands.len();
    for end in 0..entry.len() {
        assert!(
            decode(entry.slice(..end)).is_ok_and(|cut| cut.commands.len() < whole)
                || decode(entry.slice(..end)).is_err()
        );
    }
    let snapshot = snapshot(&full_shard());
    for end in 0..snapshot.len() {
        assert!(Shard::restore(&[snapshot.slice(..end)]).is_err(), "cut at {end}");
    }
}

/// Whatever was read must hold together: use it.
fn exercise(mut shard: Shard) {
    let written = shard.snapshot();
    assert_eq!(Shard::restore(&written).unwrap().snapshot(), written);
    shard.reset_volatile(5);
    for destination in ["queue", "stream"] {
        let request = LeaseRequest {
            destination: name(destination),
            group: default(),
            consumer: 1,
            messages_max: 10,
            bytes_max: 1000,
            lease_ms: 1,
        };
        let _ = shard.lease(20_000, &request);
    }
    let index = shard.applied().saturating_add(1);
    let due = shard.due(u64::MAX);
    let mut entry = EntryBuilder::new(u64::MAX, shard.token_bound());
    for command in every_command().iter().chain(&due.commands) {
        entry.push(command);
    }
    let _ = shard.apply(index, entry.finish());
    let _ = (shard.list(0, "", None, 10), shard.stats(0, 10), shard.outbox(10), shard.next_due());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut entry = vec![1];
        entry.extend_from_slice(&[0; 16]);
        entry.extend_from_slice(&bytes);
        let _ = Shard::new(0, ShardLimits::default()).apply(1, Bytes::from(bytes));
        let _ = Shard::new(0, ShardLimits::default()).apply(1, Bytes::from(entry));
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(shard) = Shard::restore(&[Bytes::from(bytes)]) {
            exercise(shard);
        }
    }

    #[test]
    fn a_damaged_entry_does_no_harm(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = entry_of_every_command().to_vec();
        for (at, byte) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        let mut shard = full_shard();
        let index = shard.applied() + 1;
        if shard.apply(index, Bytes::from(bytes)).is_ok() {
            exercise(shard);
        }
    }

    #[test]
    fn a_damaged_snapshot_does_no_harm(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = from_hex(SNAPSHOT_V1).to_vec();
        for (at, byte) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(shard) = Shard::restore(&[Bytes::from(bytes)]) {
            exercise(shard);
        }
    }

    #[test]
    fn a_command_reads_back_as_it_was_written(nth in any::<proptest::sample::Index>()) {
        let command = nth.get(&every_command()).clone();
        let mut reader = Reader::new(command.to_bytes());
        prop_assert_eq!(Placed::decode(&mut reader).unwrap().command, command);
        prop_assert_eq!(reader.left(), 0);
    }
}
