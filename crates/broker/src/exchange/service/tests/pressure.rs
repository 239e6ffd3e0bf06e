//! Limits, and peers that do not read.

use super::*;

#[test]
fn what_is_too_much_is_counted() {
    let mut world = World::with(|limits| {
        limits.queue_requests_max = 2;
        limits.services_max = 2;
        limits.workers_max = 1;
    });
    for _ in 0..3 {
        world.client_01(b"a", b"hello");
    }
    assert_eq!(world.peers.dropped_for(Drop::QueueFull), 1);
    world.client_01(b"b", b"hello");
    world.client_01(b"c", b"hello");
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 1);
    let worker = world.worker_01(b"a");
    assert_eq!(world.only(worker)[5], "hello");
    let refused = world.worker_01(b"a");
    assert_eq!(world.only(refused), frames(DISCONNECT_01));
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 2);
    let client = world.attach();
    assert!(world.broker.accepts(client, &world.peers));
}

#[test]
fn a_client_with_too_many_requests_is_not_read() {
    let mut world = World::with(|limits| limits.client_requests_max = 2);
    let client = world.client_01(b"a", b"1");
    assert!(world.broker.accepts(client, &world.peers));
    world.say(client, &[b"", b"MDPC01", b"a", b"2"]);
    assert!(!world.broker.accepts(client, &world.peers));
    let worker = world.worker_01(b"a");
    let request = world.only(worker);
    world.reply(worker, &request, b"\x03", b"hi");
    assert!(world.broker.accepts(client, &world.peers));
}

#[test]
fn a_worker_is_not_read_while_its_client_does_not_read() {
    let mut world = World::new();
    world.peers = Model::new(2);
    let worker = world.worker_02(b"s");
    let client = world.client_02(b"s", b"a lot");
    let request = world.only(worker);
    for part in [b"1", b"2"] {
        assert!(world.broker.accepts(worker, &world.peers));
        world.reply(worker, &request, b"\x03", part);
    }
    assert!(!world.broker.accepts(worker, &world.peers));
    world.pass(2500);
    world.read(worker);
    assert_eq!(world.read(client).len(), 2);
    assert!(world.broker.accepts(worker, &world.peers));
    for part in [b"3", b"4"] {
        world.reply(worker, &request, b"\x03", part);
    }
    // A client that never reads holds its worker up no longer than a worker may be silent.
    for _ in 0..9 {
        world.pass(500);
        world.read(worker);
    }
    assert_eq!((world.broker.workers(), world.peers.drops.as_slice()), (1, &[(client, Drop::QueueFull)][..]));
    assert!(world.broker.accepts(worker, &world.peers));
    world.reply(worker, &request, b"\x04", b"5");
    assert_eq!(world.read(client).len(), 2, "a reply with a gap is not ended");
    assert_eq!((world.broker.requests(), world.peers.drops.len()), (0, 1));
}

#[test]
fn a_client_that_does_not_read_holds_nobody_else_back() {
    let mut world = World::new();
    world.peers = Model::new(2);
    let worker = world.worker_01(b"s");
    let idle = world.attach();
    for body in [b"1", b"2", b"3", b"4"] {
        world.say(idle, &[b"", b"MDPC01", b"s", body]);
    }
    let client = world.client_01(b"s", b"mine");
    for body in ["1", "2"] {
        let request = world.only(worker);
        assert_eq!(request[5], body);
        world.reply(worker, &request, b"\x03", b"hi");
    }
    // Nothing that a worker makes of the others could be sent now.
    let request = world.only(worker);
    assert_eq!(request[5], "mine");
    world.reply(worker, &request, b"\x03", b"hi");
    assert_eq!(world.only(client)[3], "hi");
    world.say(client, &[b"", b"MDPC01", b"s", b"again"]);
    let request = world.only(worker);
    assert_eq!(request[5], "again", "who waits for somebody else is ready for others");
    assert_eq!(world.read(idle).len(), 2);
    world.reply(worker, &request, b"\x03", b"hi");
    for body in ["3", "4"] {
        let request = world.only(worker);
        assert_eq!(request[5], body, "in their order");
        world.reply(worker, &request, b"\x03", b"hi");
    }
    assert_eq!(world.read(idle).len(), 2);
    assert!(world.peers.drops.is_empty());
}

#[test]
fn what_waits_for_a_client_to_read_expires_and_goes_with_it() {
    let mut world = World::with(|limits| (limits.wait_ms, limits.liveness) = (5000, 10));
    world.peers = Model::new(1);
    let worker = world.worker_01(b"s");
    let idle = world.client_01(b"s", b"1");
    let request = world.only(worker);
    for body in [b"2", b"3"] {
        world.say(idle, &[b"", b"MDPC01", b"s", body]);
        world.pass(1000);
        world.read(worker);
    }
    world.reply(worker, &request, b"\x03", b"hi");
    assert!(world.read(worker).is_empty());
    world.pass(3000);
    assert_eq!(world.peers.drops, [(idle, Drop::Expired)]);
    world.detach(idle);
    assert_eq!(world.peers.drops, [(idle, Drop::Expired), (idle, Drop::Unroutable)]);
    assert_eq!((world.broker.requests(), world.broker.workers()), (0, 1));
}

#[test]
fn a_part_that_finds_no_room_ends_the_reply() {
    let mut world = World::new();
    world.peers = Model::new(2);
    let worker = world.worker_02(b"s");
    let client = world.client_02(b"s", b"a lot");
    let request = world.only(worker);
    // It was read before anybody asked whether it is wanted.
    for part in [b"1", b"2", b"3"] {
        world.reply(worker, &request, b"\x03", part);
    }
    assert_eq!(world.peers.drops, [(client, Drop::QueueFull)]);
    assert_eq!(world.read(client).len(), 2);
    world.reply(worker, &request, b"\x03", b"4");
    world.reply(worker, &request, b"\x04", b"5");
    assert!(world.read(client).is_empty(), "what follows a gap is worth nothing");
    assert_eq!((world.broker.requests(), world.peers.drops.len()), (0, 1));
}

#[test]
fn a_worker_that_does_not_read_is_passed_over() {
    let mut world = World::with(|limits| limits.liveness = 100);
    world.peers = Model::new(2);
    let clogged = world.worker_01(b"s");
    world.pass(3000);
    let reads = world.worker_01(b"s");
    world.client_01(b"s", b"1");
    assert_eq!(world.only(reads)[5], "1");
    world.client_01(b"s", b"2");
    assert_eq!(world.read(clogged).len(), 2, "heartbeats");
    assert_eq!(world.only(clogged)[5], "2", "it has room again");
}

#[test]
fn parts_that_are_dropped_take_no_memory() {
    let mut world = World::with(|limits| limits.bytes_max = 4096);
    let worker = world.worker_02(b"echo");
    let client = world.client_01(b"echo", b"hello");
    let request = world.only(worker);
    for _ in 0..2 {
        world.reply(worker, &request, b"\x03", &[b'x'; 2500]);
    }
    assert_eq!(world.peers.drops, [(client, Drop::QueueFull)]);
    let other = world.worker_02(b"echo");
    let second = world.client_01(b"echo", &[b'x'; 2500]);
    let request = world.only(other);
    world.reply(other, &request, b"\x04", b"hi");
    assert_eq!(world.only(second)[3], "hi");
}

#[test]
fn a_request_that_waits_or_is_worked_on_keeps_nothing_else_alive_of_what_was_read() {
    for has_worker in [false, true] {
        let mut world = World::new();
        let worker = has_worker.then(|| world.worker_02(b"echo"));
        let client = world.attach();
        // Long enough that no frame is a copy for being short, and with an address before it.
        let block = bytes::Bytes::from(
            [&b"an address of many bytes, as of a proxy"[..], b"MDPC02\x01echo", &[7; 60_000]].concat(),
        );
        let at = |range: std::ops::Range<usize>| block.slice(range);
        let message = vec![at(0..39), at(39..39), at(39..45), at(45..46), at(46..50), at(50..150)];
        world.send(client, message);
        world.peers.read(client);
        if let Some(worker) = worker {
            assert_eq!(world.read(worker).len(), 1);
        }
        assert_eq!(world.broker.pool.requests_len(), 1);
        assert!(block.is_unique(), "with a worker: {has_worker}");
    }
}
