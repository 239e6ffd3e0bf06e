//! Workers, the time they have, and replies that are too long.

use super::*;

#[test]
fn parts_of_a_reply_are_stored_together() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"hello");
    let worker = world.connect("worker");
    world.say(worker, frames(&[b"MDPW02", b"\x01", b"echo"]));
    let request = world.peers.read(worker).0.remove(0);
    for (command, body) in [(b"\x03", b"one"), (b"\x03", b"two"), (b"\x04", b"end")] {
        world.say(worker, frames(&[b"MDPW02", command, &request[2], b"", body]));
        let is_final = command == b"\x04";
        let expected: &[&str] = if is_final { &["200", "one", "two", "end"] } else { &["300"] };
        assert_eq!(world.retrieve(client, &id), expected);
    }
}

#[test]
fn a_reply_in_more_parts_than_can_be_kept_ends_its_request_as_one_in_one_piece_does() {
    let mut world = World::with(|pool, _| pool.heartbeat_ms = 60_000);
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    let (worker, idle) = (world.worker_02(), world.worker_02());
    let request = world.request_02(worker).unwrap();
    for _ in 0..1025 {
        world.part(worker, &request, false, b"x");
    }
    world.pass(10_000);
    assert!(world.request_02(idle).is_none(), "one is still at work on it");
    assert_eq!(world.retrieve(client, &id), ["300"]);
    world.part(worker, &request, true, b"end");
    assert_eq!(world.retrieve(client, &id), ["400"]);
    assert_eq!(world.peers.drops, [(PeerId::inside(0), Drop::LimitReached)]);
    world.pass(10_000);
    assert!(world.request_02(idle).is_none() && world.request_02(worker).is_none());
    assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
}

#[test]
fn a_message_has_so_many_bytes_and_a_reply_in_parts_no_more() {
    let mut world = World::with(|pool, limits| {
        pool.heartbeat_ms = 60_000;
        limits.message_bytes_max = 1000;
    });
    let client = world.connect("ada");
    assert_eq!(world.ask(client, "titanic.request", &[b"echo", &[b'x'; 1001]]), ["400"]);
    let worker = world.worker_02();
    for (parts, expected) in
        [(&[1000][..], "200"), (&[500, 500], "200"), (&[1001], "400"), (&[500, 501], "400")]
    {
        let id = world.store(client, &[b'x'; 1000]);
        let request = world.request_02(worker).unwrap();
        for (nth, bytes) in parts.iter().enumerate() {
            world.part(worker, &request, nth + 1 == parts.len(), &vec![b'x'; *bytes]);
        }
        assert_eq!(world.retrieve(client, &id)[0], expected, "{parts:?}");
    }
    let id = world.store(client, b"1");
    let request = world.request_02(worker).unwrap();
    for is_final in [false, false, true] {
        world.part(worker, &request, is_final, &[b'x'; 501]);
    }
    assert_eq!(world.retrieve(client, &id), ["400"]);
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 4);
}

#[test]
fn a_reply_for_which_there_is_no_room_now_is_made_again_later_each_time() {
    let mut world = World::with(|pool, _| {
        pool.heartbeat_ms = 600_000;
        pool.bytes_max = 4096;
    });
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    let (mut worker, mut idle) = (world.worker_02(), world.worker_02());
    for pause_ms in [1000, 2000, 4000] {
        let request = world.request_02(worker).unwrap();
        for _ in 0..2 {
            world.part(worker, &request, false, &[b'x'; 2500]);
        }
        world.pass(10_000);
        assert!(world.request_02(idle).is_none(), "one is still at work on it");
        world.part(worker, &request, true, b"end");
        world.pass(pause_ms - 1);
        assert_eq!((world.request_02(worker), world.request_02(idle)), (None, None));
        world.pass(1);
        std::mem::swap(&mut worker, &mut idle);
    }
    assert_eq!(world.peers.dropped_for(Drop::QueueFull), 3);
    let request = world.request_02(worker).unwrap();
    world.part(worker, &request, true, b"small");
    assert_eq!(world.retrieve(client, &id), ["200", "small"]);
}

#[test]
fn a_worker_that_dies_in_a_reply_that_is_too_long_is_lost_as_any() {
    let mut world = World::with(|pool, _| pool.heartbeat_ms = 60_000);
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    let worker = world.worker_02();
    let request = world.request_02(worker).unwrap();
    for _ in 0..1025 {
        world.part(worker, &request, false, b"x");
    }
    world.detach(worker);
    let other = world.worker_02();
    assert!(world.request_02(other).is_none());
    world.pass(1000);
    let request = world.request_02(other).unwrap();
    world.part(other, &request, true, b"short");
    assert_eq!(world.retrieve(client, &id), ["200", "short"]);
}

#[test]
fn a_request_whose_worker_dies_goes_to_another_and_waits_longer_after_each_two() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"poison");
    for pause_ms in [1000, 2000, 4000] {
        for _ in 0..2 {
            let worker = world.worker();
            assert!(world.request(worker).is_some());
            world.detach(worker);
        }
        let survivor = world.worker();
        world.pass(pause_ms - 1);
        assert!(world.request(survivor).is_none(), "it may be what kills them");
        world.detach(survivor);
        world.pass(1);
    }
    let worker = world.worker();
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"survived"]);
    assert_eq!(world.retrieve(client, &id), ["200", "survived"]);
}

#[test]
fn a_slow_job_is_not_given_to_another_before_its_time() {
    let mut world = World::with(|pool, limits| {
        limits.work_ms = 600_000;
        pool.busy_silence_ms = 600_000;
    });
    let client = world.connect("ada");
    let id = world.store(client, b"hard");
    let (slow, idle) = (world.worker(), world.worker());
    let request = world.request(slow).unwrap();
    for _ in 0..599 {
        world.beat(idle);
        world.pass(1000);
        assert!(world.request(idle).is_none());
    }
    world.reply(slow, &request, &[b"done"]);
    assert_eq!(world.retrieve(client, &id), ["200", "done"]);
}

#[test]
fn a_job_that_takes_too_long_is_given_out_again_and_its_late_reply_dropped() {
    let mut world = World::with(|pool, limits| {
        limits.work_ms = 60_000;
        pool.busy_silence_ms = 600_000;
    });
    let client = world.connect("ada");
    let id = world.store(client, b"hard");
    let slow = world.worker();
    let late = world.request(slow).unwrap();
    world.pass(59_999);
    let other = world.worker();
    assert!(world.request(other).is_none());
    world.pass(1);
    let request = world.request(other).unwrap();
    world.reply(slow, &late, &[b"late"]);
    assert_eq!(world.retrieve(client, &id), ["300"]);
    assert_eq!(world.peers.dropped_for(Drop::Unroutable), 1);
    world.reply(other, &request, &[b"done"]);
    assert_eq!(world.retrieve(client, &id), ["200", "done"]);
}

#[test]
fn the_time_of_a_job_begins_anew_with_each_worker() {
    let mut world = World::with(|pool, limits| {
        limits.work_ms = 60_000;
        pool.busy_silence_ms = 600_000;
    });
    let client = world.connect("ada");
    let id = world.store(client, b"hard");
    let first = world.worker();
    assert!(world.request(first).is_some());
    world.pass(45_000);
    let second = world.worker();
    world.detach(first);
    let request = world.request(second).unwrap();
    world.pass(59_999);
    let idle = world.worker();
    assert!(world.request(idle).is_none());
    world.reply(second, &request, &[b"done"]);
    assert_eq!(world.retrieve(client, &id), ["200", "done"]);
    assert!(world.peers.drops.is_empty(), "{:?}", world.peers.drops);
}

#[test]
fn waiting_for_a_worker_is_no_work() {
    let mut world = World::with(|pool, limits| {
        limits.work_ms = 10_000;
        pool.busy_silence_ms = 10_000;
    });
    let client = world.connect("ada");
    let worker = world.worker();
    let ids = [&b"1"[..], b"2", b"3"].map(|body| world.store(client, body));
    for id in &ids {
        let request = world.request(worker).unwrap();
        world.pass(6_000);
        world.reply(worker, &request, &[b"done"]);
        assert_eq!(world.retrieve(client, id), ["200", "done"]);
    }
    assert!(world.peers.drops.is_empty(), "{:?}", world.peers.drops);
}

#[test]
fn a_job_that_was_lost_waits_in_the_pool_longer_than_it_may_work() {
    let mut world = World::with(|pool, limits| {
        limits.work_ms = 10_000;
        pool.wait_ms = 60_000;
        pool.busy_silence_ms = 600_000;
    });
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    let first = world.worker();
    assert!(world.request(first).is_some());
    world.detach(first);
    world.pass(15_000);
    let second = world.worker();
    let request = world.request(second).unwrap();
    world.pass(9_999);
    world.reply(second, &request, &[b"done"]);
    assert_eq!(world.retrieve(client, &id), ["200", "done"]);
    assert!(world.peers.drops.is_empty(), "{:?}", world.peers.drops);
}

#[test]
fn what_waits_long_for_a_worker_is_not_lost_by_the_pool() {
    let mut world = World::with(|pool, _| pool.busy_silence_ms = DAY);
    let client = world.connect("ada");
    let busy = world.worker();
    let first = world.store(client, b"1");
    let second = world.store(client, b"2");
    let request = world.request(busy).unwrap();
    for _ in 0..10 {
        world.pass(60_000);
        assert!(world.request(busy).is_none());
    }
    world.reply(busy, &request, &[b"one"]);
    assert_eq!(world.retrieve(client, &first), ["200", "one"]);
    let request = world.request(busy).unwrap();
    world.reply(busy, &request, &[b"two"]);
    assert_eq!(world.retrieve(client, &second), ["200", "two"]);
    assert!(world.peers.drops.is_empty());
}

#[test]
fn a_closed_request_is_not_worked_on_and_its_reply_is_dropped() {
    let mut world = World::new();
    let client = world.connect("ada");
    let waiting = world.store(client, b"1");
    assert_eq!(world.close(client, &waiting), ["200"]);
    let worker = world.worker();
    assert!(world.request(worker).is_none());
    let running = world.store(client, b"2");
    let request = world.request(worker).unwrap();
    assert_eq!(world.close(client, &running), ["200"]);
    world.reply(worker, &request, &[b"late"]);
    world.run();
    assert_eq!(world.retrieve(client, &running), ["400"]);
    assert_eq!(world.queue.len(), 0);
    assert_eq!(world.peers.dropped_for(Drop::Unroutable), 1);
    world.crash();
    let client = world.connect("ada");
    assert_eq!(world.retrieve(client, &running), ["400"]);
}

#[test]
fn a_worker_that_may_serve_no_more_leaves_what_is_stored_to_another() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"hello");
    let (revoked, other) = (world.worker(), world.connect("other"));
    let request = world.request(revoked).unwrap();
    world.peers.forbidden.insert((Verb::Serve, b"echo".to_vec()));
    world.titanic.rights_changed(world.now, revoked, &mut world.peers);
    world.titanic.check(world.now);
    assert_eq!(world.peers.read(revoked).0, [frames(&[b"", b"MDPW01", b"\x05"])]);
    assert_eq!(world.peers.drops, [(revoked, Drop::Forbidden)]);
    world.reply(revoked, &request, &[b"late"]);
    assert_eq!(world.retrieve(client, &id), ["300"]);
    world.peers.forbidden.clear();
    world.say(other, frames(&[b"", b"MDPW01", b"\x01", b"echo"]));
    let request = world.request(other).unwrap();
    world.reply(other, &request, &[b"hi"]);
    assert_eq!(world.retrieve(client, &id), ["200", "hi"]);
}
