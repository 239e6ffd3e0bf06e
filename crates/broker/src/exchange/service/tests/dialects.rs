//! Both versions of the protocol, and management.

use super::*;

#[test]
fn a_request_and_its_reply_in_0_1_are_the_frames_of_the_rfc() {
    let mut world = World::new();
    let worker = world.worker_01(b"echo");
    let client = world.client_01(b"echo", b"hello");
    let request = world.only(worker);
    let tag = request[3].clone();
    assert!(!tag.is_empty());
    assert_eq!(request, frames(&[b"", b"MDPW01", b"\x02", &tag, b"", b"hello"]));
    world.reply(worker, &request, b"\x03", b"hi");
    assert_eq!(world.only(client), frames(&[b"", b"MDPC01", b"echo", b"hi"]));
    assert_eq!(world.broker.requests(), 0);
    assert!(world.peers.drops.is_empty());
}

#[test]
fn parts_in_0_2_go_to_the_client_as_they_come() {
    let mut world = World::new();
    let worker = world.worker_02(b"count");
    let client = world.client_02(b"count", b"2");
    let request = world.only(worker);
    assert_eq!(request[..2], frames(&[b"MDPW02", b"\x02"]));
    world.reply(worker, &request, b"\x03", b"one");
    assert_eq!(world.only(client), frames(&[b"MDPC02", b"\x02", b"count", b"one"]));
    world.reply(worker, &request, b"\x04", b"two");
    assert_eq!(world.only(client), frames(&[b"MDPC02", b"\x03", b"count", b"two"]));
    world.reply(worker, &request, b"\x04", b"three");
    assert!(world.read(client).is_empty(), "after the final reply there is nothing");
    assert_eq!(world.peers.dropped_for(Drop::Unexpected), 1);
    assert_eq!(world.only(worker), frames(DISCONNECT_02));
}

#[test]
fn clients_and_workers_of_both_versions_understand_each_other() {
    let mut world = World::new();
    let old = world.worker_01(b"old");
    let client = world.client_02(b"old", b"a");
    let request = world.only(old);
    world.reply(old, &request, b"\x03", b"b");
    assert_eq!(world.only(client), frames(&[b"MDPC02", b"\x03", b"old", b"b"]));

    let new = world.worker_02(b"new");
    let client = world.client_01(b"new", b"a");
    let request = world.only(new);
    world.reply(new, &request, b"\x03", b"one");
    world.reply(new, &request, b"\x03", b"two");
    assert!(world.read(client).is_empty(), "0.1 has no parts");
    world.reply(new, &request, b"\x04", b"three");
    assert_eq!(world.only(client), frames(&[b"", b"MDPC01", b"new", b"one", b"two", b"three"]));
    assert!(world.peers.drops.is_empty());
}

#[test]
fn an_answer_has_the_form_of_the_question() {
    let mut world = World::new();
    let worker = world.attach();
    world.say(worker, &[b"", b"MDPW02", b"\x01", b"echo"]);
    let client = world.attach();
    type Form<'a> = (&'a [&'a [u8]], &'a [&'a [u8]]);
    let forms: [Form<'_>; 3] =
        [(&[], &[b"MDPC01"]), (&[b""], &[b"MDPC02", b"\x01"]), (&[b"\0\0\0\x09", b""], &[b"MDPC01"])];
    for (before, header) in forms {
        let words: Vec<&[u8]> = [before, header, &[b"echo", b"hello"]].concat();
        world.say(client, &words);
        let request = world.only(worker);
        assert_eq!(request[..3], frames(&[b"", b"MDPW02", b"\x02"]));
        world.reply(worker, &request, b"\x04", b"hi");
        let reply = world.only(client);
        assert_eq!(reply[..before.len()], frames(before));
        assert_eq!(reply[before.len()], header[0]);
    }
}

#[test]
fn the_broker_tells_what_is_served_by_the_living() {
    let mut world = World::new();
    assert_eq!(ask(&mut world, b"mmi.service", b"echo"), ["404"]);
    world.client_01(b"echo", b"a request is no worker");
    assert_eq!(ask(&mut world, b"mmi.service", b"echo"), ["404"]);
    let first = world.worker_01(b"echo");
    let second = world.worker_02(b"echo");
    assert_eq!(ask(&mut world, b"mmi.service", b"echo"), ["200"], "also while it is busy");
    assert_eq!(ask(&mut world, b"mmi.workers", b"echo"), ["200", "2"]);
    assert_eq!(ask(&mut world, b"mmi.services", b""), ["200", "echo"]);
    assert_eq!(ask(&mut world, b"mmi.service", b"mmi.service"), ["200"]);
    assert_eq!(ask(&mut world, b"mmi.service", b""), ["400"]);
    assert_eq!(ask(&mut world, b"mmi.nothing", b"echo"), ["501"]);
    assert_eq!(ask(&mut world, b"mmi.", b"echo"), ["501"]);
    world.detach(first);
    assert_eq!(ask(&mut world, b"mmi.workers", b"echo"), ["200", "1"]);
    // Its time is over before anybody has looked at the clock.
    world.now += 3000 - 1;
    world.say(second, &[b"MDPW02", b"\x05"]);
    world.pass(2999);
    assert_eq!(ask(&mut world, b"mmi.service", b"echo"), ["200"]);
    world.now += 1;
    assert_eq!(ask(&mut world, b"mmi.service", b"echo"), ["404"]);
    assert_eq!(ask(&mut world, b"mmi.services", b""), ["200"]);
    let client = world.client_02(b"mmi.service", b"echo");
    assert_eq!(world.only(client), frames(&[b"MDPC02", b"\x03", b"mmi.service", b"404"]));
    world.peers.forbidden.insert((Verb::Request, b"secret".to_vec()));
    world.worker_01(b"secret");
    assert_eq!(ask(&mut world, b"mmi.service", b"secret"), ["403"]);
    assert_eq!(ask(&mut world, b"mmi.services", b""), ["200"]);
}
