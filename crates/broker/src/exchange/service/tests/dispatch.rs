//! Who gets a request, and what becomes of it when its worker is lost or silent.

use super::*;

#[test]
fn who_has_been_ready_longest_is_next() {
    let mut world = World::new();
    let workers = [world.worker_01(b"echo"), world.worker_01(b"echo"), world.worker_01(b"echo")];
    for worker in [0, 1, 2, 0, 1].map(|index| workers[index]) {
        world.client_01(b"echo", b"hello");
        let request = world.only(worker);
        world.reply(worker, &request, b"\x03", b"hi");
    }
}

#[test]
fn a_heartbeat_never_makes_a_busy_worker_ready() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    world.client_01(b"echo", b"first");
    world.client_01(b"echo", b"second");
    let request = world.only(worker);
    world.say(worker, &[b"", b"MDPW01", b"\x04"]);
    assert!(world.read(worker).is_empty());
    world.reply(worker, &request, b"\x03", b"hi");
    assert_eq!(world.only(worker)[5], "second");
}

#[test]
fn a_request_waits_for_a_worker_and_expires() {
    let mut world = World::with(|limits| limits.wait_ms = 5000);
    let late = world.client_01(b"echo", b"late");
    world.pass(4999);
    assert_eq!(world.peers.drops, []);
    let client = world.client_01(b"echo", b"hello");
    world.pass(1);
    assert_eq!(world.peers.drops, [(late, Drop::Expired)]);
    let worker = world.worker_01(b"echo");
    assert_eq!(world.only(worker)[5], "hello");
    world.detach(client);
    world.detach(worker);
    assert_eq!((world.broker.requests(), world.broker.workers(), world.broker.services()), (0, 0, 0));
}

#[test]
fn a_lost_worker_s_request_goes_first_to_another_and_only_once() {
    let mut world = World::new();
    let (first, second) = (world.worker_01(b"echo"), world.worker_01(b"echo"));
    let client = world.client_01(b"echo", b"one");
    let busy = world.client_01(b"echo", b"busy");
    world.client_01(b"echo", b"waits");
    let request = world.only(second);
    world.detach(first);
    world.reply(second, &request, b"\x03", b"done");
    world.read(busy);
    let again = world.only(second);
    assert_eq!(again[5], "one", "what came back is before what waits");
    assert_eq!(world.peers.drops, []);
    world.detach(second);
    assert_eq!(world.peers.drops, [(client, Drop::WorkerLost)], "two workers died of it");
    let third = world.worker_01(b"echo");
    assert_eq!(world.only(third)[5], "waits");
}

#[test]
fn at_most_once_a_lost_worker_s_request_is_dropped() {
    let mut world = World::with(|limits| limits.at_most_once = true);
    let (first, second) = (world.worker_01(b"echo"), world.worker_01(b"echo"));
    let client = world.client_01(b"echo", b"one");
    world.detach(first);
    assert_eq!(world.peers.drops, [(client, Drop::WorkerLost)]);
    assert!(world.read(second).is_empty());
}

#[test]
fn after_a_part_another_worker_does_not_begin_anew() {
    let mut world = World::new();
    let (first, second) = (world.worker_02(b"echo"), world.worker_02(b"echo"));
    let client = world.client_02(b"echo", b"one");
    let request = world.only(first);
    world.reply(first, &request, b"\x03", b"part");
    world.detach(first);
    assert_eq!(world.peers.drops, [(client, Drop::WorkerLost)]);
    assert!(world.read(second).is_empty());
}

#[test]
fn parts_that_a_client_of_0_1_has_not_seen_are_made_anew() {
    let mut world = World::new();
    let (first, second) = (world.worker_02(b"echo"), world.worker_02(b"echo"));
    let client = world.client_01(b"echo", b"one");
    let request = world.only(first);
    world.reply(first, &request, b"\x03", b"of the first");
    world.detach(first);
    let request = world.only(second);
    world.reply(second, &request, b"\x04", b"of the second");
    assert_eq!(world.only(client)[3..], frames(&[b"of the second"]));
}

#[test]
fn a_silent_worker_is_removed_and_its_request_is_not_lost() {
    let mut world = World::new();
    let (silent, lively) = (world.worker_01(b"echo"), world.worker_01(b"echo"));
    let client = world.client_01(b"echo", b"hello");
    for _ in 0..3 {
        assert_eq!(world.broker.workers(), 2);
        world.pass(999);
        world.say(lively, &[b"", b"MDPW01", b"\x04"]);
    }
    world.pass(3);
    assert_eq!(world.broker.workers(), 1);
    let seen = world.read(silent);
    assert_eq!(seen.last(), Some(&frames(DISCONNECT_01)));
    let request = world.read(lively).pop().unwrap();
    assert_eq!(request[5], "hello");
    let late = seen.first().unwrap();
    world.reply(silent, late, b"\x03", b"too late");
    assert!(world.read(client).is_empty());
    assert_eq!(world.peers.dropped_for(Drop::Unexpected), 1);
    world.reply(lively, &request, b"\x03", b"in time");
    assert_eq!(world.only(client)[3], "in time");
}

#[test]
fn workers_hear_that_the_broker_lives() {
    let mut world = World::new();
    let (old, new) = (world.worker_01(b"echo"), world.worker_02(b"echo"));
    for _ in 0..4 {
        world.pass(1000);
        assert_eq!(world.only(old), frames(&[b"", b"MDPW01", b"\x04"]));
        assert_eq!(world.only(new), frames(&[b"MDPW02", b"\x05"]));
        world.say(old, &[b"", b"MDPW01", b"\x04"]);
        world.say(new, &[b"MDPW02", b"\x05"]);
    }
}

#[test]
fn a_worker_at_work_may_be_silent_for_as_long_as_is_set() {
    let mut world = World::with(|limits| limits.busy_silence_ms = 60_000);
    let worker = world.worker_01(b"echo");
    let client = world.client_01(b"echo", b"slow");
    let request = world.only(worker);
    world.pass(59_999);
    world.reply(worker, &request, b"\x03", b"done");
    assert_eq!(world.only(client)[3], "done");
    world.pass(3001);
    assert_eq!(world.broker.workers(), 0, "without a request it may be silent as long as others");
}

#[test]
fn the_silence_of_work_counts_from_when_the_work_began() {
    let mut world = World::with(|limits| limits.busy_silence_ms = 60_000);
    let worker = world.worker_01(b"echo");
    world.pass(2_000);
    let client = world.client_01(b"echo", b"hello");
    let request = world.read(worker).pop().unwrap();
    world.pass(59_999);
    world.reply(worker, &request, b"\x03", b"hi");
    assert_eq!(world.only(client)[3], "hi");
}

#[test]
fn a_worker_without_more_time_to_work_is_lost_as_soon_as_before() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    world.pass(2_000);
    let client = world.client_01(b"echo", b"hello");
    world.pass(1_000);
    assert_eq!(world.broker.workers(), 0, "it was heard 3 s ago");
    world.detach(worker);
    world.detach(client);
}

#[test]
fn nobody_is_blamed_for_silence_when_the_clock_came_late() {
    let mut world = World::new();
    world.worker_01(b"echo");
    world.now = 60_000;
    world.broker.tick(world.now, &mut world.peers);
    assert_eq!(world.broker.workers(), 1, "nobody read what it sent");
    world.pass(3000);
    assert_eq!(world.broker.workers(), 0);
}

#[test]
fn a_worker_that_gets_a_request_again_may_not_answer_it_as_the_first_time() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    let client = world.client_01(b"echo", b"hello");
    let first = world.only(worker);
    world.say(worker, DISCONNECT_01);
    world.say(worker, &[b"", b"MDPW01", b"\x01", b"echo"]);
    let second = world.only(worker);
    assert_eq!(second[5], "hello");
    world.reply(worker, &first, b"\x03", b"late");
    assert!(world.read(client).is_empty());
    assert_eq!(world.peers.dropped_for(Drop::Unexpected), 1);
}
