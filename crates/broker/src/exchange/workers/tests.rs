use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{Drop, Exchange, Frames, PeerId, PoolLimits, Side, Verb};

struct World {
    queue: ParanoidPirate,
    peers: Model,
    now: u64,
}

impl World {
    fn new() -> Self {
        Self::with(PoolLimits::paranoid_pirate(), 100)
    }

    fn with(limits: PoolLimits, capacity: usize) -> Self {
        Self { queue: ParanoidPirate::new(limits, 7), peers: Model::new(capacity), now: 0 }
    }

    fn attach(&mut self, side: Side) -> PeerId {
        let peer = self.peers.connect();
        self.queue.attach(self.now, peer, &info(side), &mut self.peers);
        peer
    }

    fn send(&mut self, peer: PeerId, message: Frames) {
        self.queue.handle(self.now, peer, message, &mut self.peers);
        self.queue.pool.check(self.now);
    }

    fn say(&mut self, peer: PeerId, words: &[&[u8]]) {
        self.send(peer, frames(words));
    }

    fn client(&mut self, words: &[&[u8]]) -> PeerId {
        let peer = self.attach(Side::Front);
        self.say(peer, words);
        peer
    }

    fn worker(&mut self) -> PeerId {
        let peer = self.attach(Side::Back);
        self.say(peer, &[b"\x01"]);
        peer
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.disconnect_abruptly(peer);
        self.queue.detach(self.now, peer, &mut self.peers);
        self.queue.pool.check(self.now);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.queue.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.queue.tick(self.now, &mut self.peers);
            self.queue.pool.check(self.now);
        }
        self.now = end;
    }

    fn read(&mut self, peer: PeerId) -> Vec<Frames> {
        let (messages, was_full) = self.peers.read(peer);
        if was_full {
            self.queue.drained(self.now, peer, &mut self.peers);
        }
        messages
    }

    fn only(&mut self, peer: PeerId) -> Frames {
        let mut messages = self.read(peer);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }
}

#[test]
fn a_worker_gets_an_address_an_empty_frame_and_the_request_and_gives_it_back() {
    let mut world = World::new();
    let worker = world.worker();
    // What a REQ socket sends; a DEALER without the empty frame; one behind a proxy.
    type Case<'a> = (&'a [&'a [u8]], &'a [&'a [u8]]);
    let cases: [Case<'_>; 3] = [
        (&[b"", b"hello", b""], &[b"", b"hello", b""]),
        (&[b"hello", b"you"], &[b"hello", b"you"]),
        (&[b"hop", b"", b"hello"], &[b"hop", b"", b"hello"]),
    ];
    for (request, reply) in cases {
        let client = world.client(request);
        let got = world.only(worker);
        let empty = got.iter().position(Bytes::is_empty).unwrap();
        assert_eq!(empty, if request[0] == b"hop" { 2 } else { 1 });
        let content = if request.contains(&&b""[..]) && request[0] != b"hello" {
            request.iter().position(|frame| frame.is_empty()).unwrap() + 1
        } else {
            0
        };
        assert_eq!(got[empty + 1..], frames(&request[content..]));
        world.send(worker, got);
        assert_eq!(world.only(client), frames(reply));
        world.detach(client);
    }
    assert!(world.peers.drops.is_empty());
}

#[test]
fn a_busy_worker_that_beats_gets_no_second_request() {
    let mut world = World::new();
    let worker = world.worker();
    world.client(&[b"", b"first"]);
    world.client(&[b"", b"second"]);
    let request = world.only(worker);
    for _ in 0..5 {
        world.pass(999);
        world.say(worker, &[b"\x02"]);
    }
    assert!(world.read(worker).iter().all(|message| *message == frames(&[b"\x02"])));
    world.send(worker, request);
    assert_eq!(world.only(worker)[2], "second");
}

#[test]
fn a_silent_worker_s_request_goes_to_another_and_its_late_reply_to_nobody() {
    let mut world = World::new();
    let silent = world.worker();
    let client = world.client(&[b"", b"hello"]);
    let request = world.only(silent);
    world.pass(2000);
    let other = world.worker();
    world.pass(1000);
    assert_eq!(world.queue.workers(), 1);
    let again = world.read(other).pop().unwrap();
    assert_eq!(again[2], "hello");
    assert!(world.read(silent).iter().all(|message| *message == frames(&[b"\x02"])));
    world.pass(900);
    world.send(silent, request);
    world.say(silent, &[b"\x02"]);
    assert_eq!(world.peers.drops, [(silent, Drop::Unexpected)]);
    world.send(other, again);
    assert_eq!(world.only(client), frames(&[b"", b"hello"]));
    // It hears nothing, so it begins anew.
    assert!(world.read(silent).is_empty());
    world.say(silent, &[b"\x01"]);
    assert_eq!(world.queue.workers(), 2);
}

#[test]
fn a_worker_that_begins_anew_has_nothing() {
    let mut world = World::new();
    let worker = world.worker();
    world.client(&[b"", b"hello"]);
    let request = world.only(worker);
    world.say(worker, &[b"\x01"]);
    let again = world.only(worker);
    assert_eq!(again[2], "hello");
    world.say(worker, &[b"\x01"]);
    assert_eq!(world.peers.dropped_for(Drop::WorkerLost), 1, "it was given twice");
    world.send(worker, request);
    assert_eq!(world.peers.dropped_for(Drop::Unexpected), 1);
    assert_eq!(world.queue.workers(), 1);
    world.say(worker, &[b"\x01"]);
    world.client(&[b"", b"next"]);
    assert_eq!(world.only(worker)[2], "next");
}

#[test]
fn garbage_of_a_worker_ends_its_registration_and_garbage_of_clients_nothing() {
    let mut world = World::new();
    let worker = world.worker();
    for words in [&[&b""[..]][..], &[b"hop", b""]] {
        world.client(words);
    }
    assert_eq!(world.peers.dropped_for(Drop::Malformed), 2);
    for words in [&[&b"\x03"[..]][..], &[b""], &[b"a", b"b"], &[b"a", b""]] {
        world.say(worker, words);
        assert_eq!(world.queue.workers(), 0, "{words:?}");
        world.say(worker, &[b"\x01"]);
        assert_eq!(world.queue.workers(), 1);
    }
    world.peers.forbidden.insert((Verb::Serve, Vec::new()));
    world.peers.forbidden.insert((Verb::Request, Vec::new()));
    let refused = world.worker();
    let client = world.client(&[b"", b"hello"]);
    assert_eq!(world.peers.drops[6..], [(refused, Drop::Forbidden), (client, Drop::Forbidden)]);
    assert!(world.read(worker).is_empty());
}

#[test]
fn a_worker_that_may_serve_no_more_gets_nothing_and_its_request_goes_to_another() {
    let mut world = World::new();
    let worker = world.worker();
    let client = world.client(&[b"", b"hello"]);
    let request = world.only(worker);
    world.queue.rights_changed(world.now, worker, &mut world.peers);
    assert_eq!(world.queue.workers(), 1, "it may serve as before");
    world.peers.forbidden.insert((Verb::Serve, Vec::new()));
    for peer in [worker, client] {
        world.queue.rights_changed(world.now, peer, &mut world.peers);
        world.queue.pool.check(world.now);
    }
    assert_eq!((world.queue.workers(), world.queue.requests()), (0, 1));
    world.send(worker, request);
    world.say(worker, &[b"\x01"]);
    assert_eq!(
        world.peers.drops,
        [Drop::Forbidden, Drop::Unexpected, Drop::Forbidden].map(|drop| (worker, drop))
    );
    assert!(world.read(worker).is_empty() && world.read(client).is_empty());
    world.peers.forbidden.clear();
    let other = world.worker();
    let request = world.only(other);
    world.send(other, request);
    assert_eq!(world.only(client), frames(&[b"", b"hello"]));
}

#[derive(Debug, Clone)]
enum Op {
    Client,
    Worker,
    Request(Index, bool),
    Reply(Index),
    Late(Index),
    Ready(Index),
    Heartbeat(Index),
    Garbage(Index),
    Die(Index),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        2 => Just(Op::Client),
        3 => Just(Op::Worker),
        8 => (index(), any::<bool>()).prop_map(|(client, empty)| Op::Request(client, empty)),
        8 => index().prop_map(Op::Reply),
        1 => index().prop_map(Op::Late),
        1 => index().prop_map(Op::Ready),
        6 => index().prop_map(Op::Heartbeat),
        1 => index().prop_map(Op::Garbage),
        2 => index().prop_map(Op::Die),
        4 => (1_u64..1800).prop_map(Op::Pass),
    ]
}

/// What a peer of a random history is and has.
#[derive(Default)]
struct Actor {
    work: Option<Frames>,
    done: Option<Frames>,
    requests: u64,
    answered: BTreeSet<Bytes>,
}

struct History {
    world: World,
    clients: BTreeMap<PeerId, Actor>,
    workers: BTreeMap<PeerId, Actor>,
    given: BTreeMap<Bytes, u8>,
    ever_clients: BTreeSet<PeerId>,
    requests: usize,
    replies: usize,
}

impl History {
    fn pick(of: &BTreeMap<PeerId, Actor>, index: Index) -> Option<PeerId> {
        (!of.is_empty()).then(|| *of.keys().nth(index.index(of.len())).unwrap())
    }

    fn run(&mut self, op: Op) {
        let (client, worker) = match &op {
            Op::Request(index, _) => (Self::pick(&self.clients, *index), None),
            Op::Reply(index)
            | Op::Late(index)
            | Op::Ready(index)
            | Op::Heartbeat(index)
            | Op::Garbage(index) => (None, Self::pick(&self.workers, *index)),
            _ => (None, None),
        };
        match (op, client, worker) {
            (Op::Client, ..) => {
                let peer = self.world.attach(Side::Front);
                self.clients.insert(peer, Actor::default());
                self.ever_clients.insert(peer);
            }
            (Op::Worker, ..) => {
                let peer = self.world.worker();
                self.workers.insert(peer, Actor::default());
            }
            (Op::Request(_, empty), Some(peer), _) => {
                let actor = self.clients.get_mut(&peer).unwrap();
                actor.requests += 1;
                self.requests += 1;
                let body = format!("{peer}/{}", actor.requests);
                let words: &[&[u8]] = if empty { &[b"", body.as_bytes()] } else { &[body.as_bytes()] };
                self.world.say(peer, words);
            }
            (Op::Reply(_), _, Some(peer)) => {
                let actor = self.workers.get_mut(&peer).unwrap();
                if let Some(work) = actor.work.take() {
                    actor.done = Some(work.clone());
                    self.world.send(peer, work);
                }
            }
            (Op::Late(_), _, Some(peer)) => {
                if let Some(done) = self.workers[&peer].done.clone() {
                    self.world.send(peer, done);
                }
            }
            (Op::Ready(_), _, Some(peer)) => {
                self.workers.get_mut(&peer).unwrap().work = None;
                self.world.say(peer, &[b"\x01"]);
            }
            (Op::Heartbeat(_), _, Some(peer)) => self.world.say(peer, &[b"\x02"]),
            (Op::Garbage(_), _, Some(peer)) => self.world.say(peer, &[b"\x01", b"\x01"]),
            (Op::Die(index), ..) => {
                let peers: Vec<PeerId> = self.clients.keys().chain(self.workers.keys()).copied().collect();
                if !peers.is_empty() {
                    let peer = peers[index.index(peers.len())];
                    self.clients.remove(&peer);
                    self.workers.remove(&peer);
                    self.world.detach(peer);
                }
            }
            (Op::Pass(ms), ..) => self.world.pass(ms),
            _ => {}
        }
        self.read();
    }

    fn read(&mut self) {
        for (peer, actor) in &mut self.workers {
            for message in self.world.read(*peer) {
                if message == frames(&[b"\x02"]) {
                    continue;
                }
                // One that lost its registration without knowing, and began anew, may hold an old request.
                actor.done = actor.work.replace(message.clone()).or(actor.done.take());
                let given = self.given.entry(message[2].clone()).or_default();
                *given += 1;
                assert!(*given <= 2);
            }
        }
        for (peer, actor) in &mut self.clients {
            for message in self.world.read(*peer) {
                let body = message.last().unwrap();
                assert!(body.starts_with(format!("{peer}/").as_bytes()), "a reply of another");
                assert!(actor.answered.insert(body.clone()), "a second reply");
                self.replies += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn every_request_is_answered_once_or_counted(
        ops in proptest::collection::vec(op(), 1..120),
        few in 1_usize..5,
    ) {
        let limits = PoolLimits {
            wait_ms: 4000,
            workers_max: few,
            queue_requests_max: few,
            requests_max: 3 * few,
            ..PoolLimits::paranoid_pirate()
        };
        let mut history = History {
            world: World::with(limits, 1000),
            clients: BTreeMap::new(),
            workers: BTreeMap::new(),
            given: BTreeMap::new(),
            ever_clients: BTreeSet::new(),
            requests: 0,
            replies: 0,
        };
        for op in ops {
            history.run(op);
        }
        history.world.pass(30_000);
        history.read();
        let world = &history.world;
        prop_assert_eq!((world.queue.requests(), world.queue.workers()), (0, 0));
        prop_assert_eq!(world.queue.next_due(), None);
        let counted = world.peers.drops.iter().filter(|(peer, _)| history.ever_clients.contains(peer)).count();
        prop_assert_eq!(history.requests, history.replies + counted);
    }
}
