//! What peers may not say, may not do, and say too late.

use super::*;

#[test]
fn who_is_not_registered_is_told_once_and_may_begin_anew() {
    let mut world = World::new();
    let worker = world.attach();
    world.say(worker, &[b"", b"MDPW01", b"\x04"]);
    assert_eq!(world.only(worker), frames(DISCONNECT_01));
    world.say(worker, &[b"", b"MDPW01", b"\x04"]);
    world.say(worker, &[b"", b"MDPW01", b"\x03", b"client", b"", b"hi"]);
    assert!(world.read(worker).is_empty(), "after DISCONNECT there are no further commands");
    assert_eq!(world.peers.drops, [(worker, Drop::Unexpected)]);
    let new = world.attach();
    world.say(new, &[b"MDPW02", b"\x04", b"client", b"", b"hi"]);
    assert_eq!(world.only(new), frames(DISCONNECT_02));
    world.say(worker, &[b"", b"MDPW01", b"\x01", b"echo"]);
    world.client_01(b"echo", b"hello");
    assert_eq!(world.only(worker)[5], "hello");
}

#[test]
fn what_a_worker_may_not_say_ends_its_registration() {
    let cases: &[&[&[u8]]] = &[
        &[b"", b"MDPW01", b"\x01", b"echo"],
        &[b"", b"MDPW01", b"\x03", b"somebody", b"", b"hi"],
        &[b"", b"MDPW01", b"\x09"],
        &[b"", b"MDPW01"],
        &[b"MDPW02", b"\x05"],
        &[b""],
        &[b"garbage"],
    ];
    for words in cases {
        let mut world = World::new();
        let worker = world.worker_01(b"echo");
        world.client_01(b"echo", b"hello");
        world.read(worker);
        let other = world.worker_01(b"echo");
        world.say(worker, words);
        assert_eq!(world.only(worker), frames(DISCONNECT_01), "{words:?}");
        assert_eq!(world.only(other)[5], "hello", "{words:?}");
        assert_eq!((world.broker.workers(), world.peers.drops.len()), (1, 1), "{words:?}");
    }
}

#[test]
fn a_worker_that_leaves_is_told_nothing_more() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    world.client_01(b"echo", b"hello");
    world.read(worker);
    world.say(worker, DISCONNECT_01);
    world.say(worker, &[b"", b"MDPW01", b"\x04"]);
    world.pass(10_000);
    assert!(world.read(worker).is_empty());
    let other = world.worker_01(b"echo");
    assert_eq!(world.only(other)[5], "hello");
    let before = world.attach();
    world.say(before, DISCONNECT_01);
    assert!(world.read(before).is_empty());
    assert!(world.peers.drops.is_empty());
}

#[test]
fn a_reply_to_a_request_of_an_earlier_life_reaches_nobody() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    world.client_01(b"echo", b"hello");
    let request = world.only(worker);
    world.broker = Majordomo::new(PoolLimits::default(), 8);
    world.say(worker, &[b"", b"MDPW01", b"\x01", b"echo"]);
    let client = world.client_01(b"echo", b"hello");
    world.read(worker);
    world.reply(worker, &request, b"\x03", b"to whom");
    assert!(world.read(client).is_empty());
    assert_eq!(world.only(worker), frames(DISCONNECT_01));
}

#[test]
fn nothing_of_a_client_that_is_gone_is_left() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    let client = world.client_01(b"echo", b"running");
    world.say(client, &[b"", b"MDPC01", b"echo", b"queued"]);
    let request = world.only(worker);
    world.detach(client);
    assert_eq!(world.peers.drops, [(client, Drop::Unroutable)]);
    world.reply(worker, &request, b"\x03", b"hi");
    assert_eq!(world.peers.drops, [(client, Drop::Unroutable); 2]);
    assert_eq!(world.broker.requests(), 0);
    world.client_01(b"echo", b"next");
    assert_eq!(world.only(worker)[5], "next");
}

#[test]
fn forbidden_requests_and_workers_are_refused() {
    let mut world = World::new();
    world.peers.forbidden.insert((Verb::Request, b"secret".to_vec()));
    world.peers.forbidden.insert((Verb::Serve, b"guarded".to_vec()));
    let client = world.client_01(b"secret", b"hello");
    let worker = world.worker_02(b"guarded");
    assert_eq!(world.peers.drops, [(client, Drop::Forbidden), (worker, Drop::Forbidden)]);
    assert_eq!(world.only(worker), frames(DISCONNECT_02));
    let worker = world.worker_01(b"mmi.service");
    assert_eq!(world.only(worker), frames(DISCONNECT_01));
    assert_eq!((world.broker.workers(), world.broker.services(), world.broker.requests()), (0, 0, 0));
}

#[test]
fn a_worker_that_may_serve_no_more_is_told_to_go_and_its_request_goes_to_another() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    let client = world.client_01(b"echo", b"hello");
    let request = world.only(worker);
    rights_changed(&mut world, &[worker, client]);
    assert_eq!((world.broker.workers(), world.peers.drops.len()), (1, 0), "it may serve as before");
    world.peers.forbidden.insert((Verb::Serve, b"echo".to_vec()));
    rights_changed(&mut world, &[worker, client]);
    assert_eq!(world.only(worker), frames(DISCONNECT_01));
    assert_eq!((world.broker.workers(), world.broker.requests()), (0, 1));
    world.reply(worker, &request, b"\x03", b"late");
    world.say(worker, &[b"", b"MDPW01", b"\x01", b"echo"]);
    assert_eq!(world.only(worker), frames(DISCONNECT_01));
    assert_eq!(
        world.peers.drops,
        [Drop::Forbidden, Drop::Unexpected, Drop::Forbidden].map(|drop| (worker, drop))
    );
    assert!(world.read(client).is_empty());
    world.peers.forbidden.clear();
    let other = world.worker_01(b"echo");
    let request = world.only(other);
    world.reply(other, &request, b"\x03", b"hi");
    assert_eq!(world.only(client)[3], "hi");
}

#[test]
fn messages_that_stop_the_guide_s_broker_are_counted() {
    let mut world = World::new();
    let peer = world.attach();
    let cases: &[&[&[u8]]] = &[
        &[b""],
        &[b"", b""],
        &[b"x"],
        &[b"", b"MDPC01"],
        &[b"", b"MDPC01", b"echo"],
        &[b"", b"MDPW01"],
        &[b"", b"MDPW01", b"\x01"],
        &[b"", b"MDPW01", b"\x03"],
        &[b"", b"MDPW01", b"\x03", b"client"],
        &[b"MDPW02", b""],
        &[b"MDPC02", b"\x07", b"echo", b"hello"],
    ];
    for words in cases {
        world.say(peer, words);
    }
    assert_eq!(world.peers.drops, vec![(peer, Drop::Malformed); cases.len()]);
    assert!(world.read(peer).is_empty());
}
