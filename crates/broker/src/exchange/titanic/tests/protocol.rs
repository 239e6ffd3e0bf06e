//! What clients ask for, and what they hear.

use super::*;

#[test]
fn a_request_is_stored_worked_on_answered_and_closed() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"hello");
    assert_eq!(world.retrieve(client, &id), ["300"]);
    let worker = world.worker();
    let request = world.request(worker).unwrap();
    assert_eq!(request[4..], frames(&[b"", b"hello"]));
    world.reply(worker, &request, &[b"hi", b""]);
    for _ in 0..3 {
        assert_eq!(world.retrieve(client, &id), ["200", "hi", ""]);
    }
    assert_eq!(world.queue.len(), 1, "its reply alone is kept");
    assert_eq!(world.close(client, &id), ["200"]);
    assert_eq!(world.retrieve(client, &id), ["400"]);
    assert_eq!(world.close(client, &id), ["200"]);
    assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
    assert!(world.peers.drops.is_empty());
}

#[test]
fn a_request_is_acknowledged_when_it_is_synced_and_a_reply_shown_when_it_is() {
    let mut world = World::new();
    let (client, worker) = (world.connect("ada"), world.worker());
    world.begin(client, "titanic.request", &[b"echo", b"hello"]);
    assert!(world.peers.read(client).0.is_empty() && world.request(worker).is_none());
    world.run();
    let id = world.answer(client, "titanic.request")[1].clone();
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"hi"]);
    world.begin(client, "titanic.reply", &[&id]);
    assert_eq!(world.answer(client, "titanic.reply"), ["300"]);
    assert_eq!(world.retrieve(client, &id), ["200", "hi"]);
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let mut world = World::new();
    let client = world.connect("ada");
    let (first, second) = (world.store(client, b"1"), world.store(client, b"2"));
    let worker = world.worker();
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"one"]);
    world.run();
    world.crash();
    let (client, worker) = (world.connect("ada"), world.worker());
    assert_eq!(world.retrieve(client, &first), ["200", "one"]);
    assert_eq!(world.retrieve(client, &second), ["300"]);
    let request = world.request(worker).unwrap();
    assert_eq!(request[5], "2", "what has a reply is not worked on again");
    world.reply(worker, &request, &[b"two"]);
    assert_eq!(world.retrieve(client, &second), ["200", "two"]);
}

#[test]
fn ids_that_are_none_are_refused_and_read_nothing() {
    let mut world = World::new();
    let client = world.connect("ada");
    let id = world.store(client, b"hello");
    let bad: [&[u8]; 6] = [b"", b"../../etc/passwd", &id[1..], &[b'g'; 32], b"\x00", &[b'0'; 33]];
    for bad in bad {
        assert_eq!(world.retrieve(client, bad), ["400"]);
        assert_eq!(world.close(client, bad), ["400"]);
    }
    assert_eq!(world.peers.dropped_for(Drop::Malformed), 2 * bad.len());
    assert_eq!(world.retrieve(client, &[b'0'; 32]), ["400"], "an id that nothing has");
    assert_eq!(world.close(client, &[b'0'; 32]), ["200"]);
    let capitals = id.to_ascii_uppercase();
    assert_ne!(capitals, id);
    assert_eq!(world.retrieve(client, &capitals), ["300"], "an id is a number, however it is written");
}

#[test]
fn a_request_belongs_to_its_user() {
    let mut world = World::new();
    let (ada, bob) = (world.connect("ada"), world.connect("bob"));
    let id = world.store(ada, b"hello");
    assert_eq!(world.retrieve(bob, &id), ["400"]);
    assert_eq!(world.close(bob, &id), ["200"], "he learns nothing from it");
    assert_eq!(world.retrieve(ada, &id), ["300"], "and does nothing by it");
    world.crash();
    let (bob, ada) = (world.connect("bob"), world.connect("ada"));
    assert_eq!(world.retrieve(bob, &id), ["400"]);
    assert_eq!(world.retrieve(ada, &id), ["300"]);
}

#[test]
fn rights_are_asked_for_titanic_and_for_the_service() {
    let mut world = World::new();
    let client = world.connect("ada");
    world.peers.forbidden.insert((Verb::Request, b"secret".to_vec()));
    assert_eq!(world.ask(client, "titanic.request", &[b"secret", b"x"]), ["400"]);
    for own in [&b"titanic.request"[..], b"mmi.service"] {
        assert_eq!(world.ask(client, "titanic.request", &[own, b"x"]), ["400"], "nobody works on that");
    }
    assert_eq!(world.peers.dropped_for(Drop::Forbidden), 3);
    world.peers.forbidden.insert((Verb::Request, b"titanic.reply".to_vec()));
    world.begin(client, "titanic.reply", &[&[b'0'; 32]]);
    assert!(world.peers.read(client).0.is_empty());
    assert_eq!(world.peers.dropped_for(Drop::Forbidden), 4);
    assert_eq!(world.queue.len(), 0);
}

#[test]
fn nobody_is_a_worker_of_titanic_and_management_knows_it() {
    let mut world = World::new();
    let thief = world.connect("eve");
    world.say(thief, frames(&[b"", b"MDPW01", b"\x01", b"titanic.reply"]));
    assert_eq!(world.peers.read(thief).0, [frames(&[b"", b"MDPW01", b"\x05"])]);
    let client = world.connect("ada");
    assert_eq!(world.ask(client, "mmi.service", &[b"titanic.request"]), ["200"]);
    assert_eq!(world.ask(client, "mmi.service", &[b"titanic.else"]), ["404"]);
    let services = world.ask(client, "mmi.services", &[b""]);
    assert_eq!(services, ["200", "titanic.request", "titanic.reply", "titanic.close"]);
}

#[test]
fn other_services_are_as_majordomo_has_them() {
    let mut world = World::new();
    let (worker, client) = (world.worker(), world.connect("ada"));
    world.begin(client, "echo", &[b"hello"]);
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"hi"]);
    assert_eq!(world.answer(client, "echo"), ["hi"]);
    assert_eq!(world.queue.len(), 0);
}

#[test]
fn a_close_is_answered_when_nothing_is_left() {
    let mut world = World::new();
    let (client, other, worker) = (world.connect("ada"), world.connect("ada"), world.worker());
    let id = world.store_replied(client, worker, b"one");
    world.queue.poll(&mut world.titanic);
    // The reply is on its way to the queue, the request is in it.
    world.begin(client, "titanic.close", &[&id]);
    world.begin(other, "titanic.close", &[&id]);
    world.queue.poll(&mut world.titanic);
    while !world.queue.asked.is_empty() {
        assert!(world.peers.read(client).0.is_empty(), "{} are left", world.queue.len());
        world.queue.answer(0, 0, Fate::Done, &mut world.titanic, &mut world.peers);
        world.titanic.check(0);
        world.queue.deliver(0, 0, &mut world.titanic, &mut world.peers);
        world.queue.poll(&mut world.titanic);
    }
    assert_eq!(world.answer(client, "titanic.close"), ["200"]);
    assert_eq!(world.answer(other, "titanic.close"), ["200"]);
    assert_eq!(world.queue.len(), 0);
}

#[test]
fn a_request_and_a_reply_live_as_long_as_they_may_also_across_a_crash() {
    let mut world = World::with(|_, limits| {
        limits.request_ttl_ms = 2 * DAY;
        limits.reply_ttl_ms = DAY;
    });
    let client = world.connect("ada");
    let (first, second) = (world.store(client, b"1"), world.store(client, b"2"));
    let worker = world.worker();
    let request = world.request(worker).unwrap();
    world.detach(worker);
    let worker = world.worker();
    let request = world.request(worker).unwrap_or(request);
    world.pass(DAY / 2);
    world.detach(worker);
    world.crash();
    world.pass(DAY / 2);
    let worker = world.worker();
    let again = world.request(worker).unwrap();
    assert_eq!(again[5], request[5]);
    world.reply(worker, &again, &[b"one"]);
    world.run();
    world.detach(worker);
    world.crash();
    let client = world.connect("ada");
    assert_eq!(world.retrieve(client, &first), ["200", "one"]);
    world.pass(DAY - 1);
    assert_eq!(world.retrieve(client, &first), ["200", "one"]);
    assert_eq!(world.retrieve(client, &second), ["300"]);
    world.pass(1);
    assert_eq!(world.retrieve(client, &first), ["400"], "a reply is kept a day");
    assert_eq!(world.retrieve(client, &second), ["400"], "a request two days");
    assert_eq!(world.peers.dropped_for(Drop::Expired), 2);
    assert_eq!((world.queue.len(), world.titanic.stored()), (0, 0));
}
