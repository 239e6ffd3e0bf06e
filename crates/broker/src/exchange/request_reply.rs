//! A proxy between clients and workers, as `zmq_proxy` between a ROUTER and a DEALER socket is (RFC 28).
//!
//! A request goes to a worker with the client's address in front; a reply goes to the client whose address stands in
//! front of it, and to nobody else. An address is the routing id that a DEALER or ROUTER chose, as it may want what was
//! asked under that id before. A REQ would take that for the reply to its own request: its address, like that of a client
//! that chose no id or one that another connection has, is never used again.
//!
//! Of the REP workers the one with the fewest unanswered requests is next, and of several the one that waits longest.
//! Clients are read only while some worker has room: what nobody can take yet stays in the client's own queue.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Drop, Exchange, Figure, Frames, Intake, PeerId, PeerInfo, Peers, Side, Verb};

/// Bytes of an address that no client chose: a zero and the number of the connection.
const NEW_ADDRESS_BYTES: usize = 9;

/// The state of a `request-reply` endpoint.
#[derive(Debug, Default)]
pub struct RequestReply {
    clients: BTreeMap<PeerId, Client>,
    /// Those that clients chose.
    addresses: BTreeMap<Bytes, PeerId>,
    workers: BTreeMap<PeerId, Worker>,
    queue: Queue,
}

#[derive(Debug)]
struct Client {
    address: Bytes,
    /// A REQ socket: each request has one reply.
    is_req: bool,
}

#[derive(Debug)]
struct Worker {
    /// A REP socket: answers each request once, in order.
    is_rep: bool,
    turn: Turn,
}

/// Who is next of the workers: in order, and short enough that moving some of it costs less than a tree.
#[derive(Debug, Default)]
struct Queue {
    turns: VecDeque<Turn>,
    /// How many turns were given.
    given: u64,
}

/// A worker's place: fewest unanswered requests first, then who waits longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    unanswered: u64,
    since: u64,
    worker: PeerId,
}

/// Who sends something, as far as that is the same for all of it.
enum Sender {
    Client {
        address: Bytes,
        is_req: bool,
        may_request: bool,
    },
    Worker {
        is_rep: bool,
    },
    /// A worker that may not be one, and is about to be closed.
    Nobody,
}

impl RequestReply {
    /// A proxy without peers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An address for a client that another connection never had: no socket may choose one that begins with a zero.
    fn new_address(peer: PeerId) -> Bytes {
        let mut address = BytesMut::with_capacity(NEW_ADDRESS_BYTES);
        address.put_u8(0);
        address.put_u64(peer.0);
        address.freeze()
    }

    /// The client that has an address.
    fn client_at(&self, address: &[u8]) -> Option<PeerId> {
        match *address {
            [0, a, b, c, d, e, f, g, h] => {
                let peer = PeerId(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
                self.clients.get(&peer).filter(|client| client.address == address).map(|_| peer)
            }
            _ => self.addresses.get(address).copied(),
        }
    }

    fn sender(&self, peer: PeerId, peers: &dyn Peers) -> Sender {
        if let Some(worker) = self.workers.get(&peer) {
            return Sender::Worker { is_rep: worker.is_rep };
        }
        match self.clients.get(&peer) {
            Some(Client { address, is_req }) => {
                let may_request = peers.may(peer, Verb::Request, b"");
                Sender::Client { address: address.clone(), is_req: *is_req, may_request }
            }
            None => Sender::Nobody,
        }
    }

    /// The place in the queue of the worker that is next and has room.
    fn next_worker(&self, peers: &dyn Peers) -> Option<usize> {
        self.queue.turns.iter().position(|turn| !peers.room(turn.worker).is_full())
    }

    /// Does what follows from a message. One of a client goes to the worker at the place `next`.
    fn pass(
        &mut self,
        peer: PeerId,
        sender: &Sender,
        next: Option<usize>,
        mut frames: Frames,
        peers: &mut dyn Peers,
    ) {
        match sender {
            Sender::Client { may_request: false, .. } | Sender::Nobody => {
                peers.dropped(peer, Drop::Forbidden);
            }
            Sender::Client { address, is_req, .. } => {
                let worker = next.and_then(|next| self.queue.turns.get(next)).map(|turn| turn.worker);
                let (Some(place), Some(worker)) = (next, worker.and_then(|id| self.workers.get_mut(&id)))
                else {
                    return peers.dropped(peer, Drop::Unroutable);
                };
                // Without the empty frame a REP worker could not tell the address from the request.
                if (*is_req && frames.first().is_none_or(|frame| !frame.is_empty()))
                    || (worker.is_rep && !frames.iter().any(Bytes::is_empty))
                {
                    return peers.dropped(peer, Drop::Malformed);
                }
                frames.insert(0, address.clone());
                worker.requeue(&mut self.queue, Some(place), |unanswered| unanswered + 1);
                peers.send(worker.turn.worker, frames);
            }
            Sender::Worker { is_rep } => {
                // Of others, what has been answered is not known, and they take turns.
                if *is_rep && let Some(worker) = self.workers.get_mut(&peer) {
                    worker.requeue(&mut self.queue, None, |unanswered| unanswered.saturating_sub(1));
                }
                self.reply(peer, frames, peers);
            }
        }
    }

    fn reply(&mut self, worker: PeerId, mut frames: Frames, peers: &mut dyn Peers) {
        if frames.len() < 2 {
            return peers.dropped(worker, Drop::Malformed);
        }
        let address = frames.remove(0);
        let Some(client) = self.client_at(&address) else {
            return peers.dropped(worker, Drop::Unroutable);
        };
        let bytes = frames.iter().map(Bytes::len).sum();
        if !peers.room(client).fits(bytes) {
            return peers.dropped(client, Drop::QueueFull);
        }
        peers.send(client, frames);
    }
}

impl Queue {
    fn next_turn(&mut self, worker: PeerId, unanswered: u64) -> Turn {
        self.given += 1;
        Turn { unanswered, since: self.given, worker }
    }

    fn enter(&mut self, turn: Turn) {
        // Mostly it is the last.
        if self.turns.back().is_none_or(|last| *last < turn) {
            return self.turns.push_back(turn);
        }
        let place = self.turns.partition_point(|other| *other < turn);
        self.turns.insert(place, turn);
    }

    fn leave(&mut self, turn: &Turn) {
        if let Ok(place) = self.turns.binary_search(turn) {
            self.turns.remove(place);
        }
    }
}

impl Worker {
    /// Moves it from its place, if that is known, to the one after `change` in unanswered requests.
    fn requeue(&mut self, queue: &mut Queue, place: Option<usize>, change: impl FnOnce(u64) -> u64) {
        match place {
            Some(place) => drop(queue.turns.remove(place)),
            None => queue.leave(&self.turn),
        }
        let unanswered = if self.is_rep { change(self.turn.unanswered) } else { 0 };
        self.turn = queue.next_turn(self.turn.worker, unanswered);
        queue.enter(self.turn);
    }
}

impl Exchange for RequestReply {
    fn attach(&mut self, _now_ms: u64, peer: PeerId, info: &PeerInfo, peers: &mut dyn Peers) {
        match info.side {
            Side::Front => {
                let (is_req, chosen) = (info.socket_type == "REQ", &info.routing_id);
                let keeps = !is_req && chosen.first().is_some_and(|first| *first != 0);
                let address = if keeps && !self.addresses.contains_key(chosen) {
                    self.addresses.insert(chosen.clone(), peer);
                    chosen.clone()
                } else {
                    Self::new_address(peer)
                };
                self.clients.insert(peer, Client { address, is_req });
            }
            Side::Back if !peers.may(peer, Verb::Serve, b"") => {
                peers.dropped(peer, Drop::Forbidden);
                peers.disconnect(peer, "it may not be a worker here");
            }
            Side::Back => {
                let turn = self.queue.next_turn(peer, 0);
                self.queue.enter(turn);
                self.workers.insert(peer, Worker { is_rep: info.socket_type == "REP", turn });
            }
        }
    }

    fn handle(&mut self, _now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        let sender = self.sender(peer, peers);
        let is_client = matches!(sender, Sender::Client { .. });
        let next = if is_client { self.next_worker(peers) } else { None };
        self.pass(peer, &sender, next, frames, peers);
    }

    fn handle_all(
        &mut self,
        _now_ms: u64,
        peer: PeerId,
        inbox: &mut VecDeque<Frames>,
        peers: &mut dyn Peers,
    ) -> Intake {
        let sender = self.sender(peer, peers);
        let is_client = matches!(sender, Sender::Client { .. });
        while let Some(frames) = inbox.pop_front() {
            let next = if is_client { self.next_worker(peers) } else { None };
            if is_client && next.is_none() {
                inbox.push_front(frames);
                return Intake::Refused;
            }
            self.pass(peer, &sender, next, frames, peers);
            if peers.take_crowded() {
                return Intake::Crowded;
            }
        }
        Intake::All
    }

    fn detach(&mut self, _now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if let Some(client) = self.clients.remove(&peer) {
            self.addresses.remove(&client.address);
        }
        let Some(worker) = self.workers.remove(&peer) else { return };
        self.queue.leave(&worker.turn);
        for _ in 0..worker.turn.unanswered {
            peers.dropped(peer, Drop::WorkerLost);
        }
    }

    fn drained(&mut self, _now_ms: u64, _peer: PeerId, _peers: &mut dyn Peers) {}

    fn rights_changed(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if self.workers.contains_key(&peer) && !peers.may(peer, Verb::Serve, b"") {
            self.detach(now_ms, peer, peers);
            peers.disconnect(peer, "it may not be a worker here any more");
        }
    }

    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        // Replies are always taken: what a client does not read is dropped for it alone.
        !self.clients.contains_key(&peer) || self.next_worker(peers).is_some()
    }

    fn next_due(&self) -> Option<u64> {
        None
    }

    fn tick(&mut self, _now_ms: u64, _peers: &mut dyn Peers) {}

    fn figures(&self) -> Vec<(Figure, u64)> {
        let unanswered = self.workers.values().map(|worker| worker.turn.unanswered);
        let busy = unanswered.clone().filter(|count| *count > 0).count();
        vec![
            (Figure::Workers, self.workers.len() as u64),
            (Figure::BusyWorkers, busy as u64),
            (Figure::Requests, unanswered.sum()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::exchange::Room;

    /// Peers with queues of a few messages.
    #[derive(Debug, Default)]
    struct Model {
        forbidden: Option<Verb>,
        queues: BTreeMap<PeerId, VecDeque<Frames>>,
        dropped: Vec<Drop>,
        /// How long a queue becomes before it is crowded, if it ever is.
        crowded_at: Option<usize>,
        is_crowded: bool,
    }

    const QUEUE: usize = 3;

    impl Peers for Model {
        fn send(&mut self, peer: PeerId, frames: Frames) {
            if let Some(queue) = self.queues.get_mut(&peer) {
                assert!(queue.len() < QUEUE, "sent into a full queue");
                queue.push_back(frames);
                self.is_crowded |= self.crowded_at.is_some_and(|length| queue.len() >= length);
            }
        }

        fn take_crowded(&mut self) -> bool {
            std::mem::take(&mut self.is_crowded)
        }

        fn room(&self, peer: PeerId) -> Room {
            let messages = self.queues.get(&peer).map_or(0, |queue| QUEUE - queue.len());
            Room { messages, bytes: if messages > 0 { usize::MAX } else { 0 } }
        }

        fn await_room(&mut self, _peer: PeerId) {}

        fn may(&self, _peer: PeerId, verb: Verb, _name: &[u8]) -> bool {
            self.forbidden != Some(verb)
        }

        fn dropped(&mut self, _peer: PeerId, reason: Drop) {
            self.dropped.push(reason);
        }

        fn disconnect(&mut self, _peer: PeerId, _explanation: &str) {}
    }

    struct World {
        proxy: RequestReply,
        peers: Model,
        next: u64,
    }

    impl World {
        fn new() -> Self {
            Self { proxy: RequestReply::new(), peers: Model::default(), next: 1 }
        }

        fn attach(&mut self, side: Side, socket_type: &'static str, routing_id: &'static str) -> PeerId {
            let peer = PeerId(self.next);
            self.next += 1;
            self.peers.queues.insert(peer, VecDeque::new());
            let info = PeerInfo {
                side,
                socket_type,
                routing_id: Bytes::from_static(routing_id.as_bytes()),
                user: Arc::from("anybody"),
            };
            self.proxy.attach(0, peer, &info, &mut self.peers);
            peer
        }

        fn detach(&mut self, peer: PeerId) {
            self.peers.queues.remove(&peer);
            self.proxy.detach(0, peer, &mut self.peers);
        }

        fn say(&mut self, peer: PeerId, frames: Vec<Bytes>) {
            let mut inbox = VecDeque::from([frames]);
            match self.proxy.handle_all(0, peer, &mut inbox, &mut self.peers) {
                Intake::Refused => {
                    assert!(!self.accepts(peer));
                    self.proxy.handle(0, peer, inbox.pop_front().unwrap(), &mut self.peers);
                }
                taken => assert!(taken == Intake::All && inbox.is_empty()),
            }
        }

        fn ask(&mut self, client: PeerId, what: &'static str) {
            self.say(client, vec![Bytes::new(), Bytes::from_static(what.as_bytes())]);
        }

        fn accepts(&self, peer: PeerId) -> bool {
            self.proxy.accepts(peer, &self.peers)
        }

        fn take(&mut self, peer: PeerId) -> Option<Frames> {
            self.peers.queues.get_mut(&peer)?.pop_front()
        }
    }

    #[test]
    fn a_reply_reaches_the_client_that_asked() {
        let mut world = World::new();
        let (ada, bob) = (world.attach(Side::Front, "REQ", ""), world.attach(Side::Front, "REQ", "bob"));
        assert!(!world.accepts(ada), "nobody works yet");
        let worker = world.attach(Side::Back, "REP", "");
        assert!(world.accepts(ada));
        world.ask(ada, "a");
        world.ask(bob, "b");
        for _ in 0..2 {
            let request = world.take(worker).unwrap();
            world.say(worker, request);
        }
        assert_eq!(world.take(ada).unwrap(), ["", "a"]);
        assert_eq!(world.take(bob).unwrap(), ["", "b"]);
        assert!(world.peers.dropped.is_empty());
    }

    #[test]
    fn a_late_reply_does_not_answer_the_next_connection_of_the_same_name() {
        for socket in ["REP", "DEALER", "ROUTER"] {
            let mut world = World::new();
            let worker = world.attach(Side::Back, socket, "");
            let first = world.attach(Side::Front, "REQ", "ada");
            world.ask(first, "old");
            world.detach(first);
            let second = world.attach(Side::Front, "REQ", "ada");
            world.ask(second, "new");
            for _ in 0..2 {
                let request = world.take(worker).unwrap();
                world.say(worker, request);
            }
            assert_eq!(world.take(second).unwrap(), ["", "new"], "{socket}");
            assert_eq!(world.peers.dropped, [Drop::Unroutable], "{socket}");
        }
    }

    #[test]
    fn an_address_of_another_length_or_of_nobody_is_no_clients() {
        let mut world = World::new();
        let worker = world.attach(Side::Back, "ROUTER", "");
        let ada = world.attach(Side::Front, "DEALER", "ada");
        let addresses: [&[u8]; 4] = [b"", b"\0", &[0, 0, 0, 0, 0, 0, 0, 0, 2], &[0, 0, 0, 0, 0, 0, 0, 0, 9]];
        for address in addresses {
            world.say(worker, vec![Bytes::from_static(address), Bytes::new(), Bytes::from_static(b"forged")]);
        }
        assert_eq!(world.take(ada), None, "it has chosen another address");
        assert_eq!(world.peers.dropped, [Drop::Unroutable; 4]);
    }

    #[test]
    fn a_routing_id_that_somebody_has_is_not_taken_over() {
        let mut world = World::new();
        let worker = world.attach(Side::Back, "ROUTER", "");
        let ada = world.attach(Side::Front, "DEALER", "ada");
        let forger = world.attach(Side::Front, "DEALER", "ada");
        world.ask(forger, "who am I");
        world.say(worker, vec![Bytes::from_static(b"ada"), Bytes::new(), Bytes::from_static(b"for ada")]);
        assert_eq!(world.take(ada).unwrap(), ["", "for ada"]);
        assert_eq!(world.take(forger), None);
        assert_ne!(world.take(worker).unwrap()[0], "ada");
    }

    #[test]
    fn who_may_not_serve_is_given_nothing_and_believed_nothing() {
        let mut world = World::new();
        let ada = world.attach(Side::Front, "DEALER", "ada");
        let before = world.attach(Side::Back, "DEALER", "");
        world.peers.forbidden = Some(Verb::Serve);
        let forger = world.attach(Side::Back, "DEALER", "");
        world.ask(ada, "for an honest worker");
        assert_eq!(world.take(forger), None);
        world.say(forger, vec![Bytes::from_static(b"ada"), Bytes::new(), Bytes::from_static(b"forged")]);
        assert_eq!(world.take(ada), None);
        world.proxy.rights_changed(0, before, &mut world.peers);
        assert!(!world.accepts(ada), "who has lost the right is no worker any more");
    }

    #[test]
    fn an_idle_worker_is_chosen_before_a_busy_one() {
        let mut world = World::new();
        let client = world.attach(Side::Front, "DEALER", "");
        let workers = [0; 3].map(|_| world.attach(Side::Back, "REP", ""));
        for _ in 0..3 {
            world.ask(client, "x");
        }
        let request = world.take(workers[1]).unwrap();
        world.say(workers[1], request);
        world.ask(client, "y");
        assert_eq!(world.take(workers[1]).unwrap().last().unwrap(), "y");
    }

    /// What [`Exchange::handle_all`] comes to.
    fn one_by_one(world: &mut World, peer: PeerId, inbox: &mut VecDeque<Frames>) -> Intake {
        while let Some(frames) = inbox.pop_front() {
            if !world.accepts(peer) {
                inbox.push_front(frames);
                return Intake::Refused;
            }
            world.proxy.handle(0, peer, frames, &mut world.peers);
            if world.peers.take_crowded() {
                return Intake::Crowded;
            }
        }
        Intake::All
    }

    fn any_message() -> impl Strategy<Value = Frames> {
        let address =
            prop_oneof![Just(vec![0, 0, 0, 0, 0, 0, 0, 0, 1]), Just(b"ada".to_vec()), Just(b"who".to_vec())];
        prop_oneof![
            4 => any::<u8>().prop_map(|body| vec![vec![], vec![body]]),
            4 => (address, any::<u8>()).prop_map(|(address, body)| vec![address, vec![], vec![body]]),
            1 => proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3), 1..3),
        ]
        .prop_map(|frames| frames.into_iter().map(Bytes::from).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// Messages that are handed over together leave everything as if they came one by one.
        #[test]
        fn together_is_as_one_by_one(
            batches in proptest::collection::vec((0..6_u8, proptest::collection::vec(any_message(), 1..8)), 1..20),
            reads in proptest::collection::vec(0..6_u8, 20),
            crowded_at in proptest::option::of(1..4_usize),
            forbidden in proptest::option::weighted(0.2, Just(Verb::Request)),
        ) {
            let mut worlds = [World::new(), World::new()];
            for world in &mut worlds {
                (world.peers.crowded_at, world.peers.forbidden) = (crowded_at, forbidden);
                for (side, socket_type, id) in [
                    (Side::Front, "REQ", ""),
                    (Side::Front, "DEALER", "ada"),
                    (Side::Back, "REP", ""),
                    (Side::Back, "REP", ""),
                    (Side::Back, "ROUTER", ""),
                ] {
                    world.attach(side, socket_type, id);
                }
            }
            for ((who, batch), read) in batches.into_iter().zip(reads) {
                // One of them is nobody.
                let peer = PeerId(u64::from(who) + 1);
                let [together, alone] = &mut worlds;
                let mut inboxes = [VecDeque::from(batch.clone()), VecDeque::from(batch)];
                let taken = together.proxy.handle_all(0, peer, &mut inboxes[0], &mut together.peers);
                prop_assert_eq!(taken, one_by_one(alone, peer, &mut inboxes[1]));
                prop_assert_eq!(&inboxes[0], &inboxes[1]);
                prop_assert_eq!(format!("{:?}", together.proxy), format!("{:?}", alone.proxy));
                prop_assert_eq!(format!("{:?}", together.peers), format!("{:?}", alone.peers));
                for world in &mut worlds {
                    world.take(PeerId(u64::from(read) + 1));
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Client(bool, u8),
        Worker(bool),
        Detach(u8),
        Ask(u8),
        Work(u8),
        Read(u8),
        Garbage(u8, Vec<Vec<u8>>),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        // Without the colon by which what was asked in earnest is known.
        let garbage = proptest::collection::vec(proptest::collection::vec(0..b':', 0..9), 1..4);
        prop_oneof![
            2 => (any::<bool>(), 0..3_u8).prop_map(|(req, name)| Step::Client(req, name)),
            2 => any::<bool>().prop_map(Step::Worker),
            1 => any::<u8>().prop_map(Step::Detach),
            8 => any::<u8>().prop_map(Step::Ask),
            8 => any::<u8>().prop_map(Step::Work),
            6 => any::<u8>().prop_map(Step::Read),
            1 => (any::<u8>(), garbage).prop_map(|(who, frames)| Step::Garbage(who, frames)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Whoever comes, goes, asks, works and says nonsense: what a client gets answers a request of that very
        /// connection, and no queue grows over its bound.
        #[test]
        fn every_reply_is_the_askers(steps in proptest::collection::vec(any_step(), 1..120)) {
            let mut world = World::new();
            let (mut clients, mut workers): (Vec<PeerId>, Vec<PeerId>) = Default::default();
            let mut asked = 0_u32;
            let pick = |from: &[PeerId], nth: u8| {
                (!from.is_empty()).then(|| from[usize::from(nth) % from.len()])
            };
            for step in steps {
                match step {
                    Step::Client(req, name) => {
                        let name = ["", "ada", "bob"][usize::from(name)];
                        clients.push(world.attach(Side::Front, if req { "REQ" } else { "DEALER" }, name));
                    }
                    Step::Worker(rep) => {
                        workers.push(world.attach(Side::Back, if rep { "REP" } else { "ROUTER" }, ""));
                    }
                    Step::Detach(who) => {
                        let all = [clients.clone(), workers.clone()].concat();
                        let Some(peer) = pick(&all, who) else { continue };
                        world.detach(peer);
                        clients.retain(|other| *other != peer);
                        workers.retain(|other| *other != peer);
                    }
                    Step::Ask(who) => {
                        let Some(client) = pick(&clients, who) else { continue };
                        if world.accepts(client) {
                            asked += 1;
                            let body = format!("{client}:{asked}");
                            world.say(client, vec![Bytes::new(), Bytes::from(body)]);
                        }
                    }
                    Step::Work(who) => {
                        let Some(worker) = pick(&workers, who) else { continue };
                        if let Some(request) = world.take(worker) {
                            world.say(worker, request);
                        }
                    }
                    Step::Read(who) => {
                        let Some(client) = pick(&clients, who) else { continue };
                        let Some(reply) = world.take(client) else { continue };
                        // A DEALER that chose its name gets what was asked under the name, as in libzmq.
                        let text = String::from_utf8(reply.last().unwrap().to_vec()).unwrap_or_default();
                        if !text.contains(':') {
                            continue;
                        }
                        let is_named = world.proxy.clients[&client].address.first() != Some(&0);
                        prop_assert!(!(is_named && world.proxy.clients[&client].is_req));
                        if !is_named {
                            prop_assert_eq!(text.split(':').next().unwrap(), client.to_string());
                        }
                    }
                    Step::Garbage(who, frames) => {
                        // Of clients only: a worker that lies is believed, as it is in libzmq.
                        let Some(client) = pick(&clients, who) else { continue };
                        if world.accepts(client) {
                            world.say(client, frames.into_iter().map(Bytes::from).collect());
                        }
                    }
                }
            }
            for client in clients { world.detach(client); }
            for worker in workers { world.detach(worker); }
            prop_assert!(world.proxy.workers.is_empty() && world.proxy.queue.turns.is_empty());
            prop_assert!(world.proxy.addresses.is_empty());
        }
    }
}
