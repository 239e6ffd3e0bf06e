//! Servers, a reference, clients and a bad network in one thread, and what must hold whatever happens to them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::catch_up::{Exchange, Letter};
use crate::lamport::{CLOCK_MAX, FOLLOWED_MAX};
use crate::record::{Key, Record};
use crate::reference::machine::{Entries, Reference};
use crate::server::machine::{Output, Server};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::time::Now;
use crate::wire::{self, ERROR, Envelope, OK, ReplyData, RequestData};

const STEP_MS: u64 = 100;

/// How long a question to the reference takes before it is given up.
const ANSWER_MS: u64 = 1_000;

/// What happens to the world for a while.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// A server is killed, and starts again at the end.
    Crash(usize),
    /// A server stands still, and so does its clock.
    Pause(usize),
    /// A server hears nobody and is heard by nobody, but for the reference.
    CutFromProxy(usize),
    /// A server cannot reach the reference.
    CutFromReference(usize),
    /// The reference is killed, and starts again at the end.
    ReferenceCrash,
    ReferencePause,
}

fn fault(servers: usize) -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::None),
        (0..servers).prop_map(Fault::Crash),
        (0..servers).prop_map(Fault::Pause),
        (0..servers).prop_map(Fault::CutFromProxy),
        (0..servers).prop_map(Fault::CutFromReference),
        Just(Fault::ReferenceCrash),
        Just(Fault::ReferencePause),
    ]
}

struct Host {
    name: String,
    server: Option<Server<MemoryStore>>,
    /// What is on its disk while it does not run.
    disk: MemoryStore,
    /// By how much its wall clock is wrong.
    error_ms: i64,
    /// What is under way to it: when it arrives, and what.
    inbox: Vec<(u64, Bytes, Bytes)>,
    question: Option<Asked>,
}

/// A question to the reference.
struct Asked {
    /// When it is given up.
    until_ms: u64,
    /// When the answer arrives, if there is one.
    answer: Option<(u64, Vec<u8>)>,
}

struct World {
    hosts: Vec<Host>,
    reference: Option<Reference>,
    reference_disk: Entries,
    now_ms: u64,
    chance: StdRng,
    /// Of a hundred publications, so many are lost, and so many come twice.
    loss: u32,
    fault: Fault,
    /// Everything to which a server said OK.
    taken: BTreeSet<Key>,
}

impl World {
    fn new(servers: usize, seed: u64, loss: u32) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let hosts = (1..=servers).map(|number| {
            let name = format!("server-{number:03}");
            let server = Some(Server::new(&name, MemoryStore::default()));
            let error_ms = chance.random_range(-20_000..20_000);
            let (disk, inbox, question) = (MemoryStore::default(), Vec::new(), None);
            Host { name, server, disk, error_ms, inbox, question }
        });
        let hosts = hosts.collect();
        let mut world = Self {
            hosts,
            reference: None,
            reference_disk: Entries::new(),
            now_ms: 0,
            chance,
            loss,
            fault: Fault::None,
            taken: BTreeSet::new(),
        };
        world.reference = Some(Reference::new(world.now(0), Entries::new()));
        world
    }

    fn now(&self, error_ms: i64) -> Now {
        Now { monotonic_ms: self.now_ms, wall_ms: 1_700_000_000_000 + self.now_ms as i64 + error_ms }
    }

    fn begin(&mut self, fault: Fault) {
        self.fault = fault;
        match fault {
            Fault::Crash(host) => {
                let host = &mut self.hosts[host];
                host.disk = host.server.take().unwrap().store;
                (host.question, host.inbox) = (None, Vec::new());
            }
            Fault::ReferenceCrash => self.reference = None,
            _ => {}
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.fault, Fault::None) {
            Fault::Crash(host) => {
                let host = &mut self.hosts[host];
                host.server = Some(Server::new(&host.name, host.disk.clone()));
            }
            Fault::ReferenceCrash => {
                self.reference = Some(Reference::new(self.now(0), self.reference_disk.clone()));
            }
            _ => {}
        }
    }

    fn run(&mut self, span_ms: u64) {
        for _ in 0..span_ms / STEP_MS {
            self.now_ms += STEP_MS;
            for host in 0..self.hosts.len() {
                if !matches!(self.fault, Fault::Pause(paused) if paused == host) {
                    self.step(host);
                }
            }
            if !matches!(self.fault, Fault::ReferencePause) {
                let now = self.now(0);
                if let Some(reference) = &mut self.reference {
                    reference.handle_tick(now);
                    if let Some(entries) = reference.take_changed() {
                        self.reference_disk = entries.clone();
                    }
                }
            }
            self.check_always();
        }
    }

    fn step(&mut self, number: usize) {
        let now = self.now(self.hosts[number].error_ms);
        let host = &mut self.hosts[number];
        let Some(server) = &mut host.server else { return };
        let due = |arrives_ms: u64| arrives_ms <= now.monotonic_ms;
        let arrived: Vec<_> = host.inbox.extract_if(.., |(at_ms, ..)| due(*at_ms)).collect();
        let publications: Vec<_> = arrived.into_iter().map(|(_, topic, body)| (topic, body)).collect();
        server.handle_publications(now, &publications).unwrap();
        match host.question.take() {
            Some(Asked { answer: Some((at_ms, answer)), .. }) if due(at_ms) => {
                server.handle_answer(now, Some(&answer)).unwrap();
            }
            Some(asked) if due(asked.until_ms) => server.handle_answer(now, None).unwrap(),
            question => host.question = question,
        }
        server.handle_tick(now).unwrap();
        self.perform(number);
    }

    fn perform(&mut self, number: usize) {
        while let Some(output) = self.hosts[number].server.as_mut().and_then(Server::poll_output) {
            match output {
                Output::Say(_) | Output::Warn(_) => {}
                Output::Publish { topic, body } => self.publish(number, topic, &body),
                Output::Ask { body } => {
                    assert!(self.hosts[number].question.is_none(), "one question at a time");
                    let cut = matches!(self.fault, Fault::CutFromReference(cut) if cut == number);
                    let silent = cut || matches!(self.fault, Fault::ReferencePause);
                    let answer = self.reference.as_mut().filter(|_| !silent).map(|reference| {
                        let wall_ms = 1_700_000_000_000 + self.now_ms as i64;
                        let now = Now { monotonic_ms: self.now_ms, wall_ms };
                        let answer = reference.handle_request(now, &body);
                        if let Some(entries) = reference.take_changed() {
                            self.reference_disk = entries.clone();
                        }
                        answer
                    });
                    let arrives_ms = self.now_ms + self.chance.random_range(0..400);
                    let answer = answer.map(|answer| (arrives_ms, answer));
                    self.hosts[number].question = Some(Asked { until_ms: self.now_ms + ANSWER_MS, answer });
                }
            }
        }
    }

    fn publish(&mut self, from: usize, topic: String, body: &Bytes) {
        let cut = |host: usize, fault| matches!(fault, Fault::CutFromProxy(cut) if cut == host);
        for to in 0..self.hosts.len() {
            if cut(from, self.fault) || cut(to, self.fault) || self.hosts[to].server.is_none() {
                continue;
            }
            let copies = match self.chance.random_range(0..100) {
                roll if roll < self.loss => 0,
                roll if roll < 2 * self.loss => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let late_ms = self.chance.random_range(0..300);
                self.hosts[to].inbox.push((self.now_ms + late_ms, topic.clone().into(), body.clone()));
            }
        }
    }

    fn request(&mut self, number: usize, service: &str, data: RequestData) -> Option<ReplyData> {
        if matches!(self.fault, Fault::Pause(paused) if paused == number) {
            return None;
        }
        let now = self.now(self.hosts[number].error_ms);
        let server = self.hosts[number].server.as_mut()?;
        let request = wire::encode(&Envelope { service: service.to_owned(), data }).unwrap();
        let reply = server.handle_request(now, &[request]).unwrap();
        let reply: Envelope<ReplyData> = wire::decode(&reply).unwrap();
        if let Some(record) = server.store.records.last().filter(|_| reply.data.status == OK) {
            self.taken.insert(Key::of(record));
        }
        self.perform(number);
        Some(reply.data)
    }

    fn write(&mut self, number: usize, text: String) {
        let (user, message) = (Some("ana".to_owned()), Some(text));
        let data = match self.chance.random_range(0..4) {
            0 => {
                let (src, dst) = (user, Some("bia".to_owned()));
                self.request(number, "message", RequestData { src, dst, message, ..RequestData::default() })
            }
            1 => {
                let user = Some(format!("user{}", self.chance.random_range(0..20)));
                self.request(number, "register_user", RequestData { user, ..RequestData::default() })
            }
            _ => {
                let channel = Some("general".to_owned());
                self.request(
                    number,
                    "publish",
                    RequestData { user, channel, message, ..RequestData::default() },
                )
            }
        };
        if let Some(reply) = data {
            // A user that this server has not heard of cannot be written to.
            assert!(reply.status == OK || reply.message == "usuário desconhecido", "{reply:?}");
        }
    }

    /// What holds at every moment.
    fn check_always(&self) {
        let acting = self
            .hosts
            .iter()
            .filter(|host| host.server.as_ref().is_some_and(|server| server.election.may_act(self.now_ms)));
        let acting: Vec<&str> = acting.map(|host| host.name.as_str()).collect();
        assert!(acting.len() <= 1, "two coordinators act at {} ms: {acting:?}", self.now_ms);
    }

    /// What holds when all is well again.
    fn check_settled(&self) {
        let servers: Vec<_> = self.hosts.iter().map(|host| host.server.as_ref().unwrap()).collect();
        let mut kept: BTreeMap<&str, BTreeSet<Key>> = BTreeMap::new();
        for server in &servers {
            let records = &server.store.records;
            kept.insert(&server.name, records.iter().map(Key::of).collect());
            assert_eq!(kept[server.name.as_str()].len(), records.len(), "a record stands twice");
            let mut highest = 0;
            for record in records {
                if let Record::Publish { origin, clock, .. } | Record::Message { origin, clock, .. } = record
                {
                    assert!(*origin != server.name || *clock > highest, "{record:?} after {highest}");
                    highest = highest.max(*clock);
                }
            }
            assert!(kept[server.name.as_str()].is_superset(&self.taken), "{} lost something", server.name);
            assert_eq!(kept[server.name.as_str()], kept["server-001"]);
            assert_eq!(server.election.coordinator(), servers[0].election.coordinator());
        }
        let acting = servers.iter().filter(|server| server.election.may_act(self.now_ms)).count();
        assert_eq!(acting, 1, "one coordinator acts");
        let times = self
            .hosts
            .iter()
            .zip(&servers)
            .map(|(host, server)| server.clock.read(self.now(host.error_ms).wall_ms));
        let times: Vec<i64> = times.collect();
        let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
        assert!(spread <= 1_000, "the clocks are {spread} ms apart: {times:?}");
    }
}

/// How many worlds are tried, unless `PROPTEST_CASES` says otherwise.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(128), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_any_faults_all_servers_have_the_same_and_one_of_them_coordinates(
        servers in 2_usize..5,
        seed in any::<u64>(),
        loss in 0_u32..30,
        faults in proptest::collection::vec((fault(2), 500_u64..12_000), 0..8),
    ) {
        let mut world = World::new(servers, seed, loss);
        for (fault, span_ms) in faults {
            world.begin(fault);
            for piece in 0..span_ms / 500 {
                world.run(500);
                let number = world.chance.random_range(0..servers);
                world.write(number, format!("é {piece}"));
            }
            world.end();
        }
        world.loss = 0;
        world.run(45_000);
        world.check_settled();
    }
}

#[test]
fn a_server_that_comes_late_gets_everything_also_what_an_original_said() {
    let mut world = World::new(3, 1, 0);
    world.begin(Fault::Crash(2));
    for number in 0..600 {
        world.write(number % 2, format!("é {number}"));
        world.run(STEP_MS);
    }
    // A server that others wrote, which starts to count anew, and says the same clock of two things.
    for message in ["one", "two"] {
        let record = Record::Publish {
            origin: "original".into(),
            channel: "general".into(),
            user: "bob".into(),
            message: message.into(),
            timestamp: "2025-01-31T10:00:00.000000Z".into(),
            clock: 1,
        };
        let body = wire::encode(&record).unwrap();
        world.hosts[0].inbox.push((0, "replica".into(), body.clone()));
        world.taken.insert(Key::of(&record));
    }
    world.end();
    world.run(45_000);
    world.check_settled();
    assert!(world.hosts[2].server.as_ref().unwrap().store.records.len() > 250);
}

#[test]
fn a_server_that_has_lost_its_disk_gets_its_own_records_back() {
    let mut world = World::new(3, 7, 0);
    for number in 0..60 {
        world.write(number % 3, format!("é {number}"));
        world.run(STEP_MS);
    }
    world.run(5_000);
    world.begin(Fault::Crash(0));
    world.hosts[0].disk = MemoryStore::default();
    world.run(10_000);
    world.end();
    world.run(5_000);
    let counts: Vec<_> =
        world.hosts.iter().map(|host| host.server.as_ref().unwrap().store.records.len()).collect();
    assert!(counts[0] > 30 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

fn ask(world: &mut World, service: &str, data: RequestData) -> ReplyData {
    world.request(0, service, data).unwrap()
}

#[test]
fn the_services_answer_as_clients_expect() {
    let mut world = World::new(1, 3, 0);
    let some = |text: &str| Some(text.to_owned());
    let reply = ask(&mut world, "list_channels", RequestData { clock: 41, ..RequestData::default() });
    assert_eq!(reply.channels.unwrap(), ["dev", "general", "random"]);
    assert_eq!((reply.status.as_str(), reply.clock), (OK, 43));
    assert_eq!(reply.timestamp.len(), 24);

    let to_nobody =
        RequestData { src: some("ana"), dst: some("bia"), message: some("oi"), ..RequestData::default() };
    assert_eq!(ask(&mut world, "message", to_nobody.clone()).status, OK, "nobody is registered");
    for _ in 0..2 {
        let reply =
            ask(&mut world, "register_user", RequestData { user: some("ana"), ..RequestData::default() });
        assert_eq!(reply.users.unwrap(), ["ana"]);
    }
    assert_eq!(ask(&mut world, "message", to_nobody).message, "usuário desconhecido");

    let publish = |user: &str, channel: &str, message: &str| RequestData {
        user: some(user),
        channel: some(channel),
        message: some(message),
        ..RequestData::default()
    };
    assert_eq!(ask(&mut world, "publish", publish("ana", "general", "oi")).status, OK);
    for (data, reason) in [
        (publish("ana", "nowhere", "oi"), "canal inexistente"),
        (publish("general", "general", "oi"), "user: é o nome de um canal"),
        (publish("a b", "general", "oi"), "user: o nome tem apenas letras, algarismos, '-', '_' e '.'"),
        (RequestData::default(), "falta o campo user"),
        (publish("ana", "general", &"x".repeat(20_000)), "a mensagem tem 20000 bytes, o limite é 16384"),
        (RequestData { clock: 1 << 40, ..RequestData::default() }, "o relógio lógico está adiantado demais"),
    ] {
        let reply = ask(&mut world, "publish", data);
        assert_eq!((reply.status.as_str(), reply.message.as_str()), (ERROR, reason));
    }
    let unknown = ask(&mut world, "nonsense", RequestData::default());
    assert_eq!((unknown.status.as_str(), unknown.message.as_str()), (ERROR, "serviço desconhecido"));
    assert_eq!(world.hosts[0].server.as_ref().unwrap().store.records.len(), 3);
}

#[test]
fn a_publication_is_kept_and_goes_to_its_topic_and_to_the_servers() {
    let mut server = Server::new("server-001", MemoryStore::default());
    let now = Now { monotonic_ms: 0, wall_ms: 0 };
    let data = RequestData {
        user: Some("ana".into()),
        channel: Some("dev".into()),
        message: Some("oi".into()),
        ..RequestData::default()
    };
    let request = wire::encode(&Envelope { service: "publish".to_owned(), data }).unwrap();
    server.handle_request(now, &[request]).unwrap();
    let outputs: Vec<_> = std::iter::from_fn(|| server.poll_output()).collect();
    let [Output::Publish { topic: first, body }, Output::Publish { topic: second, body: same }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((first.as_str(), second.as_str(), body), ("dev", "replica", same));
    let record: Record = wire::decode(body).unwrap();
    assert_eq!(server.store.records, [record]);
    assert!(server.store.reserved_clock() > server.lamport.now());
    let again = Server::new("server-001", server.store);
    assert!(again.lamport.now() > server.lamport.now(), "no clock that was told is told again");
}

#[test]
fn a_server_of_the_same_name_is_noticed_by_clocks_that_are_not_its_own() {
    let now = Now { monotonic_ms: 0, wall_ms: 0 };
    let mut server = Server::new("server-001", MemoryStore::default());
    let mut warnings = |topic: &'static str, clock: u64| {
        let (origin, channel) = ("server-001".to_owned(), "dev".to_owned());
        let (user, message, timestamp) = ("ana".to_owned(), "oi".to_owned(), "now".to_owned());
        let record = Record::Publish { origin, channel, user, message, timestamp, clock };
        server.handle_publications(now, &[(topic.into(), wire::encode(&record).unwrap())]).unwrap();
        std::iter::from_fn(|| server.poll_output()).filter(|out| matches!(out, Output::Warn(_))).count()
    };
    assert_eq!(warnings("replica", 0), 0, "its own come back to it");
    assert_eq!(warnings("replica2", 9), 0, "it is not on their topic");
    assert_eq!((warnings("replica", 9), warnings("replica", 9)), (1, 0));
}

#[test]
fn a_clock_near_the_end_of_all_clocks_leaves_room_for_the_next_record() {
    let now = Now { monotonic_ms: 0, wall_ms: 0 };
    let record = |clock: u64| {
        let (origin, channel) = ("server-009".to_owned(), "dev".to_owned());
        let (user, message, timestamp) = ("ana".to_owned(), "oi".to_owned(), "now".to_owned());
        Record::Publish { origin, channel, user, message, timestamp, clock }
    };
    let mut server = Server::new("server-001", MemoryStore::default());
    let mut other = Server::new("server-002", MemoryStore::default());
    let mut replicate = |body: Bytes| server.handle_publications(now, &[("replica".into(), body)]).unwrap();
    let letter = |letter_clock: u64, clock: u64| {
        let (exchange, origin) =
            (Exchange::Records { records: vec![record(clock)], rest: None }, "server-009".into());
        wire::encode(&Letter { exchange, origin, to: None, timestamp: "now".into(), clock: letter_clock })
            .unwrap()
    };
    replicate(wire::encode(&record(CLOCK_MAX)).unwrap());
    replicate(letter(CLOCK_MAX, 1));
    replicate(letter(1, CLOCK_MAX));
    let notice = b"{\"service\":\"election\",\"data\":{\"clock\":4611686018427387904}}";
    let notice: serde_json::Value = serde_json::from_slice(notice).unwrap();
    let notice = wire::encode(&notice).unwrap();
    server.handle_publications(now, &[("servers".into(), notice)]).unwrap();
    assert!(server.store.records.is_empty() && server.lamport.now() < 10);
    // As far as it follows, and its next record is one that others take, also who has not heard that clock.
    let highest = wire::encode(&record(FOLLOWED_MAX)).unwrap();
    server.handle_publications(now, &[("replica".into(), highest)]).unwrap();
    assert_eq!(server.store.records.len(), 1);
    let (user, message) = (Some("ana".to_owned()), Some("oi".to_owned()));
    let data = RequestData { user, message, channel: Some("dev".to_owned()), ..RequestData::default() };
    let request = wire::encode(&Envelope { service: "publish".to_owned(), data }).unwrap();
    server.handle_request(now, &[request]).unwrap();
    assert!(server.store.records.len() == 2 && server.store.records.iter().all(Record::is_sound));
    while let Some(output) = server.poll_output() {
        if let Output::Publish { topic, body } = output {
            other.handle_publications(now, &[(topic.into(), body)]).unwrap();
        }
    }
    assert_eq!(other.store.records, server.store.records[1..]);
}

proptest! {
    #[test]
    fn nothing_that_comes_from_outside_does_harm(
        messages in proptest::collection::vec((0_u8..5, proptest::collection::vec(any::<u8>(), 0..120)), 0..30),
        cut in 0_usize..200, flip in 0_usize..200,
    ) {
        let mut server = Server::new("server-001", MemoryStore::default());
        let now = Now { monotonic_ms: 0, wall_ms: 0 };
        server.handle_tick(now).unwrap();
        let sound: Vec<Bytes> = std::iter::from_fn(|| server.poll_output())
            .filter_map(|output| match output {
                Output::Publish { body, .. } => Some(body),
                _ => None,
            })
            .collect();
        // What is almost right goes further in than what is not at all.
        for body in sound {
            let mut bytes = body.to_vec();
            let at = flip % bytes.len();
            bytes[at] ^= 1;
            bytes.truncate(bytes.len() - cut % bytes.len() / 4);
            let name = bytes.windows(10).position(|window| window == b"server-001");
            if let Some(at) = name {
                bytes[at + 9] = b'2';
            }
            server.handle_publications(now, &[("replica".into(), bytes.into())]).unwrap();
        }
        for (kind, bytes) in messages {
            let body = Bytes::from(bytes);
            match kind {
                0 => drop(server.handle_request(now, &[body]).unwrap()),
                1 => drop(server.handle_request(now, &[body.clone(), body]).unwrap()),
                2 => server.handle_publications(now, &[("replica".into(), body)]).unwrap(),
                3 => server.handle_publications(now, &[("servers".into(), body)]).unwrap(),
                _ => server.handle_answer(now, Some(&body)).unwrap(),
            }
        }
        prop_assert!(server.store.records.is_empty());
    }
}
