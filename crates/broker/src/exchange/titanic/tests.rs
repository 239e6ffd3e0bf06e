use bytes::Bytes;
use swarmmq_protocol::Message;

use super::ledger::State;
use super::queue::{Fate, Queue};
use super::record::{Kind, Record};
use super::*;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{
    Drop, Exchange, Frames, PeerId, PeerInfo, PoolLimits, Refusal, Side, StorageEvent, Verb,
};

const DAY: u64 = 24 * 3_600_000;

/// A broker beside a queue that does at once what it is asked.
struct World {
    titanic: Titanic,
    peers: Model,
    queue: Queue,
    now: u64,
    change: fn(&mut PoolLimits, &mut TitanicLimits),
}

impl World {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    fn with(change: fn(&mut PoolLimits, &mut TitanicLimits)) -> Self {
        let mut world = Self {
            titanic: titanic(change),
            peers: Model::new(100),
            queue: Queue::default(),
            now: 0,
            change,
        };
        world.queue.read(0, &mut world.titanic, &mut world.peers);
        world
    }

    /// The process ends, and another begins.
    fn crash(&mut self) {
        self.queue.crash(|| true);
        self.titanic = titanic(self.change);
        self.peers = Model::new(100);
        self.now = 0;
        self.queue.read(0, &mut self.titanic, &mut self.peers);
    }

    fn connect(&mut self, user: &str) -> PeerId {
        let peer = self.peers.connect();
        let info = PeerInfo { user: user.into(), ..info(Side::Front) };
        self.titanic.attach(self.now, peer, &info, &mut self.peers);
        peer
    }

    fn say(&mut self, peer: PeerId, message: Frames) {
        self.titanic.handle(self.now, peer, message, &mut self.peers);
        self.titanic.check(self.now);
    }

    fn run(&mut self) {
        self.queue.run(self.now, &mut self.titanic, &mut self.peers);
        self.titanic.check(self.now);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.titanic.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.titanic.tick(self.now, &mut self.peers);
            self.titanic.check(self.now);
        }
        self.queue.now_ms += ms;
        self.now = end;
        self.run();
    }

    fn begin(&mut self, client: PeerId, service: &str, body: &[&[u8]]) {
        let head = [b"", &b"MDPC01"[..], service.as_bytes()];
        self.say(client, frames(&[&head, body].concat()));
    }

    /// The one answer, without what stands before its body.
    fn answer(&mut self, client: PeerId, service: &str) -> Frames {
        let mut messages = self.peers.read(client).0;
        assert_eq!(messages.len(), 1, "{messages:?}");
        let mut message = messages.remove(0);
        assert_eq!(message[..3], frames(&[b"", b"MDPC01", service.as_bytes()]));
        message.split_off(3)
    }

    fn ask(&mut self, client: PeerId, service: &str, body: &[&[u8]]) -> Frames {
        self.run();
        self.begin(client, service, body);
        self.run();
        self.answer(client, service)
    }

    fn store(&mut self, client: PeerId, body: &[u8]) -> Bytes {
        let answer = self.ask(client, "titanic.request", &[b"echo", body]);
        assert_eq!(answer[0], "200");
        assert!(answer[1].len() == 32 && answer.len() == 2);
        answer[1].clone()
    }

    fn retrieve(&mut self, client: PeerId, id: &[u8]) -> Frames {
        self.ask(client, "titanic.reply", &[id])
    }

    fn close(&mut self, client: PeerId, id: &[u8]) -> Frames {
        self.ask(client, "titanic.close", &[id])
    }

    fn worker(&mut self) -> PeerId {
        let worker = self.connect("worker");
        self.say(worker, frames(&[b"", b"MDPW01", b"\x01", b"echo"]));
        worker
    }

    /// The request that a worker was given, if any.
    fn request(&mut self, worker: PeerId) -> Option<Frames> {
        let messages = self.peers.read(worker).0;
        messages.into_iter().find(|message| message.get(2).is_some_and(|command| command == "\x02"))
    }

    fn reply(&mut self, worker: PeerId, request: &Frames, body: &[&[u8]]) {
        let head = [b"", &b"MDPW01"[..], b"\x03", &request[3], b""];
        self.say(worker, frames(&[&head, body].concat()));
    }

    fn worker_02(&mut self) -> PeerId {
        let worker = self.connect("worker");
        self.say(worker, frames(&[b"MDPW02", b"\x01", b"echo"]));
        worker
    }

    /// The request that a worker of 0.2 was given, if any.
    fn request_02(&mut self, worker: PeerId) -> Option<Frames> {
        let messages = self.peers.read(worker).0;
        messages.into_iter().find(|message| message[1] == "\x02")
    }

    /// A part of a reply, or the last of it.
    fn part(&mut self, worker: PeerId, request: &Frames, is_final: bool, body: &[u8]) {
        let command: &[u8] = if is_final { b"\x04" } else { b"\x03" };
        self.say(worker, frames(&[b"MDPW02", command, &request[2], b"", body]));
    }

    fn beat(&mut self, worker: PeerId) {
        self.say(worker, frames(&[b"", b"MDPW01", b"\x04"]));
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.disconnect_abruptly(peer);
        self.titanic.detach(self.now, peer, &mut self.peers);
        self.titanic.check(self.now);
    }
}

fn titanic(change: fn(&mut PoolLimits, &mut TitanicLimits)) -> Titanic {
    let (mut pool, mut limits) = (PoolLimits::default(), TitanicLimits::default());
    change(&mut pool, &mut limits);
    let mut last = 0;
    let ids = Box::new(move || {
        last += 1;
        Some(last * 0x1234_5678_9abc_def0_1234)
    });
    Titanic::new(pool, limits, 7, ids)
}

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
fn a_close_is_answered_when_nothing_is_left() {
    let mut world = World::new();
    let (client, other, worker) = (world.connect("ada"), world.connect("ada"), world.worker());
    let id = world.store(client, b"1");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"one"]);
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
    let done = world.store(client, b"1");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"one"]);
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
    let id = world.store(client, b"1");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"one"]);
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
    let id = world.store(client, b"1");
    let request = world.request(worker).unwrap();
    world.reply(worker, &request, &[b"too large for the queue"]);
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
        let id = world.store(client, b"1");
        let request = world.request(worker).unwrap();
        world.reply(worker, &request, &[b"one"]);
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
