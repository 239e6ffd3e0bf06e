//! The queue that everything is kept in.

use super::*;

#[test]
fn nobody_is_read_until_the_queue_is_but_not_for_ever() {
    let mut peers = Model::new(10);
    for is_read in [true, false] {
        let mut titanic = titanic(|_, _| {});
        let client = peers.connect();
        titanic.attach(0, client, &info(Side::Front), &mut peers);
        assert!(!titanic.accepts(client, &peers));
        if is_read {
            Queue::default().read(0, &mut titanic, &mut peers);
        } else {
            let due = titanic.next_due().unwrap();
            titanic.tick(due, &mut peers);
            titanic.handle(due, client, frames(&[b"", b"MDPC01", b"titanic.reply", &[b'0'; 32]]), &mut peers);
            let answer = frames(&[b"", b"MDPC01", b"titanic.reply", b"500"]);
            assert_eq!(peers.read(client).0, [answer]);
            assert_eq!(peers.dropped_for(Drop::Unavailable), 1);
        }
        assert!(titanic.accepts(client, &peers));
    }
}

#[test]
fn while_the_queue_cannot_be_used_what_is_known_is_said() {
    let mut world = World::new();
    let (client, worker) = (world.connect("ada"), world.worker());
    let done = world.store_replied(client, worker, b"one");
    let open = world.store(client, b"2");
    let request = world.request(worker).unwrap();
    world.titanic.handle_storage(0, StorageEvent::Closed, &mut world.peers);
    let ask = |world: &mut World, service: &str, body: &[&[u8]]| {
        world.begin(client, service, body);
        world.answer(client, service)
    };
    assert_eq!(ask(&mut world, "titanic.reply", &[&done]), ["200", "one"]);
    for (service, body) in [
        ("titanic.reply", vec![&open[..]]),
        ("titanic.close", vec![&done[..]]),
        ("titanic.request", vec![&b"echo"[..], b"3"]),
    ] {
        assert_eq!(ask(&mut world, service, &body), ["500"], "{service}");
    }
    world.reply(worker, &request, &[b"two"]);
    world.queue.read(0, &mut world.titanic, &mut world.peers);
    world.pass(1000);
    assert_eq!(world.retrieve(client, &open), ["200", "two"], "the reply was kept for it");
}

#[test]
fn what_the_queue_does_not_take_is_said_or_put_again() {
    let mut world = World::new();
    let (client, worker) = (world.connect("ada"), world.worker());
    world.begin(client, "titanic.request", &[b"echo", b"1"]);
    world.queue.poll(&mut world.titanic);
    world.queue.answer(0, 0, Fate::Refused, &mut world.titanic, &mut world.peers);
    assert_eq!(world.answer(client, "titanic.request"), ["500"]);
    assert_eq!(world.peers.dropped_for(Drop::Unavailable), 1);
    let id = world.store(client, b"2");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"two"]);
    world.queue.poll(&mut world.titanic);
    world.queue.answer(0, 0, Fate::Refused, &mut world.titanic, &mut world.peers);
    assert_eq!(world.retrieve(client, &id), ["300"]);
    world.pass(1000);
    assert_eq!(world.retrieve(client, &id), ["200", "two"]);
    assert!(world.request(worker).is_none(), "it is not worked on again");
}

#[test]
fn while_a_reply_waits_to_be_stored_nothing_is_taken_and_nothing_given_to_workers() {
    let mut world = World::with(|pool, limits| {
        pool.heartbeat_ms = 60_000;
        limits.working_max = 2;
    });
    let (client, workers) = (world.connect("ada"), [world.worker(), world.worker()]);
    let ids = [b"0", b"1", b"2", b"3"].map(|body| world.store(client, body));
    let requests = workers.map(|worker| world.request(worker).unwrap());
    world.reply(workers[0], &requests[0], &[b"zero"]);
    let third = world.request(workers[0]).unwrap();
    let refuse_all = |world: &mut World| {
        world.queue.poll(&mut world.titanic);
        while !world.queue.asked.is_empty() {
            world.queue.answer(world.now, 0, Fate::Refused, &mut world.titanic, &mut world.peers);
            world.titanic.check(world.now);
        }
    };
    refuse_all(&mut world);
    world.reply(workers[1], &requests[1], &[b"one"]);
    for _ in 0..3 {
        // The disk is full: all that the queue does is to let go.
        refuse_all(&mut world);
        world.begin(client, "titanic.request", &[b"echo", b"5"]);
        assert_eq!(world.answer(client, "titanic.request"), ["500"]);
        assert!(world.request(workers[0]).is_none() && world.request(workers[1]).is_none());
        let end = world.now + 1000;
        while let Some(due) = world.titanic.next_due().filter(|due| *due <= end) {
            world.now = due;
            world.titanic.tick(due, &mut world.peers);
        }
    }
    world.pass(1000);
    let fourth = world.request(workers[1]).unwrap();
    world.reply(workers[0], &third, &[b"two"]);
    world.reply(workers[1], &fourth, &[b"three"]);
    for (id, reply) in ids.iter().zip(["zero", "one", "two", "three"]) {
        assert_eq!(world.retrieve(client, id), ["200", reply]);
    }
    world.store(client, b"5");
}

#[test]
fn a_reply_that_waits_to_be_stored_and_is_closed_holds_up_nothing() {
    let mut world = World::new();
    let (client, worker) = (world.connect("ada"), world.worker());
    let id = world.store_replied(client, worker, b"one");
    world.queue.poll(&mut world.titanic);
    world.queue.answer(0, 0, Fate::Refused, &mut world.titanic, &mut world.peers);
    assert_eq!(world.close(client, &id), ["200"]);
    world.store(client, b"2");
    assert!(world.request(worker).is_some());
}

#[test]
fn a_reply_that_can_never_be_stored_ends_its_request() {
    let mut world = World::new();
    let (client, worker) = (world.connect("ada"), world.worker());
    let id = world.store_replied(client, worker, b"too large for the queue");
    while world.titanic.poll_storage().is_some() {}
    let refused = StorageEvent::Refused { token: 2, refusal: Refusal::Never };
    world.titanic.handle_storage(0, refused, &mut world.peers);
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 1);
    assert_eq!(world.retrieve(client, &id), ["400"]);
    assert_eq!(world.queue.len(), 0);
}

#[test]
fn a_request_that_can_never_be_stored_is_400() {
    let mut world = World::new();
    let client = world.connect("ada");
    world.begin(client, "titanic.request", &[b"echo", b"too large for the queue"]);
    while world.titanic.poll_storage().is_some() {}
    let refused = StorageEvent::Refused { token: 1, refusal: Refusal::Never };
    world.titanic.handle_storage(0, refused, &mut world.peers);
    assert_eq!(world.answer(client, "titanic.request"), ["400"]);
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 1);
    assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
}

#[test]
fn what_is_no_record_stays_where_it_is() {
    let mut world = World::new();
    world.queue.smuggle(Message::new("a note").encode().unwrap());
    world.run();
    assert_eq!(world.peers.dropped_for(Drop::Malformed), 1);
    world.crash();
    assert_eq!((world.queue.len(), world.titanic.stored()), (1, 0));
    let client = world.connect("ada");
    world.store(client, b"1");
}

#[test]
fn a_close_in_doubt_is_500_and_ends_when_the_queue_is_read() {
    let fates = [(Fate::DoneUnknown, false), (Fate::RefusedUnknown, false), (Fate::RefusedUnknown, true)];
    for (fate, is_purged) in fates {
        let mut world = World::new();
        let (client, worker) = (world.connect("ada"), world.worker());
        let id = world.store_replied(client, worker, b"one");
        world.queue.poll(&mut world.titanic);
        world.begin(client, "titanic.close", &[&id]);
        world.queue.answer(0, 0, fate, &mut world.titanic, &mut world.peers);
        assert_eq!(world.answer(client, "titanic.close"), ["500"]);
        if is_purged {
            world.queue.purge();
        }
        world.queue.read(0, &mut world.titanic, &mut world.peers);
        assert_eq!(world.close(client, &id), ["200"]);
        assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
    }
}

#[test]
fn a_record_that_fits_nothing_is_settled_and_never_worked_on() {
    let mut world = World::new();
    let worker = world.worker();
    let stray =
        Record { id: 7, kind: Kind::Request, service: Bytes::from_static(b"echo"), user: "ada".into() };
    world.queue.smuggle(stray.write(&frames(&[b"stray"])).unwrap());
    world.queue.deliver(0, 0, &mut world.titanic, &mut world.peers);
    world.queue.poll(&mut world.titanic);
    world.queue.answer(0, 0, Fate::RefusedUnknown, &mut world.titanic, &mut world.peers);
    world.queue.read(0, &mut world.titanic, &mut world.peers);
    world.run();
    assert!(world.request(worker).is_none());
    assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
}

#[test]
fn what_somebody_takes_out_of_the_queue_is_forgotten() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    world.queue.purge();
    world.titanic.handle_storage(0, StorageEvent::Closed, &mut world.peers);
    world.queue.read(0, &mut world.titanic, &mut world.peers);
    assert_eq!(world.retrieve(client, &id), ["400"]);
    assert_eq!(world.peers.dropped_for(Drop::Unavailable), 1);
}
