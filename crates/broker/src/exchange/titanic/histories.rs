//! Random histories of clients, workers and a queue, with crashes, lost answers and deaths at every step.
//!
//! A client asks one thing at a time and checks each answer against what it was told before:
//!
//! - What was answered 200 is known after any crash, until it is closed; what was closed stays closed.
//! - A reply is one that a worker gave to that very request, and the same each time.
//! - A question is answered once, whether its client reads or not. Each 500 has its reason: the queue could not be used, a
//!   reply waited to be stored, there were too many requests, or this very record was not stored, as far as was known.
//! - A request is with one living worker at a time, unless that has had it for too long; and with none once its reply is
//!   there.
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
use swarmmq_protocol::zeromq::tsp::RequestId;

use super::queue::{Fate, Queue};
use super::record::{Kind, Record, body};
use super::*;
use crate::exchange::pool::model::{Model, info};
use crate::exchange::{
    Exchange, Frames, PeerId, PeerInfo, PoolLimits, RepeatLimits, Side, StorageEvent, StorageRequest,
};

const SERVICES: [&str; 2] = ["a", "b"];
const USERS: [&str; 2] = ["ada", "bob"];

#[derive(Debug, Clone)]
enum Op {
    Client(usize),
    Worker(usize, Version),
    Store(Index, usize),
    /// A stored request of anybody.
    Retrieve(Index, Index),
    Close(Index, Index),
    ReadWorker(Index),
    Reply(Index, usize),
    Part(Index, usize),
    /// The broker answers at once, which fills the client's queue.
    Manage(Index),
    ReadClient(Index),
    /// The queue takes nothing, or everything again.
    Fill(bool),
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
    question: Option<Asked>,
}

struct Asked {
    question: Question,
    /// Nothing could be done when it was asked.
    is_hopeless: bool,
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

/// A request that a worker was given.
struct Work {
    /// The address that comes back with the reply.
    tag: Bytes,
    body: Frames,
    since_ms: u64,
    parts: Frames,
}

struct Worker {
    framing: Framing,
    work: Option<Work>,
    is_dismissed: bool,
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
    /// Bodies of requests with a reply that counts, or of which there never will be one.
    done: BTreeSet<Bytes>,
    hopeless: BTreeSet<Bytes>,
    /// What became of the records that were put: by body of the request, and by id.
    requests_put: BTreeMap<Bytes, Fate>,
    replies_put: BTreeMap<Bytes, BTreeSet<Fate>>,
    capacity: usize,
    counter: u64,
}

fn pick<V>(map: &BTreeMap<PeerId, V>, index: &Index) -> Option<PeerId> {
    (!map.is_empty()).then(|| *map.keys().nth(index.index(map.len())).unwrap())
}

/// How long a worker may have a request.
const WORK_MS: u64 = 5_000;
/// Most bytes of a reply.
const REPLY_MAX: usize = 500;

fn titanic(ids: &Arc<AtomicU64>) -> Titanic {
    let pool =
        PoolLimits { heartbeat_ms: 1000, busy_silence_ms: 30_000, wait_ms: 2000, ..PoolLimits::default() };
    let limits = TitanicLimits {
        message_bytes_max: REPLY_MAX,
        requests_max: 20,
        reply_bytes_max: 4_000,
        working_max: 2,
        work_ms: WORK_MS,
        ..TitanicLimits::default()
    };
    let ids = ids.clone();
    let next = move || Some(u128::from(ids.fetch_add(1, Ordering::Relaxed)) << 77 | 7);
    // Nothing here has an id of a client's: what is stored must not be taken for a repeat.
    let repeats = RepeatLimits { keep_ms: 1000, ..RepeatLimits::default() };
    Titanic::new(pool, limits, 1, Box::new(next)).deduplicating(repeats)
}

fn model(capacity: usize) -> Model {
    let mut model = Model::new(capacity);
    model.log = Some(Vec::new());
    model
}

impl World {
    fn new(capacity: usize) -> Self {
        let ids = Arc::new(AtomicU64::new(1));
        Self {
            titanic: titanic(&ids),
            peers: model(capacity),
            queue: Queue::default(),
            now: 0,
            ids,
            clients: BTreeMap::new(),
            workers: BTreeMap::new(),
            truths: BTreeMap::new(),
            given: BTreeSet::new(),
            done: BTreeSet::new(),
            hopeless: BTreeSet::new(),
            requests_put: BTreeMap::new(),
            replies_put: BTreeMap::new(),
            capacity,
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

    fn worker(&mut self, service: usize, version: Version) -> PeerId {
        let peer = self.connect(0);
        let framing = Framing::standard(version);
        self.workers.insert(peer, Worker { framing, work: None, is_dismissed: false });
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

    /// Takes note of what was sent, and has clients with much room read.
    fn settle(&mut self) {
        self.titanic.check(self.now);
        self.look();
        if self.capacity > 100 {
            self.read_clients();
        }
    }

    fn look(&mut self) {
        for (peer, message) in std::mem::take(self.peers.log.as_mut().unwrap()) {
            if self.workers.contains_key(&peer) {
                self.note_work(peer, &message);
            } else if self.clients.contains_key(&peer) {
                self.note_answer(peer, &message);
            }
        }
    }

    fn read_clients(&mut self) {
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
        let is_full = matches!(question, Question::Store(..))
            && (self.titanic.stored() >= 20 || self.titanic.ledger.has_refused_replies());
        let is_hopeless = !self.titanic.is_open || is_full;
        self.clients.get_mut(&peer).unwrap().question = Some(Asked { question, is_hopeless });
        if !self.send(peer, request.encode()) {
            self.clients.get_mut(&peer).unwrap().question = None;
        }
    }

    fn read_client(&mut self, peer: PeerId) {
        if self.peers.read(peer).1 {
            self.titanic.drained(self.now, peer, &mut self.peers);
            self.look();
        }
    }

    fn manage(&mut self, peer: PeerId) {
        let service = ServiceName::new("mmi.service").unwrap();
        let address = client::standard_address(Version::V01);
        let body = vec![Bytes::from_static(b"a")];
        self.send(peer, ClientRequest { version: Version::V01, address, service, body }.encode());
    }

    fn note_answer(&mut self, peer: PeerId, message: &Frames) {
        let answer = ClientReply::parse(message).unwrap();
        if answer.service.is_management() {
            return;
        }
        let client = self.clients.get_mut(&peer).unwrap();
        let user = client.user;
        let asked = client.question.take().expect("a question is answered once");
        self.judge(user, asked, answer.body);
    }

    fn judge(&mut self, user: usize, asked: Asked, answer: Frames) {
        let status = std::str::from_utf8(&answer[0]).unwrap().to_owned();
        let Asked { question, is_hopeless } = asked;
        match (question, status.as_str()) {
            (Question::Store(..), "500") if is_hopeless => {}
            (Question::Store(_, body), "500") => match self.requests_put.get(&body) {
                Some(fate) => assert!(!matches!(fate, Fate::Done | Fate::Never), "it was {fate:?}"),
                None => panic!("nothing is wrong with {body:?}"),
            },
            (Question::Store(_, body), "400") => assert_eq!(self.requests_put.get(&body), Some(&Fate::Never)),
            (Question::Store(_, body), "200") => {
                assert!(!is_hopeless);
                let truth = Truth { user, body, reply: None, closing: false, closed: false };
                assert!(self.truths.insert(answer[1].clone(), truth).is_none(), "each id is given once");
            }
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
                let is_over = truth.closing || self.hopeless.contains(&truth.body);
                assert!(truth.user != user || is_over, "an acknowledged request is lost");
            }
            (Question::Retrieve(_), "500") => assert!(is_hopeless),
            (Question::Close(id), "200") => {
                // Nobody was told of one whose answer was lost.
                if let Some(truth) = self.truths.get_mut(&id) {
                    truth.closed |= truth.user == user;
                }
            }
            (Question::Close(_), "500") if is_hopeless => {}
            (Question::Close(id), "500") => {
                let fates = self.replies_put.get(&id);
                let is_unknown = |fate: &Fate| matches!(fate, Fate::DoneUnknown | Fate::RefusedUnknown);
                assert!(
                    fates.is_some_and(|fates| fates.iter().any(is_unknown)),
                    "nothing is wrong with {id:?}"
                );
            }
            (question, status) => panic!("{question:?} is answered {status}"),
        }
    }

    fn read_worker(&mut self, peer: PeerId) {
        if self.peers.read(peer).1 {
            self.titanic.drained(self.now, peer, &mut self.peers);
            self.look();
        }
        if self.workers[&peer].is_dismissed {
            self.gone(peer);
        }
    }

    /// A worker is sent something.
    fn note_work(&mut self, peer: PeerId, message: &Frames) {
        let (tag, body) = match BrokerCommand::parse(message).unwrap().1 {
            BrokerCommand::Request { client, body } => (client, body),
            BrokerCommand::Disconnect => return self.workers.get_mut(&peer).unwrap().is_dismissed = true,
            BrokerCommand::Heartbeat => return,
        };
        assert!(!self.done.contains(&body[0]), "{body:?} is done and worked on again");
        for (other, worker) in &self.workers {
            if let Some(work) = &worker.work
                && work.body == body
                && self.titanic.majordomo.pool.form_of(*other).is_some()
            {
                assert!(self.now - work.since_ms >= WORK_MS, "{body:?} is with two workers");
            }
        }
        let work = Work { tag, body, since_ms: self.now, parts: Frames::new() };
        let before = self.workers.get_mut(&peer).unwrap().work.replace(work);
        assert!(before.is_none(), "one request at a time");
    }

    /// The queue cannot be used: what was not asked of it yet is not stored.
    fn lose(&mut self) {
        let is_asked = |of: &Bytes| {
            self.queue.asked.iter().any(
                |request| matches!(request, StorageRequest::Put { message, .. } if body(message)[0] == of),
            )
        };
        let questions = self.clients.values().filter_map(|client| client.question.as_ref());
        let stores = questions.filter_map(|asked| match &asked.question {
            Question::Store(_, body) => Some(body.clone()),
            _ => None,
        });
        let lost: Vec<Bytes> = stores.filter(|body| !is_asked(body)).collect();
        for body in lost {
            self.requests_put.entry(body).or_insert(Fate::Refused);
        }
    }

    /// A worker replies: each part says first what it is to, and is as large as it is told.
    fn reply(&mut self, peer: PeerId, size: usize, is_final: bool) {
        self.read_worker(peer);
        let Some(worker) = self.workers.get_mut(&peer) else { return };
        let (framing, Some(work)) = (worker.framing, &mut worker.work) else { return };
        if !is_final && framing.version == Version::V01 {
            return;
        }
        self.counter += 1;
        let number = Bytes::from(format!("{}{}", self.counter, "-".repeat(size)));
        let part = if work.parts.is_empty() { [&work.body[..], &[number]].concat() } else { vec![number] };
        work.parts.extend(part.clone());
        let client = work.tag.clone();
        if !is_final {
            let message = WorkerCommand::Partial { client, body: part }.encode(framing).unwrap();
            assert!(self.send(peer, message), "a worker is read");
            return;
        }
        let Some(work) = worker.work.take() else { return };
        let counts =
            self.now - work.since_ms < WORK_MS && self.titanic.majordomo.pool.form_of(peer).is_some();
        let bytes: usize = work.parts.iter().map(Bytes::len).sum();
        if counts {
            self.done.insert(work.body[0].clone());
            if bytes > REPLY_MAX {
                self.hopeless.insert(work.body[0].clone());
            }
        }
        self.given.insert(work.parts);
        let message = WorkerCommand::Final { client, body: part }.encode(framing).unwrap();
        assert!(self.send(peer, message), "a worker is read");
    }

    /// Answers something that was asked of the queue, and keeps in mind what became of it.
    fn answer(&mut self, nth: usize, fate: Fate) {
        if matches!(fate, Fate::DoneUnknown | Fate::RefusedUnknown) {
            self.lose();
        }
        let record = match &self.queue.asked[nth] {
            StorageRequest::Put { message, .. } => {
                Record::read(message).map(|record| (record, message.clone()))
            }
            _ => None,
        };
        let Some((record, message)) = record else {
            self.queue.answer(self.now, nth, fate, &mut self.titanic, &mut self.peers);
            return;
        };
        let played = self.queue.fate_of(nth, fate);
        match record.kind {
            Kind::Request => _ = self.requests_put.insert(body(&message)[0].clone(), played),
            Kind::Reply => {
                let id = RequestId::from_value(record.id).frame();
                self.replies_put.entry(id).or_default().insert(played);
                if played == Fate::Never {
                    self.hopeless.insert(body(&message)[0].clone());
                }
            }
        }
        self.queue.answer(self.now, nth, fate, &mut self.titanic, &mut self.peers);
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
            self.look();
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
        self.peers = model(self.capacity);
        self.now = 0;
        // Whatever has no stored reply is worked on again.
        self.done.clear();
        self.clients.clear();
        self.workers.clear();
        self.client(0);
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Client(user) => drop(self.client(user)),
            Op::Worker(service, version) => drop(self.worker(service, version)),
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
            Op::Reply(index, size) => {
                _ = pick(&self.workers, &index).map(|peer| self.reply(peer, size, true));
            }
            Op::Part(index, size) => {
                _ = pick(&self.workers, &index).map(|peer| self.reply(peer, size, false));
            }
            Op::Manage(index) => drop(pick(&self.clients, &index).map(|peer| self.manage(peer))),
            Op::ReadClient(index) => drop(pick(&self.clients, &index).map(|peer| self.read_client(peer))),
            Op::Fill(is_full) => self.queue.is_full = is_full,
            Op::Die(index) => drop(pick(&self.workers, &index).map(|peer| self.gone(peer))),
            Op::Leave(index) => drop(pick(&self.clients, &index).map(|peer| self.gone(peer))),
            Op::Answer(index, fate) => {
                self.queue.poll(&mut self.titanic);
                if self.queue.asked.is_empty() {
                    return;
                }
                let nth = index.index(self.queue.asked.len());
                self.answer(nth, fate);
            }
            Op::Deliver(nth) if self.titanic.is_open || self.titanic.recovery.is_some() => {
                self.queue.deliver(self.now, nth, &mut self.titanic, &mut self.peers);
            }
            Op::Deliver(_) => {}
            Op::Lose => {
                self.lose();
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

    /// Everybody reads, and the queue does what it is asked.
    fn work_off(&mut self) {
        loop {
            self.queue.poll(&mut self.titanic);
            if !self.queue.asked.is_empty() {
                self.answer(0, Fate::Done);
            } else if !self.titanic.is_open
                || !self.queue.deliver(self.now, 0, &mut self.titanic, &mut self.peers)
            {
                break;
            }
            self.settle();
        }
        for _ in 0..5 {
            self.read_clients();
            self.settle();
        }
    }

    /// Everything works again for long enough.
    fn heal(&mut self) {
        self.queue.is_full = false;
        self.work_off();
        if !self.titanic.is_open {
            self.queue.read(self.now, &mut self.titanic, &mut self.peers);
        }
        for peer in self.workers.keys().copied().collect::<Vec<_>>() {
            self.gone(peer);
        }
        for _ in 0..100 {
            self.work_off();
            if self.workers.len() < SERVICES.len() {
                for service in 0..SERVICES.len() {
                    self.worker(service, Version::V01);
                }
            }
            for peer in self.workers.keys().copied().collect::<Vec<_>>() {
                self.reply(peer, 0, true);
            }
            self.work_off();
            self.pass(1000);
        }
        self.work_off();
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
        let stored =
            self.titanic.ledger.iter().map(|(id, entry)| {
                (RequestId::from_value(id).frame(), usize::from(*entry.user == *USERS[1]))
            });
        let untold: Vec<(Bytes, usize)> = stored.filter(|(id, _)| !self.truths.contains_key(id)).collect();
        // What nobody was told of takes the place of replies.
        for (id, user) in untold {
            self.ask(clients[user], Question::Close(id));
            self.work_off();
        }
        let mut open: BTreeSet<Bytes> = self.truths.keys().cloned().collect();
        while !open.is_empty() {
            let before = open.len();
            for id in open.clone() {
                let user = self.truths[&id].user;
                self.ask(clients[user], Question::Retrieve(id.clone()));
                self.settle();
                self.read_clients();
                let truth = &self.truths[&id];
                if truth.closing || truth.reply.is_some() || self.hopeless.contains(&truth.body) {
                    self.ask(clients[user], Question::Close(id.clone()));
                    self.work_off();
                    assert!(self.truths[&id].closed);
                    open.remove(&id);
                }
            }
            assert!(open.len() < before, "open requests are not answered");
            self.heal();
        }
        assert_eq!((self.queue.len(), self.titanic.stored()), (0, 0));
        self.crash(0);
        self.queue.read(self.now, &mut self.titanic, &mut self.peers);
        let clients = [self.client(0), self.client(1)];
        for id in self.truths.keys().cloned().collect::<Vec<_>>() {
            self.ask(clients[self.truths[&id].user], Question::Retrieve(id));
            self.settle();
            self.read_clients();
        }
    }
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Done),
        2 => Just(Fate::Refused),
        1 => Just(Fate::DoneUnknown),
        1 => Just(Fate::RefusedUnknown),
        1 => Just(Fate::Never),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let version = || prop_oneof![Just(Version::V01), Just(Version::V02)];
    prop_oneof![
        1 => (0..2_usize).prop_map(Op::Client),
        3 => (0..2_usize, version()).prop_map(|(service, version)| Op::Worker(service, version)),
        8 => (index(), 0..2_usize).prop_map(|(client, service)| Op::Store(client, service)),
        8 => (index(), index()).prop_map(|(client, id)| Op::Retrieve(client, id)),
        3 => (index(), index()).prop_map(|(client, id)| Op::Close(client, id)),
        4 => index().prop_map(Op::ReadWorker),
        10 => (index(), 0..300_usize).prop_map(|(worker, size)| Op::Reply(worker, size)),
        5 => (index(), 0..300_usize).prop_map(|(worker, size)| Op::Part(worker, size)),
        3 => index().prop_map(Op::Manage),
        8 => index().prop_map(Op::ReadClient),
        2 => prop_oneof![1 => Just(true), 2 => Just(false)].prop_map(Op::Fill),
        1 => index().prop_map(Op::Die),
        1 => index().prop_map(Op::Leave),
        20 => (index(), any_fate()).prop_map(|(nth, fate)| Op::Answer(nth, fate)),
        20 => (0..3_usize).prop_map(Op::Deliver),
        4 => Just(Op::Count),
        4 => Just(Op::Open),
        1 => Just(Op::Lose),
        1 => index().prop_map(Op::Lapse),
        4 => (0..6000_u64).prop_map(Op::Pass),
        1 => any::<u64>().prop_map(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_acknowledged_survives_and_what_was_closed_does_not(
        capacity in prop_oneof![Just(1_usize), Just(2), Just(10_000)],
        ops in proptest::collection::vec(any_op(), 1..250)
    ) {
        let mut world = World::new(capacity);
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
