//! Random histories of clients that repeat their requests, on the same connection and on others, against a model that
//! says what each of them reads, frame by frame.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use swarmmq_protocol::zeromq::mdp::{
    BrokerCommand, ClientReply, ClientRequest, Framing, Part, RequestId, ServiceName, Version, WorkerCommand,
};

use super::repeats::KEPT_BYTES;
use super::{Majordomo, RepeatLimits};
use crate::exchange::pool::model::{Model, info};
use crate::exchange::pool::weigh;
use crate::exchange::{Drop, Exchange, Frames, PeerId, PeerInfo, PoolLimits, Side};

const USERS: [&str; 2] = ["ann", "bob"];
const IDS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Client(Version, usize),
    Worker,
    Ask(Index, usize),
    /// The broker answers at once, which fills the client's queue.
    Manage(Index),
    Read(Index),
    Partial(Index, usize),
    Final(Index, usize),
    Heartbeat(Index),
    Ready(Index),
    ClientDies(Index),
    WorkerDies(Index),
    Pass(u64),
}

/// Whose request, and its id.
type Name = (usize, usize);

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Which run, how often it was given to a worker, and what has come of the reply.
    AtWork {
        run: u64,
        given: u8,
    },
    Answered {
        reply: Frames,
    },
}

struct Known {
    state: State,
    asker: Option<PeerId>,
}

struct Client {
    version: Version,
    user: usize,
    /// What it is to read: `None` is an answer of the broker itself.
    expected: Vec<Option<Frames>>,
}

#[derive(Default)]
struct Worker {
    is_registered: bool,
    /// The address of what it works on, the run, and the parts of the reply.
    work: Option<(Bytes, Name, u64, Frames)>,
    /// One of them did not fit.
    is_spoiled: bool,
}

struct World {
    broker: Majordomo,
    peers: Model,
    pool: PoolLimits,
    limits: RepeatLimits,
    capacity: usize,
    now: u64,
    clients: BTreeMap<PeerId, Client>,
    workers: BTreeMap<PeerId, Worker>,
    known: BTreeMap<Name, Known>,
    /// Kept replies, oldest first: until when, and their bytes.
    kept: VecDeque<(u64, Name, usize)>,
    /// Drops that the model foresees.
    foreseen: Vec<(PeerId, Drop)>,
    drops_seen: usize,
    runs: u64,
}

fn pick<V>(map: &BTreeMap<PeerId, V>, index: &Index) -> Option<PeerId> {
    (!map.is_empty()).then(|| *map.keys().nth(index.index(map.len())).unwrap())
}

fn text((user, id): Name) -> String {
    format!("{}/{id}", USERS[user])
}

impl World {
    fn new(pool: PoolLimits, limits: RepeatLimits, capacity: usize) -> Self {
        Self {
            broker: Majordomo::new(pool.clone(), 1).deduplicating(limits.clone()),
            peers: Model::new(capacity),
            pool,
            limits,
            capacity,
            now: 0,
            clients: BTreeMap::new(),
            workers: BTreeMap::new(),
            known: BTreeMap::new(),
            kept: VecDeque::new(),
            foreseen: Vec::new(),
            drops_seen: 0,
            runs: 0,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Client(version, user) => {
                let peer = self.peers.connect();
                let who = PeerInfo { user: USERS[user].into(), ..info(Side::Front) };
                self.broker.attach(self.now, peer, &who, &mut self.peers);
                self.clients.insert(peer, Client { version, user, expected: Vec::new() });
            }
            Op::Worker => {
                let peer = self.peers.connect();
                self.broker.attach(self.now, peer, &info(Side::Front), &mut self.peers);
                self.workers.insert(peer, Worker::default());
                self.ready(peer);
            }
            Op::Ask(index, id) => _ = pick(&self.clients, &index).map(|peer| self.ask(peer, id)),
            Op::Manage(index) => _ = pick(&self.clients, &index).map(|peer| self.manage(peer)),
            Op::Read(index) => _ = pick(&self.clients, &index).map(|peer| self.read(peer)),
            Op::Partial(index, size) => {
                _ = pick(&self.workers, &index).map(|peer| self.reply(peer, size, false));
            }
            Op::Final(index, size) => {
                _ = pick(&self.workers, &index).map(|peer| self.reply(peer, size, true));
            }
            Op::Heartbeat(index) => {
                _ = pick(&self.workers, &index).map(|peer| self.command(peer, &WorkerCommand::Heartbeat));
            }
            Op::Ready(index) => {
                let peer = pick(&self.workers, &index).filter(|peer| !self.workers[peer].is_registered);
                _ = peer.map(|peer| self.ready(peer));
            }
            Op::ClientDies(index) => _ = pick(&self.clients, &index).map(|peer| self.client_dies(peer)),
            Op::WorkerDies(index) => _ = pick(&self.workers, &index).map(|peer| self.worker_dies(peer)),
            Op::Pass(ms) => self.pass(ms),
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.broker.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.expire();
            self.broker.tick(self.now, &mut self.peers);
            assert!(self.broker.next_due().is_none_or(|due| due > self.now), "time stands still");
            self.settle();
        }
        self.now = end;
    }

    fn say(&mut self, peer: PeerId, message: Frames) {
        self.broker.handle(self.now, peer, message, &mut self.peers);
    }

    /// Takes note of what was dropped, and has the workers read.
    fn settle(&mut self) {
        while let Some((peer, reason)) = self.peers.drops.get(self.drops_seen).copied() {
            self.drops_seen += 1;
            if let Some(at) = self.foreseen.iter().position(|one| *one == (peer, reason)) {
                self.foreseen.remove(at);
                continue;
            }
            let lost = self.known.iter().find(|(_, known)| known.asker == Some(peer));
            let lost = lost.map(|(name, known)| (*name, known.state.clone()));
            let Some((name, State::AtWork { .. })) = lost else {
                panic!("{peer} has lost nothing by {reason:?}, but {lost:?}");
            };
            self.known.remove(&name);
        }
        assert_eq!(self.foreseen, [], "what is dropped is counted");
        self.read_workers();
        self.broker.pool.check(self.now);
        let repeats = self.broker.repeats.as_ref().unwrap();
        repeats.check(self.now);
        let at_work = self.known.len() - self.kept.len();
        assert_eq!(repeats.sizes(), (at_work, self.kept.len()), "what is known is known");
    }

    fn message(&self, peer: PeerId, service: &'static str, body: Frames) -> Frames {
        let service = ServiceName::new(service).unwrap();
        let version = self.clients[&peer].version;
        ClientRequest { version, address: vec![Bytes::new()], service, body }.encode()
    }

    fn ask(&mut self, peer: PeerId, id: usize) {
        let name = (self.clients[&peer].user, id);
        // A drop says whom it hit, but not what: whoever waits for one thing asks for no other.
        let waits_for = self.known.iter().find(|(_, known)| known.asker == Some(peer));
        if waits_for.is_some_and(|(other, _)| *other != name) || !self.broker.accepts(peer, &self.peers) {
            return;
        }
        self.expire();
        let runs = &mut self.runs;
        let known = self.known.entry(name).or_insert_with(|| {
            *runs += 1;
            Known { state: State::AtWork { run: *runs, given: 0 }, asker: None }
        });
        known.asker = Some(peer);
        self.give(name);
        let id = RequestId::new(format!("id-{id}").as_bytes()).unwrap();
        let message = self.message(peer, "work", vec![id.frame(), Bytes::from(text(name))]);
        self.say(peer, message);
        self.settle();
    }

    fn manage(&mut self, peer: PeerId) {
        if self.broker.accepts(peer, &self.peers) {
            self.clients.get_mut(&peer).unwrap().expected.push(None);
            let message = self.message(peer, "mmi.service", vec![Bytes::from_static(b"work")]);
            self.say(peer, message);
            self.settle();
        }
    }

    /// A kept reply goes to whoever asked last, if its queue has room.
    fn give(&mut self, name: Name) {
        let Some(known) = self.known.get_mut(&name) else { return };
        let (State::Answered { reply }, Some(peer)) = (&known.state, known.asker) else { return };
        match self.clients.get_mut(&peer) {
            Some(client) if client.expected.len() < self.capacity => {
                client.expected.push(Some(reply.clone()));
                known.asker = None;
            }
            Some(_) => {}
            None => known.asker = None,
        }
    }

    fn read(&mut self, peer: PeerId) {
        let (messages, was_full) = self.peers.read(peer);
        let client = self.clients.get_mut(&peer).unwrap();
        let expected = std::mem::take(&mut client.expected);
        let read = messages.iter().map(|message| {
            let reply = ClientReply::parse(message).unwrap();
            assert_eq!((reply.version, &reply.address), (client.version, &vec![Bytes::new()]));
            assert_eq!(reply.part, Part::Final, "a reply is given whole");
            (reply.service.as_bytes() == b"work").then_some(reply.body)
        });
        assert_eq!(read.collect::<Vec<_>>(), expected);
        if was_full {
            for name in self.known.keys().copied().collect::<Vec<_>>() {
                if self.known[&name].asker == Some(peer) {
                    self.give(name);
                }
            }
            self.broker.drained(self.now, peer, &mut self.peers);
            self.settle();
        }
    }

    fn read_workers(&mut self) {
        let mut requests = Vec::new();
        for (peer, worker) in &mut self.workers {
            for message in self.peers.read(*peer).0 {
                match BrokerCommand::parse(&message).unwrap().1 {
                    BrokerCommand::Heartbeat => {}
                    BrokerCommand::Disconnect => *worker = Worker::default(),
                    BrokerCommand::Request { client, body } => requests.push((*peer, client, body)),
                }
            }
        }
        for (peer, tag, body) in requests {
            let name = *self.known.keys().find(|name| body == [text(**name)]).unwrap();
            let State::AtWork { run, given } = &mut self.known.get_mut(&name).unwrap().state else {
                panic!("{name:?} is done again although its reply is kept");
            };
            *given += 1;
            assert!(*given <= if self.pool.at_most_once { 1 } else { 2 });
            let run = *run;
            let mut others = self.workers.values().filter_map(|worker| worker.work.as_ref());
            assert!(others.all(|work| work.2 != run), "{name:?} is done by two");
            let worker = self.workers.get_mut(&peer).unwrap();
            assert!(worker.is_registered && worker.work.is_none());
            worker.work = Some((tag, name, run, Frames::new()));
            worker.is_spoiled = false;
        }
    }

    fn command(&mut self, peer: PeerId, command: &WorkerCommand) {
        if self.workers[&peer].is_registered || matches!(command, WorkerCommand::Ready { .. }) {
            let message = command.clone().encode(Framing::standard(Version::V02)).unwrap();
            self.expire();
            self.say(peer, message);
            self.settle();
        }
    }

    fn ready(&mut self, peer: PeerId) {
        self.workers.insert(peer, Worker { is_registered: true, ..Worker::default() });
        self.command(peer, &WorkerCommand::Ready { service: ServiceName::new("work").unwrap() });
    }

    /// A worker replies, with as many bytes as it is told.
    fn reply(&mut self, peer: PeerId, size: usize, is_final: bool) {
        let worker = self.workers.get_mut(&peer).unwrap();
        let Some((client, name, run, parts)) = &mut worker.work else { return };
        let (client, name, run) = (client.clone(), *name, *run);
        let word = format!("{}/{run}/{}/{}", text(name), parts.len(), "-".repeat(size));
        let body = vec![Bytes::from(word)];
        parts.extend(body.clone());
        if !is_final {
            let bytes = self.broker.pool.bytes() + weigh(&body);
            worker.is_spoiled |= bytes > self.pool.bytes_max;
            return self.command(peer, &WorkerCommand::Partial { client, body });
        }
        let reply = std::mem::take(parts);
        worker.work = None;
        let known = self.known.get_mut(&name).unwrap();
        let is_known = matches!(known.state, State::AtWork { run: now, .. } if now == run);
        assert!(is_known, "a request at work is known until its worker has done");
        // What did not fit is dropped.
        if !worker.is_spoiled {
            self.kept.push_back((
                self.now + self.limits.keep_ms,
                name,
                KEPT_BYTES + weigh(&reply) + "work".len() + "id-0".len(),
            ));
            known.state = State::Answered { reply };
            self.give(name);
            self.shrink();
        }
        self.command(peer, &WorkerCommand::Final { client, body });
    }

    fn shrink(&mut self) {
        let bytes_max = self.limits.bytes_max;
        if let Some((_, name, _)) = self.kept.pop_back_if(|(.., bytes)| *bytes > bytes_max) {
            self.forget(name, Drop::QueueFull);
        }
        let bytes = |kept: &VecDeque<(u64, Name, usize)>| kept.iter().map(|(.., bytes)| bytes).sum::<usize>();
        while self.kept.len() > self.limits.replies_max || bytes(&self.kept) > bytes_max {
            let (_, name, _) = self.kept.pop_front().unwrap();
            self.forget(name, Drop::QueueFull);
        }
    }

    fn expire(&mut self) {
        while let Some((_, name, _)) = self.kept.pop_front_if(|(until, ..)| *until <= self.now) {
            self.forget(name, Drop::Expired);
        }
    }

    fn forget(&mut self, name: Name, reason: Drop) {
        if let Some(peer) = self.known.remove(&name).unwrap().asker {
            self.foreseen.push((peer, reason));
        }
    }

    fn client_dies(&mut self, peer: PeerId) {
        self.clients.remove(&peer);
        for known in self.known.values_mut().filter(|known| known.asker == Some(peer)) {
            if let State::Answered { .. } = known.state {
                known.asker = None;
            }
        }
        self.peers.disconnect_abruptly(peer);
        self.broker.detach(self.now, peer, &mut self.peers);
        self.settle();
    }

    fn worker_dies(&mut self, peer: PeerId) {
        self.workers.remove(&peer);
        self.peers.disconnect_abruptly(peer);
        self.broker.detach(self.now, peer, &mut self.peers);
        self.settle();
    }

    /// Nobody says anything any more.
    fn end(mut self) {
        self.pass(8 * (self.pool.wait_ms + self.pool.silence_at_work_ms()) + self.limits.keep_ms);
        assert_eq!((self.broker.requests(), self.broker.workers()), (0, 0));
        assert_eq!(self.broker.repeats.as_ref().unwrap().sizes(), (0, 0));
        assert_eq!(self.broker.next_due(), None);
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.read(client);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let version = || prop_oneof![Just(Version::V01), Just(Version::V02)];
    let index = any::<Index>;
    prop_oneof![
        3 => (version(), 0..USERS.len()).prop_map(|(version, user)| Op::Client(version, user)),
        2 => Just(Op::Worker),
        12 => (index(), 0..IDS).prop_map(|(client, id)| Op::Ask(client, id)),
        3 => index().prop_map(Op::Manage),
        5 => index().prop_map(Op::Read),
        3 => (index(), 0..700_usize).prop_map(|(worker, size)| Op::Partial(worker, size)),
        8 => (index(), 0..700_usize).prop_map(|(worker, size)| Op::Final(worker, size)),
        5 => index().prop_map(Op::Heartbeat),
        3 => index().prop_map(Op::Ready),
        2 => index().prop_map(Op::ClientDies),
        1 => index().prop_map(Op::WorkerDies),
        4 => (1_u64..2000).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn a_request_that_is_repeated_is_done_once_while_it_is_known(
        (at_most_once, few, bytes) in (any::<bool>(), 1_usize..4, prop_oneof![Just(800_usize), Just(2000), Just(1 << 20)]),
        capacity in prop_oneof![Just(1_usize), Just(2), Just(100)],
        keep_ms in 1_u64..8000,
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let pool = PoolLimits {
            heartbeat_ms: 1000,
            wait_ms: 2500,
            at_most_once,
            queue_requests_max: few,
            requests_max: few + 1,
            bytes_max: 2 * bytes,
            client_requests_max: few,
            ..PoolLimits::default()
        };
        let limits = RepeatLimits { keep_ms, replies_max: few, bytes_max: bytes };
        let mut world = World::new(pool, limits, capacity);
        for op in ops {
            world.run(op);
        }
        world.end();
    }
}
