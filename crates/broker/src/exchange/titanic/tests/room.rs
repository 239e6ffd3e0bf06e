//! What there is no room for.

use super::*;

#[test]
fn what_is_full_says_500_and_why() {
    let mut world = World::with(|_, limits| limits.requests_max = 2);
    let client = world.connect("ada");
    let id = world.store(client, b"1");
    world.store(client, b"2");
    assert_eq!(world.ask(client, "titanic.request", &[b"echo", b"3"]), ["500"]);
    assert_eq!(world.peers.dropped_for(Drop::LimitReached), 1);
    world.close(client, &id);
    world.store(client, b"3");

    let mut world = World::with(|_, limits| limits.request_bytes_max = 1000);
    let client = world.connect("ada");
    assert_eq!(world.ask(client, "titanic.request", &[b"echo", &[0; 1000]]), ["500"]);
    assert_eq!(world.peers.dropped_for(Drop::QueueFull), 1);
    world.store(client, b"small");
}

#[test]
fn while_there_are_too_many_bytes_of_replies_nothing_is_given_to_workers() {
    let mut world = World::with(|_, limits| limits.reply_bytes_max = 1000);
    let (client, worker) = (world.connect("ada"), world.worker());
    let first = world.store(client, b"1");
    let second = world.store(client, b"2");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[&[b'x'; 1000]]);
    world.run();
    assert!(world.request(worker).is_none(), "what waits has no room for its reply");
    world.close(client, &first);
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"two"]);
    assert_eq!(world.retrieve(client, &second), ["200", "two"]);
}

#[test]
fn a_service_is_given_what_its_ready_workers_take() {
    let mut world = World::with(|pool, _| pool.heartbeat_ms = 60_000);
    let client = world.connect("ada");
    let ids = [b"0", b"1", b"2", b"3", b"4"].map(|body| world.store(client, body));
    let workers = [world.worker(), world.worker()];
    assert_eq!(world.titanic.majordomo.requests(), 2);
    for (nth, id) in ids.iter().enumerate() {
        let worker = workers[nth % 2];
        let request = world.request(worker).unwrap();
        assert_eq!(request[5], nth.to_string());
        world.reply(worker, &request, &[b"done"]);
        assert_eq!(world.retrieve(client, id), ["200", "done"]);
    }
    assert_eq!(world.titanic.majordomo.requests(), 0);
}

#[test]
fn a_stored_request_waits_beside_those_of_clients_and_has_its_turn() {
    let mut world = World::with(|pool, _| pool.heartbeat_ms = 60_000);
    let (client, other, worker) = (world.connect("ada"), world.connect("bob"), world.worker());
    for body in [b"a", b"b"] {
        world.begin(other, "echo", &[body]);
    }
    let ids = [b"0", b"1"].map(|body| world.store(client, body));
    world.begin(other, "echo", &[b"c"]);
    world.begin(other, "echo", &[b"d"]);
    let mut order = Vec::new();
    while let Some(request) = world.request(worker) {
        order.extend_from_slice(&request[5]);
        world.reply(worker, &request, &[b"done"]);
    }
    // One of the stored requests at a time has a place in the line.
    assert_eq!(order, b"ab0cd1");
    for id in &ids {
        assert_eq!(world.retrieve(client, id), ["200", "done"]);
    }
}

#[test]
fn what_waits_beside_others_is_taken_back_when_there_is_no_room_for_its_reply() {
    let mut world = World::with(|pool, limits| {
        pool.heartbeat_ms = 60_000;
        limits.reply_bytes_max = 1000;
    });
    let (client, other) = (world.connect("ada"), world.connect("bob"));
    let workers = [world.worker(), world.worker()];
    let first = world.store(client, b"1");
    for body in [b"a", b"b"] {
        world.begin(other, "echo", &[body]);
    }
    let second = world.store(client, b"2");
    let (request, of_another) = (world.request(workers[0]).unwrap(), world.request(workers[1]).unwrap());
    assert_eq!((&request[5], &of_another[5]), (&Bytes::from("1"), &Bytes::from("a")));
    world.reply(workers[0], &request, &[&[b'x'; 1000]]);
    world.run();
    assert_eq!(world.request(workers[0]).unwrap()[5], "b");
    world.reply(workers[1], &of_another, &[b"done"]);
    assert!(world.request(workers[1]).is_none());
    world.close(client, &first);
    let request = world.request(workers[1]).unwrap();
    world.reply(workers[1], &request, &[b"two"]);
    assert_eq!(world.retrieve(client, &second), ["200", "two"]);
}

#[test]
fn a_worker_that_reads_again_is_given_what_waits() {
    let mut world = World::with(|pool, _| pool.heartbeat_ms = 60_000);
    world.peers = Model::new(1);
    let (client, worker) = (world.connect("ada"), world.worker());
    // Its queue is full of the answer to something that it has asked.
    world.begin(worker, "mmi.service", &[b"echo"]);
    world.store(client, b"1");
    let (messages, was_full) = world.peers.read(worker);
    assert!(was_full && messages.len() == 1);
    world.titanic.drained(0, worker, &mut world.peers);
    assert_eq!(world.request(worker).unwrap()[5], "1");
}

#[test]
fn a_pool_that_is_full_is_asked_once_at_a_time() {
    let mut world = World::with(|pool, _| {
        pool.heartbeat_ms = 60_000;
        pool.requests_max = 1;
    });
    let (client, other) = (world.connect("ada"), world.connect("bob"));
    let ids: Vec<Bytes> = (0..10_u8).map(|body| world.store(client, &[body])).collect();
    world.begin(other, "another", &[b"x"]);
    let refused = |world: &World| {
        let paused = |state: &State| matches!(state, State::Waiting { from_ms: Some(_), .. });
        world.titanic.ledger.iter().filter(|(_, entry)| paused(&entry.state)).count()
    };
    let worker = world.worker();
    assert_eq!(refused(&world), 1);
    world.pass(5_000);
    assert_eq!(refused(&world), 1, "once a second");
    world.detach(other);
    world.pass(1_000);
    for _ in &ids {
        let request = world.request(worker).unwrap();
        world.reply(worker, &request, &[b"done"]);
    }
    for id in &ids {
        assert_eq!(world.retrieve(client, id), ["200", "done"]);
    }
}

#[test]
fn workers_have_so_many_stored_requests_of_a_service_and_no_more() {
    let mut world = World::with(|_, limits| limits.working_max = 2);
    let client = world.connect("ada");
    for number in [b"1", b"2", b"3"] {
        world.store(client, number);
    }
    let workers = [world.worker(), world.worker(), world.worker()];
    let requests = workers.map(|worker| world.request(worker));
    assert!(requests[0].is_some() && requests[1].is_some() && requests[2].is_none());
    world.reply(workers[0], requests[0].as_ref().unwrap(), &[b"one"]);
    assert!(world.request(workers[2]).is_some());
}

#[test]
fn a_client_that_waits_for_too_much_is_not_read() {
    let mut world = World::with(|pool, _| pool.client_requests_max = 2);
    let client = world.connect("ada");
    for body in [b"1", b"2"] {
        assert!(world.titanic.accepts(client, &world.peers));
        world.begin(client, "titanic.request", &[b"echo", body]);
    }
    assert!(!world.titanic.accepts(client, &world.peers));
    world.run();
    assert!(world.titanic.accepts(client, &world.peers));
}

#[test]
fn an_answer_waits_for_its_client_to_read() {
    let mut world = World::with(|pool, _| pool.client_requests_max = 3);
    world.peers = Model::new(1);
    let client = world.connect("ada");
    for body in [b"1", b"2", b"3"] {
        assert!(world.titanic.accepts(client, &world.peers));
        world.begin(client, "titanic.request", &[b"echo", body]);
    }
    assert!(!world.titanic.accepts(client, &world.peers));
    world.run();
    let mut ids = Vec::new();
    for _ in 0..3 {
        assert!(!world.titanic.accepts(client, &world.peers), "it has answers to read");
        let (mut messages, was_full) = world.peers.read(client);
        assert!(was_full && messages.len() == 1);
        ids.push(messages.remove(0)[4].clone());
        world.titanic.drained(world.now, client, &mut world.peers);
        world.titanic.check(world.now);
    }
    assert!(world.titanic.accepts(client, &world.peers));
    assert!(world.peers.read(client).0.is_empty() && world.peers.drops.is_empty());
    for id in &ids {
        world.begin(client, "titanic.reply", &[id]);
        assert_eq!(world.answer(client, "titanic.reply"), ["300"], "each is the id of one of them");
    }
}

#[test]
fn answers_that_a_client_never_read_are_counted_when_it_goes() {
    let mut world = World::new();
    world.peers = Model::new(1);
    let client = world.connect("ada");
    for body in [b"1", b"2", b"3"] {
        world.begin(client, "titanic.request", &[b"echo", body]);
    }
    world.run();
    world.detach(client);
    assert_eq!(world.peers.dropped_for(Drop::Unroutable), 2);
}
