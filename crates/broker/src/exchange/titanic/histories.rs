//! Random histories of clients, workers and a queue, with crashes, lost answers and deaths at every step.
//!
//! A client asks one thing at a time and checks each answer against what it was told before:
//!
//! - What was answered 200 is known after any crash, until it is closed; what was closed stays closed.
//! - A reply is one that a worker gave to that very request, and the same each time.
//! - A question is answered once. 500 is said only while the queue cannot be used, or did not take something.
//! - Nobody hears of another user's request.
//!
//! At the end everything works again: all that is open is answered, and the queue holds one record for each request
//! that nobody has closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use swarmmq_protocol::zeromq::mdp::{
    BrokerCommand, ClientReply, ClientRequest, Framing, ServiceName, Version, WorkerCommand, client,
};

use super::queue::{Fate, Queue};
use super::*;
use crate::exchange::pool::model::{Model, info};
use crate::exchange::{Exchange, Frames, PeerId, PeerInfo, PoolLimits, RepeatLimits, Side, StorageEvent};

const SERVICES: [&str; 2] = ["a", "b"];
const USERS: [&str; 2] = ["ada", "bob"];

#[derive(Debug, Clone)]
enum Op {
    Client(usize),
    Worker(usize),
    Store(Index, usize),
    /// A stored request of anybody.
    Retrieve(Index, Index),
    Close(Index, Index),
    ReadWorker(Index),
    Reply(Index),
    Die(Index),
    Leave(Index),
    Answer(Index, Fate),
    Deliver(usize),
    Count,
    Open,
    /// The subscription ends.
    Lose,
    Lapse(Index),
    Pass(u64),
    /// Which of what is under way is done.
    Crash(u64),
}

#[derive(Debug, Clone)]
enum Question {
    Store(usize, Bytes),
    Retrieve(Bytes),
    Close(Bytes),
}

struct Client {
    user: usize,
    question: Option<Question>,
}

/// What is known of a request that was answered 200.
struct Truth {
    user: usize,
    body: Bytes,
    /// Its reply, once somebody has seen it.
    reply: Option<Frames>,
    /// Its user has asked to close it.
    closing: bool,
    /// And was told that it is.
    closed: bool,
}

struct Worker {
    framing: Framing,
    work: Option<(Bytes, Frames)>,
}

struct World {
    titanic: Titanic,
    peers: Model,
    queue: Queue,
    now: u64,
    ids: Arc<AtomicU64>,
    clients: BTreeMap<PeerId, Client>,
    workers: BTreeMap<PeerId, Worker>,
    truths: BTreeMap<Bytes, Truth>,
    given: BTreeSet<Frames>,
    counter: u64,
}

fn pick<V>(map: &BTreeMap<PeerId, V>, index: &Index) -> Option<PeerId> {
    (!map.is_empty()).then(|| *map.keys().nth(index.index(map.len())).unwrap())
}

fn titanic(ids: &Arc<AtomicU64>) -> Titanic {
    let pool = PoolLimits { heartbeat_ms: 1000, wait_ms: 2000, ..PoolLimits::default() };
    let limits =
        TitanicLimits { requests_max: 20, working_max: 2, work_ms: 20_000, ..TitanicLimits::default() };
    let ids = ids.clone();
    let next = move || Some(u128::from(ids.fetch_add(1, Ordering::Relaxed)) << 77 | 7);
    // Nothing here has an id of a client's: what is stored must not be taken for a repeat.
    let repeats = RepeatLimits { keep_ms: 1000, ..RepeatLimits::default() };
    Titanic::new(pool, limits, 1, Box::new(next)).deduplicating(repeats)
}

impl World {
    fn new() -> Self {
        let ids = Arc::new(AtomicU64::new(1));
        Self {
            titanic: titanic(&ids),
            peers: Model::new(10_000),
            queue: Queue::default(),
            now: 0,
            ids,
            clients: BTreeMap::new(),
            workers: BTreeMap::new(),
            truths: BTreeMap::new(),
            given: BTreeSet::new(),
            counter: 0,
        }
    }

    fn connect(&mut self, user: usize) -> PeerId {
        let peer = self.peers.connect();
        let info = PeerInfo { user: USERS[user].into(), ..info(Side::Front) };
        self.titanic.attach(self.now, peer, &info, &mut self.peers);
        peer
    }

    fn client(&mut self, user: usize) -> PeerId {
        let peer = self.connect(user);
        self.clients.insert(peer, Client { user, question: None });
        peer
    }

    fn worker(&mut self, service: usize) -> PeerId {
        let peer = self.connect(0);
        let framing = Framing::standard(Version::V01);
        self.workers.insert(peer, Worker { framing, work: None });
        let service = ServiceName::new(SERVICES[service]).unwrap();
        self.send(peer, WorkerCommand::Ready { service }.encode(framing).unwrap());
        peer
    }

    fn send(&mut self, peer: PeerId, message: Frames) -> bool {
        let is_taken = self.titanic.accepts(peer, &self.peers);
        if is_taken {
            self.titanic.handle(self.now, peer, message, &mut self.peers);
        }
        is_taken
    }

    fn settle(&mut self) {
        self.titanic.check(self.now);
        for peer in self.clients.keys().copied().collect::<Vec<_>>() {
            self.read_client(peer);
        }
    }

    fn ask(&mut self, peer: PeerId, question: Question) {
        let client = &self.clients[&peer];
        if client.question.is_some() {
            return;
        }
        let (service, body) = match &question {
            Question::Store(service, body) => {
                ("titanic.request", vec![Bytes::from_static(SERVICES[*service].as_bytes()), body.clone()])
            }
            Question::Retrieve(id) => ("titanic.reply", vec![id.clone()]),
            Question::Close(id) => ("titanic.close", vec![id.clone()]),
        };
        let service = ServiceName::new(service).unwrap();
        let address = client::standard_address(Version::V01);
        let request = ClientRequest { version: Version::V01, address, service, body };
        let user = client.user;
        if let Question::Close(id) = &question
            && let Some(truth) = self.truths.get_mut(id)
            && truth.user == user
            && self.titanic.accepts(peer, &self.peers)
        {
            truth.closing = true;
        }
        self.clients.get_mut(&peer).unwrap().question = Some(question);
        if !self.send(peer, request.encode()) {
            self.clients.get_mut(&peer).unwrap().question = None;
        }
    }

    fn read_client(&mut self, peer: PeerId) {
        let (messages, _) = self.peers.read(peer);
        for message in messages {
            let client = self.clients.get_mut(&peer).unwrap();
            let user = client.user;
            let question = client.question.take().expect("a question is answered once");
            let body = ClientReply::parse(&message).unwrap().body;
            self.judge(user, question, body);
        }
    }

    fn judge(&mut self, user: usize, question: Question, answer: Frames) {
        let status = std::str::from_utf8(&answer[0]).unwrap().to_owned();
        match (question, status.as_str()) {
            (Question::Store(_, body), "200") => {
                let truth = Truth { user, body, reply: None, closing: false, closed: false };
                assert!(self.truths.insert(answer[1].clone(), truth).is_none(), "each id is given once");
            }
            (Question::Store(..), "500") => {}
            (Question::Retrieve(id), "200") => {
                let truth = self.truths.get_mut(&id).unwrap();
                assert!(truth.user == user && !truth.closed);
                let reply = answer[1..].to_vec();
                assert_eq!(reply[0], truth.body, "the reply of another");
                assert!(self.given.contains(&reply), "a reply that no worker gave");
                assert_eq!(truth.reply.get_or_insert_with(|| reply.clone()), &reply);
            }
            (Question::Retrieve(id), "300") => {
                let truth = &self.truths[&id];
                assert_eq!(
                    (truth.user, truth.closed, truth.reply.as_ref()),
                    (user, false, None),
                    "pending {id:?}"
                );
            }
            (Question::Retrieve(id), "400") => {
                let truth = &self.truths[&id];
                assert!(truth.user != user || truth.closing, "an acknowledged request is lost");
            }
            (Question::Retrieve(_), "500") => assert!(!self.titanic.is_open),
            (Question::Close(id), "200") => {
                let truth = self.truths.get_mut(&id).unwrap();
                truth.closed |= truth.user == user;
            }
            (Question::Close(_), "500") => {}
            (question, status) => panic!("{question:?} is answered {status}"),
        }
    }

    fn read_worker(&mut self, peer: PeerId) {
        let (messages, _) = self.peers.read(peer);
        for message in messages {
            match BrokerCommand::parse(&message).unwrap().1 {
                BrokerCommand::Request { client, body } => {
                    let worker = self.workers.get_mut(&peer).unwrap();
                    assert!(worker.work.replace((client, body)).is_none(), "one request at a time");
                }
                BrokerCommand::Disconnect => return self.gone(peer),
                BrokerCommand::Heartbeat => {}
            }
        }
    }

    fn reply(&mut self, peer: PeerId) {
        self.read_worker(peer);
        let Some(worker) = self.workers.get_mut(&peer) else { return };
        let Some((client, mut body)) = worker.work.take() else { return };
        self.counter += 1;
        body.push(Bytes::from(self.counter.to_string()));
        self.given.insert(body.clone());
        let framing = worker.framing;
        let message = WorkerCommand::Final { client, body }.encode(framing).unwrap();
        self.send(peer, message);
    }

    fn gone(&mut self, peer: PeerId) {
        self.workers.remove(&peer);
        self.clients.remove(&peer);
        self.peers.disconnect_abruptly(peer);
        self.titanic.detach(self.now, peer, &mut self.peers);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.titanic.next_due().filter(|due| *due <= end) {
            self.queue.now_ms += due.saturating_sub(self.now);
            self.now = self.now.max(due);
            self.titanic.tick(self.now, &mut self.peers);
            assert!(self.titanic.next_due().is_none_or(|due| due > self.now), "time stands still");
            self.titanic.check(self.now);
        }
        self.queue.now_ms += end - self.now;
        self.now = end;
    }

    fn open(&mut self) {
        if !self.titanic.is_open && self.queue.asked.is_empty() && self.titanic.recovery.is_none() {
            self.queue.open(self.now, &mut self.titanic, &mut self.peers);
        }
    }

    /// The process ends and another begins.
    fn crash(&mut self, done: u64) {
        let mut nth = 0;
        self.queue.crash(|| {
            nth += 1;
            done >> (nth % 64) & 1 == 1
        });
        self.titanic = titanic(&self.ids);
        self.peers = Model::new(10_000);
        self.now = 0;
        self.clients.clear();
        self.workers.clear();
        self.client(0);
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Client(user) => drop(self.client(user)),
            Op::Worker(service) => drop(self.worker(service)),
            Op::Store(index, service) => {
                self.counter += 1;
                let body = Bytes::from(format!("body {}", self.counter));
                if let Some(peer) = pick(&self.clients, &index) {
                    self.ask(peer, Question::Store(service, body));
                }
            }
            Op::Retrieve(index, which) => self.ask_of(&index, &which, Question::Retrieve),
            Op::Close(index, which) => self.ask_of(&index, &which, Question::Close),
            Op::ReadWorker(index) => drop(pick(&self.workers, &index).map(|peer| self.read_worker(peer))),
            Op::Reply(index) => drop(pick(&self.workers, &index).map(|peer| self.reply(peer))),
            Op::Die(index) => drop(pick(&self.workers, &index).map(|peer| self.gone(peer))),
            Op::Leave(index) => drop(pick(&self.clients, &index).map(|peer| self.gone(peer))),
            Op::Answer(index, fate) => {
                self.queue.poll(&mut self.titanic);
                if self.queue.asked.is_empty() {
                    return;
                }
                let nth = index.index(self.queue.asked.len());
                self.queue.answer(self.now, nth, fate, &mut self.titanic, &mut self.peers);
            }
            Op::Deliver(nth) if self.titanic.is_open || self.titanic.recovery.is_some() => {
                self.queue.deliver(self.now, nth, &mut self.titanic, &mut self.peers);
            }
            Op::Deliver(_) => {}
            Op::Lose => {
                self.titanic.handle_storage(self.now, StorageEvent::Closed, &mut self.peers);
            }
            Op::Count => self.queue.count(self.now, &mut self.titanic, &mut self.peers),
            Op::Open => self.open(),
            Op::Lapse(index) => self.queue.lapse(index.index(8)),
            Op::Pass(ms) => self.pass(ms),
            Op::Crash(done) => self.crash(done),
        }
        self.settle();
    }

    fn ask_of(&mut self, index: &Index, which: &Index, question: fn(Bytes) -> Question) {
        let ids: Vec<Bytes> = self.truths.keys().cloned().collect();
        if let Some(peer) = pick(&self.clients, index)
            && !ids.is_empty()
        {
            self.ask(peer, question(ids[which.index(ids.len())].clone()));
        }
    }

    /// Everything works again for long enough.
    fn heal(&mut self) {
        self.queue.poll(&mut self.titanic);
        while !self.queue.asked.is_empty() {
            self.queue.answer(self.now, 0, Fate::Done, &mut self.titanic, &mut self.peers);
        }
        self.settle();
        if !self.titanic.is_open {
            self.queue.read(self.now, &mut self.titanic, &mut self.peers);
        }
        for peer in self.workers.keys().copied().collect::<Vec<_>>() {
            self.gone(peer);
        }
        for _ in 0..100 {
            self.queue.run(self.now, &mut self.titanic, &mut self.peers);
            self.settle();
            if self.workers.len() < SERVICES.len() {
                for service in 0..SERVICES.len() {
                    self.worker(service);
                }
            }
            for peer in self.workers.keys().copied().collect::<Vec<_>>() {
                self.reply(peer);
            }
            self.pass(1000);
        }
        self.queue.run(self.now, &mut self.titanic, &mut self.peers);
        self.settle();
        assert!(self.clients.values().all(|client| client.question.is_none()), "a question has no answer");
    }

    fn finish(&mut self) {
        self.heal();
        assert_eq!(
            self.queue.len(),
            self.titanic.stored(),
            "the queue holds a reply for each request that is open"
        );
        let clients = [self.client(0), self.client(1)];
        for id in self.truths.keys().cloned().collect::<Vec<_>>() {
            let user = self.truths[&id].user;
            self.ask(clients[user], Question::Retrieve(id.clone()));
            self.settle();
            let truth = &self.truths[&id];
            assert!(truth.closing || truth.reply.is_some(), "an open request is not answered");
            self.ask(clients[user], Question::Close(id.clone()));
            self.settle();
            self.queue.run(self.now, &mut self.titanic, &mut self.peers);
            self.settle();
            assert!(self.truths[&id].closed);
        }
        // What is left was stored by somebody who never heard that it was.
        assert_eq!(self.queue.len(), self.titanic.stored());
        self.crash(0);
        self.queue.read(self.now, &mut self.titanic, &mut self.peers);
        let clients = [self.client(0), self.client(1)];
        for id in self.truths.keys().cloned().collect::<Vec<_>>() {
            self.ask(clients[self.truths[&id].user], Question::Retrieve(id));
            self.settle();
        }
    }
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Done),
        2 => Just(Fate::Refused),
        1 => Just(Fate::DoneUnknown),
        1 => Just(Fate::RefusedUnknown),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        1 => (0..2_usize).prop_map(Op::Client),
        3 => (0..2_usize).prop_map(Op::Worker),
        8 => (index(), 0..2_usize).prop_map(|(client, service)| Op::Store(client, service)),
        8 => (index(), index()).prop_map(|(client, id)| Op::Retrieve(client, id)),
        3 => (index(), index()).prop_map(|(client, id)| Op::Close(client, id)),
        4 => index().prop_map(Op::ReadWorker),
        10 => index().prop_map(Op::Reply),
        1 => index().prop_map(Op::Die),
        1 => index().prop_map(Op::Leave),
        20 => (index(), any_fate()).prop_map(|(nth, fate)| Op::Answer(nth, fate)),
        20 => (0..3_usize).prop_map(Op::Deliver),
        4 => Just(Op::Count),
        4 => Just(Op::Open),
        1 => Just(Op::Lose),
        1 => index().prop_map(Op::Lapse),
        4 => (0..4000_u64).prop_map(Op::Pass),
        1 => any::<u64>().prop_map(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_acknowledged_survives_and_what_was_closed_does_not(
        ops in proptest::collection::vec(any_op(), 1..250)
    ) {
        let mut world = World::new();
        world.client(0);
        world.client(1);
        if ops.len() % 2 == 0 {
            world.queue.read(0, &mut world.titanic, &mut world.peers);
        }
        for op in ops {
            world.run(op);
        }
        world.finish();
    }
}
