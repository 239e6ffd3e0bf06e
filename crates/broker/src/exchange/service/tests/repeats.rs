//! Requests with an id, asked again.

use super::*;

#[test]
fn a_repeat_waits_for_the_same_reply_and_then_has_it_at_once_in_its_own_version() {
    let mut world = deduplicating();
    let worker = world.worker_02(b"echo");
    let (first, second, third) = (world.attach(), world.attach(), world.attach());
    world.say(first, ASK_01);
    let request = world.only(worker);
    assert_eq!(request[4..], frames(&[b"hello"]), "the worker sees no id");
    world.detach(first);
    world.say(second, ASK_02);
    world.reply(worker, &request, b"\x03", b"one");
    assert!(world.read(second).is_empty(), "parts are joined");
    world.reply(worker, &request, b"\x04", b"two");
    assert_eq!(world.only(second), frames(&[b"MDPC02", b"\x03", b"echo", b"one", b"two"]));
    world.pass(59_999);
    world.say(third, ASK_01);
    assert_eq!(world.only(third), frames(&[b"", b"MDPC01", b"echo", b"one", b"two"]));
    assert!(world.read(worker).iter().all(|message| message[1] == b"\x05"[..]), "it worked once");
    assert!(world.peers.drops.is_empty());
    world.pass(1);
    world.say(third, ASK_01);
    assert!(world.read(third).is_empty(), "after its time it is done again");
    assert_eq!(world.broker.requests(), 1);
}

#[test]
fn whoever_may_not_request_learns_nothing_of_what_is_kept() {
    let mut world = deduplicating();
    let worker = world.worker_02(b"echo");
    let client = world.attach();
    world.say(client, ASK_02);
    let request = world.only(worker);
    world.reply(worker, &request, b"\x04", b"hi");
    world.only(client);
    world.peers.forbidden.insert((Verb::Request, b"echo".to_vec()));
    world.say(client, ASK_02);
    assert!(world.read(client).is_empty());
    assert_eq!(world.peers.drops, [(client, Drop::Forbidden)]);
}

#[test]
fn what_has_no_id_or_none_that_can_be_is_not_kept() {
    let mut world = deduplicating();
    let worker = world.worker_02(b"echo");
    let client = world.client_02(b"echo", b"swarmmq-id:7");
    let long = [b"swarmmq-id:", &[b'7'; 65][..]].concat();
    for id in [&b"swarmmq-id:"[..], &long] {
        world.say(client, &[b"MDPC02", b"\x01", b"echo", id, b"hello"]);
    }
    assert_eq!(world.peers.drops, [(client, Drop::Malformed); 3]);
    world.say(client, &[b"MDPC02", b"\x01", b"echo", b"hello", b"swarmmq-id:7"]);
    let request = world.only(worker);
    assert_eq!(request[4..], frames(&[b"hello", b"swarmmq-id:7"]));
    world.reply(worker, &request, b"\x04", b"hi");
    assert_eq!(world.broker.figures().last(), Some(&(Figure::KeptReplies, 0)));
}

#[test]
fn without_deduplication_an_id_is_a_frame_as_any() {
    let mut world = World::new();
    let worker = world.worker_02(b"echo");
    let client = world.attach();
    world.say(client, ASK_02);
    assert_eq!(world.only(worker)[4..], frames(&[b"swarmmq-id:7", b"hello"]));
}

#[test]
fn a_request_that_is_dropped_is_counted_once_and_can_be_asked_again() {
    let mut world = deduplicating();
    let (first, second) = (world.attach(), world.attach());
    world.say(first, ASK_01);
    world.say(second, ASK_02);
    assert_eq!(world.broker.requests(), 1);
    world.detach(first);
    world.pass(30_000);
    assert_eq!(world.peers.drops, [(second, Drop::Expired)]);
    let worker = world.worker_02(b"echo");
    assert!(world.read(worker).is_empty());
    world.say(second, ASK_02);
    assert_eq!(world.only(worker)[4..], frames(&[b"hello"]));
}

#[test]
fn while_a_worker_is_at_work_a_repeat_begins_no_other_though_the_reply_is_too_long() {
    let mut world = deduplicating();
    let (worker, idle) = (world.worker_02(b"echo"), world.worker_02(b"echo"));
    let client = world.attach();
    world.say(client, ASK_02);
    let request = world.only(worker);
    for _ in 0..1025 {
        world.reply(worker, &request, b"\x03", b"x");
    }
    world.say(client, ASK_02);
    assert!(world.read(idle).is_empty(), "one is at work on it");
    assert!(world.peers.drops.is_empty());
    world.reply(worker, &request, b"\x04", b"end");
    assert_eq!(world.peers.drops, [(client, Drop::LimitReached)]);
    assert!(world.read(client).is_empty());
    world.say(client, ASK_02);
    assert_eq!(world.only(idle)[4..], frames(&[b"hello"]), "it is asked anew");
}
