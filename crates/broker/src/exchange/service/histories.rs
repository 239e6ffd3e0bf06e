//! Random histories of clients and workers of both versions, deaths, delays and garbage.
//!
//! Each actor checks what reaches it; the pool's own consistency is checked after every step. At the end the workers
//! fall silent, so that every request must have been answered or counted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use swarmmq_protocol::zeromq::mdp::{
    BrokerCommand, ClientReply, ClientRequest, Framing, Part, ServiceName, Version, WorkerCommand,
};

use super::Majordomo;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{Drop, Exchange, PeerId, PoolLimits, Side, Verb};

const SERVICES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Op {
    Client(Version),
    Worker(Version, usize),
    Request(Index, usize),
    ReadClient(Index),
    ReadWorker(Index),
    Partial(Index),
    Final(Index),
    /// A reply to a request that the worker had before.
    Late(Index),
    Heartbeat(Index),
    Ready(Index),
    Leave(Index),
    Garbage(Index, Vec<u8>),
    Die(Index),
    /// Nobody may be a worker of a service, and then everybody again.
    Revoke(usize),
    Pass(u64),
    /// The clock is not looked at for so long.
    Sleep(u64),
}

struct Client {
    version: Version,
    requests: u64,
    /// Parts that came of each request.
    parts: BTreeMap<u64, u64>,
    answered: BTreeSet<u64>,
}

struct Worker {
    framing: Framing,
    service: usize,
    /// What it works on: the client's address, the request, and how many parts it has given.
    work: Option<(Bytes, Bytes, u64)>,
    done: Vec<Bytes>,
    /// Whether it may get a request: it said so and has got none since.
    is_ready: bool,
    is_registered: bool,
}

struct World {
    broker: Majordomo,
    peers: Model,
    limits: PoolLimits,
    is_roomy: bool,
    now: u64,
    clients: BTreeMap<PeerId, Client>,
    workers: BTreeMap<PeerId, Worker>,
    was_client: BTreeSet<PeerId>,
    /// How often each request was given to a worker.
    given: BTreeMap<Bytes, u8>,
    /// The ready workers of each service, whoever waits longest first.
    order: [Vec<PeerId>; SERVICES.len()],
    requests: usize,
    finals: usize,
    /// Final replies in the queues of clients that died before they read them count as sent.
    sent_before_death: usize,
}

fn pick<V>(map: &BTreeMap<PeerId, V>, index: &Index) -> Option<PeerId> {
    (!map.is_empty()).then(|| *map.keys().nth(index.index(map.len())).unwrap())
}

impl World {
    fn new(limits: PoolLimits, capacity: usize) -> Self {
        Self {
            broker: Majordomo::new(limits.clone(), 1),
            peers: Model::new(capacity),
            limits,
            is_roomy: capacity > 500,
            now: 0,
            clients: BTreeMap::new(),
            workers: BTreeMap::new(),
            was_client: BTreeSet::new(),
            given: BTreeMap::new(),
            order: Default::default(),
            requests: 0,
            finals: 0,
            sent_before_death: 0,
        }
    }

    fn connect(&mut self) -> PeerId {
        let peer = self.peers.connect();
        self.broker.attach(self.now, peer, &info(Side::Front), &mut self.peers);
        peer
    }

    fn send(&mut self, peer: PeerId, message: Vec<Bytes>) {
        if self.broker.accepts(peer, &self.peers) {
            self.broker.handle(self.now, peer, message, &mut self.peers);
            self.settle();
        }
    }

    /// With room for everything the workers read at once, so that the order in which they are chosen is seen.
    fn settle(&mut self) {
        self.broker.pool.check(self.now);
        self.broker.pool.check_passed_over(&self.peers);
        if self.is_roomy {
            for worker in self.workers.keys().copied().collect::<Vec<_>>() {
                self.read_worker(worker);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.broker.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.broker.tick(self.now, &mut self.peers);
            assert!(self.broker.next_due().is_none_or(|due| due > self.now), "time stands still");
            self.settle();
        }
        self.now = end;
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Client(version) => {
                let peer = self.connect();
                let client =
                    Client { version, requests: 0, parts: BTreeMap::new(), answered: BTreeSet::new() };
                self.clients.insert(peer, client);
                self.was_client.insert(peer);
            }
            Op::Worker(version, service) => {
                let peer = self.connect();
                let framing = Framing::standard(version);
                let worker = Worker {
                    framing,
                    service,
                    work: None,
                    done: Vec::new(),
                    is_ready: false,
                    is_registered: false,
                };
                self.workers.insert(peer, worker);
                self.ready(peer);
            }
            Op::Request(index, service) => {
                if let Some(peer) = pick(&self.clients, &index) {
                    self.request(peer, service);
                }
            }
            Op::ReadClient(index) => {
                if let Some(peer) = pick(&self.clients, &index) {
                    self.read_client(peer);
                }
            }
            Op::Revoke(service) => self.revoke(service),
            Op::Pass(ms) => self.pass(ms),
            Op::Sleep(ms) => {
                self.now += ms;
                self.pass(0);
            }
            Op::Die(index) => {
                let clients = self.clients.keys();
                let peers: Vec<PeerId> = clients.chain(self.workers.keys()).copied().collect();
                if !peers.is_empty() {
                    self.die(peers[index.index(peers.len())]);
                }
            }
            Op::ReadWorker(index)
            | Op::Partial(index)
            | Op::Final(index)
            | Op::Late(index)
            | Op::Heartbeat(index)
            | Op::Ready(index)
            | Op::Leave(index)
            | Op::Garbage(index, _)
                if self.workers.is_empty() =>
            {
                let _ = index;
            }
            Op::ReadWorker(index) => self.read_worker(pick(&self.workers, &index).unwrap()),
            Op::Partial(index) => self.reply(pick(&self.workers, &index).unwrap(), false),
            Op::Final(index) => self.reply(pick(&self.workers, &index).unwrap(), true),
            Op::Late(index) => self.late(pick(&self.workers, &index).unwrap()),
            Op::Heartbeat(index) => {
                self.command(pick(&self.workers, &index).unwrap(), WorkerCommand::Heartbeat);
            }
            Op::Ready(index) => self.ready(pick(&self.workers, &index).unwrap()),
            Op::Leave(index) => {
                let peer = pick(&self.workers, &index).unwrap();
                self.read_worker(peer);
                if self.broker.accepts(peer, &self.peers) {
                    self.command(peer, WorkerCommand::Disconnect);
                    self.forget_worker(peer);
                }
            }
            Op::Garbage(index, bytes) => {
                let peer = pick(&self.workers, &index).unwrap();
                let words: Vec<&[u8]> = bytes
                    .iter()
                    .map(|byte| match byte % 5 {
                        0 => &b""[..],
                        1 => b"MDPW01",
                        2 => b"\x07",
                        3 => b"MDPC02",
                        _ => b"a",
                    })
                    .collect();
                if !words.is_empty() {
                    self.send(peer, frames(&words));
                }
            }
        }
    }

    fn request(&mut self, peer: PeerId, service: usize) {
        if !self.broker.accepts(peer, &self.peers) {
            return;
        }
        let client = self.clients.get_mut(&peer).unwrap();
        client.requests += 1;
        self.requests += 1;
        let request = ClientRequest {
            version: client.version,
            address: vec![Bytes::new()],
            service: ServiceName::new(SERVICES[service]).unwrap(),
            body: vec![Bytes::from(format!("{peer}/{}", client.requests))],
        };
        self.send(peer, request.encode());
    }

    fn read_client(&mut self, peer: PeerId) {
        let (messages, was_full) = self.peers.read(peer);
        let client = self.clients.get_mut(&peer).unwrap();
        for message in messages {
            let reply = ClientReply::parse(&message).unwrap();
            assert_eq!((reply.version, &reply.address), (client.version, &vec![Bytes::new()]));
            let last = reply.part == Part::Final;
            let mut number = 0;
            for (at, frame) in reply.body.iter().enumerate() {
                let text = std::str::from_utf8(frame).unwrap();
                let words: Vec<&str> = text.split('/').collect();
                assert_eq!(words[0], peer.to_string(), "a reply reaches the client that asked, and no other");
                number = words[1].parse().unwrap();
                let parts = client.parts.entry(number).or_default();
                assert_eq!(words[2].parse(), Ok(*parts), "parts come in order, without a gap");
                *parts += 1;
                assert_eq!(words[3] == "final", last && at + 1 == reply.body.len());
            }
            assert!(!client.answered.contains(&number), "nothing follows the final reply");
            if last {
                client.answered.insert(number);
                self.finals += 1;
            }
        }
        if was_full {
            self.broker.drained(self.now, peer, &mut self.peers);
            self.settle();
        }
    }

    fn read_worker(&mut self, peer: PeerId) {
        let (messages, was_full) = self.peers.read(peer);
        for message in messages {
            let worker = self.workers.get_mut(&peer).unwrap();
            let (framing, command) = BrokerCommand::parse(&message).unwrap();
            assert_eq!(framing, worker.framing);
            match command {
                BrokerCommand::Heartbeat => {}
                BrokerCommand::Disconnect => self.forget_worker(peer),
                BrokerCommand::Request { client, body } => {
                    assert!(worker.is_ready && worker.is_registered, "a worker has one request at a time");
                    worker.is_ready = false;
                    worker.work = Some((client, body[0].clone(), 0));
                    let order = &mut self.order[worker.service];
                    // Others may have been removed and not have read it yet.
                    let first = order.iter().find(|other| self.broker.pool.form_of(**other).is_some());
                    assert!(!self.is_roomy || first == Some(&peer), "{peer} is not the first of {order:?}");
                    order.retain(|other| *other != peer);
                    let given = self.given.entry(body[0].clone()).or_default();
                    *given += 1;
                    assert!(*given <= if self.limits.at_most_once { 1 } else { 2 }, "{body:?} again");
                }
            }
        }
        if was_full {
            self.broker.drained(self.now, peer, &mut self.peers);
            self.broker.pool.check(self.now);
            // It may have been given a request for which there was no room.
            self.read_worker(peer);
        }
    }

    fn forget_worker(&mut self, peer: PeerId) {
        let worker = self.workers.get_mut(&peer).unwrap();
        worker.is_registered = false;
        worker.is_ready = false;
        if let Some((tag, ..)) = worker.work.take() {
            worker.done.push(tag);
        }
        self.order[worker.service].retain(|other| *other != peer);
    }

    fn command(&mut self, peer: PeerId, command: WorkerCommand) {
        if let Some(message) = command.encode(self.workers[&peer].framing) {
            self.send(peer, message);
        }
    }

    fn ready(&mut self, peer: PeerId) {
        self.read_worker(peer);
        if !self.broker.accepts(peer, &self.peers) {
            return;
        }
        let worker = self.workers.get_mut(&peer).unwrap();
        // If it is registered this ends it. It may have been removed without having been told yet: then this is a new
        // beginning, and it may get a request.
        if let Some((tag, ..)) = worker.work.take() {
            worker.done.push(tag);
        }
        worker.is_registered = true;
        worker.is_ready = true;
        let order = &mut self.order[worker.service];
        if !order.contains(&peer) {
            order.push(peer);
        }
        let service = ServiceName::new(SERVICES[self.workers[&peer].service]).unwrap();
        self.command(peer, WorkerCommand::Ready { service });
    }

    fn reply(&mut self, peer: PeerId, is_final: bool) {
        self.read_worker(peer);
        if !self.broker.accepts(peer, &self.peers) {
            return;
        }
        let worker = self.workers.get_mut(&peer).unwrap();
        let Some((client, request, parts)) = worker.work.clone() else { return };
        let is_final = is_final || worker.framing.version == Version::V01;
        let word = if is_final { "final" } else { "part" };
        let text = format!("{}/{parts}/{word}", std::str::from_utf8(&request).unwrap());
        let body = vec![Bytes::from(text)];
        if is_final {
            worker.work = None;
            worker.done.push(client.clone());
            worker.is_ready = true;
            self.order[worker.service].push(peer);
            self.command(peer, WorkerCommand::Final { client, body });
        } else {
            worker.work = Some((client.clone(), request, parts + 1));
            self.command(peer, WorkerCommand::Partial { client, body });
        }
    }

    fn late(&mut self, peer: PeerId) {
        if let Some(client) = self.workers[&peer].done.last().cloned() {
            let body = frames(&[b"a late reply that nobody may see"]);
            self.command(peer, WorkerCommand::Final { client, body });
        }
    }

    fn die(&mut self, peer: PeerId) {
        if self.clients.contains_key(&peer) {
            let before = self.finals;
            self.read_client(peer);
            self.sent_before_death += self.finals - before;
            self.clients.remove(&peer);
        } else {
            self.forget_worker(peer);
            self.workers.remove(&peer);
        }
        self.peers.disconnect_abruptly(peer);
        self.broker.detach(self.now, peer, &mut self.peers);
        self.settle();
    }

    fn revoke(&mut self, service: usize) {
        self.peers.forbidden.insert((Verb::Serve, SERVICES[service].into()));
        for peer in self.clients.keys().chain(self.workers.keys()).copied().collect::<Vec<_>>() {
            self.broker.rights_changed(self.now, peer, &mut self.peers);
            self.settle();
        }
        assert_eq!(self.broker.pool.workers_of(SERVICES[service].as_bytes()), 0, "it may serve no more");
        self.peers.forbidden.clear();
    }

    /// Nobody says anything any more.
    fn end(mut self) {
        for _ in 0..8 {
            self.pass(self.limits.wait_ms.max(self.limits.silence_at_work_ms()) + 1);
        }
        assert_eq!((self.broker.requests(), self.broker.workers(), self.broker.services()), (0, 0, 0));
        assert_eq!(self.broker.next_due(), None);
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.read_client(client);
        }
        let counted = self.peers.drops.iter().filter(|(peer, reason)| {
            self.was_client.contains(peer) && !matches!(reason, Drop::Malformed | Drop::Unexpected)
        });
        assert_eq!(self.requests, self.finals + counted.count(), "a request is answered or counted, once");
    }
}

fn op() -> impl Strategy<Value = Op> {
    let version = || prop_oneof![Just(Version::V01), Just(Version::V02)];
    let index = any::<Index>;
    prop_oneof![
        2 => version().prop_map(Op::Client),
        3 => (version(), 0..SERVICES.len()).prop_map(|(version, service)| Op::Worker(version, service)),
        10 => (index(), 0..SERVICES.len()).prop_map(|(client, service)| Op::Request(client, service)),
        4 => index().prop_map(Op::ReadClient),
        4 => index().prop_map(Op::ReadWorker),
        4 => index().prop_map(Op::Partial),
        8 => index().prop_map(Op::Final),
        1 => index().prop_map(Op::Late),
        6 => index().prop_map(Op::Heartbeat),
        1 => index().prop_map(Op::Ready),
        1 => index().prop_map(Op::Leave),
        1 => (index(), proptest::collection::vec(any::<u8>(), 0..5))
            .prop_map(|(worker, bytes)| Op::Garbage(worker, bytes)),
        2 => index().prop_map(Op::Die),
        1 => (0..SERVICES.len()).prop_map(Op::Revoke),
        4 => (1_u64..1500).prop_map(Op::Pass),
        1 => (1_u64..9000).prop_map(Op::Sleep),
    ]
}

fn limits() -> impl Strategy<Value = PoolLimits> {
    (1_u32..4, any::<bool>(), 0_u64..6000, 1_usize..5, prop_oneof![Just(300), Just(2000), Just(1 << 20)])
        .prop_map(|(liveness, at_most_once, busy_silence_ms, few, bytes)| PoolLimits {
            heartbeat_ms: 1000,
            liveness,
            busy_silence_ms,
            wait_ms: 4000,
            at_most_once,
            services_max: 2 + few % 2,
            workers_max: 2 + few,
            queue_requests_max: few,
            queue_bytes_max: bytes,
            requests_max: 4 * few,
            bytes_max: 2 * bytes,
            joined_bytes_max: usize::MAX,
            client_requests_max: few,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn every_request_is_answered_once_or_counted(
        limits in limits(),
        capacity in prop_oneof![Just(2_usize), Just(4), Just(1000)],
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(limits, capacity);
        for op in ops {
            world.run(op);
        }
        world.end();
    }
}
