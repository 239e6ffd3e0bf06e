use super::*;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{Drop, Exchange, Figure, Frames, PeerId, PoolLimits, Side, Verb};

/// A broker whose workers beat once a second.
struct World {
    broker: Majordomo,
    peers: Model,
    now: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut PoolLimits)) -> Self {
        let mut limits = PoolLimits { heartbeat_ms: 1000, ..PoolLimits::default() };
        change(&mut limits);
        Self { broker: Majordomo::new(limits, 7), peers: Model::new(100), now: 0 }
    }

    fn attach(&mut self) -> PeerId {
        let peer = self.peers.connect();
        self.broker.attach(self.now, peer, &info(Side::Front), &mut self.peers);
        peer
    }

    fn say(&mut self, peer: PeerId, words: &[&[u8]]) {
        self.broker.handle(self.now, peer, frames(words), &mut self.peers);
        self.broker.pool.check(self.now);
    }

    fn send(&mut self, peer: PeerId, message: Frames) {
        self.broker.handle(self.now, peer, message, &mut self.peers);
        self.broker.pool.check(self.now);
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.disconnect_abruptly(peer);
        self.broker.detach(self.now, peer, &mut self.peers);
        self.broker.pool.check(self.now);
    }

    /// Time passes, and the broker is called whenever it wants to be.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.broker.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.broker.tick(self.now, &mut self.peers);
            self.broker.pool.check(self.now);
        }
        self.now = end;
    }

    fn read(&mut self, peer: PeerId) -> Vec<Frames> {
        let (messages, was_full) = self.peers.read(peer);
        if was_full {
            self.broker.drained(self.now, peer, &mut self.peers);
        }
        messages
    }

    /// The one message that a peer was sent.
    fn only(&mut self, peer: PeerId) -> Frames {
        let mut messages = self.read(peer);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    fn worker_01(&mut self, service: &[u8]) -> PeerId {
        let worker = self.attach();
        self.say(worker, &[b"", b"MDPW01", b"\x01", service]);
        worker
    }

    fn worker_02(&mut self, service: &[u8]) -> PeerId {
        let worker = self.attach();
        self.say(worker, &[b"MDPW02", b"\x01", service]);
        worker
    }

    fn client_01(&mut self, service: &[u8], body: &[u8]) -> PeerId {
        let client = self.attach();
        self.say(client, &[b"", b"MDPC01", service, body]);
        client
    }

    fn client_02(&mut self, service: &[u8], body: &[u8]) -> PeerId {
        let client = self.attach();
        self.say(client, &[b"MDPC02", b"\x01", service, body]);
        client
    }

    /// Answers a request as it was read, with a command of the version.
    fn reply(&mut self, worker: PeerId, request: &Frames, command: &[u8], body: &[u8]) {
        let mut reply = request.clone();
        let header = reply.iter().position(|frame| frame.starts_with(b"MDPW")).unwrap();
        reply[header + 1] = bytes::Bytes::copy_from_slice(command);
        reply.truncate(header + 4);
        reply.extend(frames(&[body]));
        self.send(worker, reply);
    }
}

const DISCONNECT_01: &[&[u8]] = &[b"", b"MDPW01", b"\x05"];
const DISCONNECT_02: &[&[u8]] = &[b"MDPW02", b"\x06"];

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

/// Those of its peers that it is told about may do something else than before.
fn rights_changed(world: &mut World, peers: &[PeerId]) {
    for peer in peers {
        world.broker.rights_changed(world.now, *peer, &mut world.peers);
        world.broker.pool.check(world.now);
    }
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

/// Asks one of the broker's own services and returns the reply's body.
fn ask(world: &mut World, service: &[u8], body: &[u8]) -> Vec<String> {
    let client = world.client_01(service, body);
    let reply = world.only(client);
    assert_eq!(reply[..3], frames(&[b"", b"MDPC01", service]));
    world.detach(client);
    reply[3..].iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect()
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

/// A broker that keeps replies for a minute.
fn deduplicating() -> World {
    let mut world = World::new();
    let limits = RepeatLimits { keep_ms: 60_000, ..RepeatLimits::default() };
    world.broker =
        Majordomo::new(PoolLimits { heartbeat_ms: 60_000, ..PoolLimits::default() }, 7).deduplicating(limits);
    world
}

const ASK_01: &[&[u8]] = &[b"", b"MDPC01", b"echo", b"swarmmq-id:7", b"hello"];
const ASK_02: &[&[u8]] = &[b"MDPC02", b"\x01", b"echo", b"swarmmq-id:7", b"hello"];

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
