//! Any history of subscriptions, publications and full queues against what a subscriber would say of it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Attach(bool),
    Detach(usize),
    Subscribe(usize, &'static str),
    Cancel(usize, &'static str),
    Publish(&'static str),
    Take(usize, usize),
    TakeUntold(usize),
}

const TOPICS: [&str; 8] = ["", "a", "ab", "abc", "b", "ba", "bb", "c"];

fn step() -> impl Strategy<Value = Step> {
    let topic = || proptest::sample::select(&TOPICS[..]);
    prop_oneof![
        1 => any::<bool>().prop_map(Step::Attach),
        1 => (0..6_usize).prop_map(Step::Detach),
        4 => (0..6_usize, topic()).prop_map(|(peer, prefix)| Step::Subscribe(peer, prefix)),
        2 => (0..6_usize, topic()).prop_map(|(peer, prefix)| Step::Cancel(peer, prefix)),
        6 => topic().prop_map(Step::Publish),
        4 => (0..6_usize, 1..4_usize).prop_map(|(peer, count)| Step::Take(peer, count)),
        1 => (0..6_usize).prop_map(Step::TakeUntold),
    ]
}

/// What a subscriber knows of itself.
#[derive(Debug, Default)]
struct Subscriber {
    held: BTreeMap<&'static str, usize>,
    /// The last publication of each topic that was sent to it.
    sent: BTreeMap<&'static str, u64>,
    /// The last publication of each topic that it has to get.
    promised: BTreeMap<&'static str, u64>,
    /// Topics whose last value it asked for, and did not get yet.
    asked: BTreeSet<&'static str>,
}

impl Subscriber {
    fn matches(&self, topic: &str) -> bool {
        self.held.keys().any(|prefix| topic.starts_with(prefix))
    }

    fn subscribe(&mut self, prefix: &'static str, last: &BTreeMap<&'static str, u64>) {
        for (topic, number) in last {
            let is_covered = self.held.keys().any(|held| *held != prefix && topic.starts_with(held));
            if topic.starts_with(prefix) && !is_covered {
                self.asked.insert(topic);
                self.promised.insert(topic, *number);
            }
        }
        *self.held.entry(prefix).or_default() += 1;
    }

    fn cancel(&mut self, prefix: &'static str) {
        if let Some(count) = self.held.get_mut(prefix) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(prefix);
            }
        }
        let held = &self.held;
        let matches = |topic: &str| held.keys().any(|prefix| topic.starts_with(prefix));
        self.asked.retain(|topic| matches(topic));
        self.promised.retain(|topic, _| matches(topic));
    }
}

struct History {
    world: World,
    last_values: bool,
    publisher: PeerId,
    subscribers: BTreeMap<PeerId, Subscriber>,
    /// What each publisher was told to send.
    told: BTreeMap<PeerId, BTreeSet<Bytes>>,
    /// The last publication of each topic.
    last: BTreeMap<&'static str, u64>,
    count: u64,
}

impl History {
    fn new(last_values: bool, room: usize) -> Self {
        let mut world = World::new(PubSubLimits { last_values, ..PubSubLimits::default() }, room);
        let publisher = world.publisher();
        let told = BTreeMap::from([(publisher, BTreeSet::new())]);
        let mut history = Self {
            world,
            last_values,
            publisher,
            subscribers: BTreeMap::new(),
            told,
            last: BTreeMap::new(),
            count: 0,
        };
        history.check(None);
        history
    }

    fn play(&mut self, step: Step) {
        let subscriber = |nth: usize| self.subscribers.keys().nth(nth).copied();
        match step {
            Step::Attach(true) => {
                let peer = self.world.publisher();
                self.told.insert(peer, BTreeSet::new());
            }
            Step::Attach(false) => {
                let peer = self.world.subscriber();
                self.subscribers.insert(peer, Subscriber::default());
            }
            Step::Detach(nth) => {
                // The first publisher stays.
                let Some(peer) = self.subscribers.keys().chain(self.told.keys().skip(1)).nth(nth).copied()
                else {
                    return;
                };
                self.world.detach(peer);
                self.subscribers.remove(&peer);
                self.told.remove(&peer);
            }
            Step::Subscribe(nth, prefix) => {
                let Some(peer) = subscriber(nth) else { return };
                let last = if self.last_values { self.last.clone() } else { BTreeMap::new() };
                self.subscribers.get_mut(&peer).unwrap().subscribe(prefix, &last);
                self.world.subscribe(peer, prefix);
                self.check(Some(peer));
                if self.world.peers.room == usize::MAX {
                    let owed = &self.subscribers[&peer].asked;
                    assert!(owed.is_empty(), "{peer} was not sent {owed:?}");
                }
                return;
            }
            Step::Cancel(nth, prefix) => {
                let Some(peer) = subscriber(nth) else { return };
                self.subscribers.get_mut(&peer).unwrap().cancel(prefix);
                self.world.cancel(peer, prefix);
            }
            Step::TakeUntold(nth) => {
                let Some(peer) = subscriber(nth) else { return };
                self.world.take(peer);
            }
            Step::Publish(topic) => return self.publish(topic),
            Step::Take(nth, count) => {
                let Some(peer) = self.subscribers.keys().chain(self.told.keys()).nth(nth).copied() else {
                    return;
                };
                self.world.drain(peer, count);
                self.check(Some(peer));
                return;
            }
        }
        // Nobody else is sent a publication; publishers may be told something.
        self.check(None);
    }

    fn publish(&mut self, topic: &'static str) {
        self.count += 1;
        self.last.insert(topic, self.count);
        let mut missed = Vec::new();
        let mut reached = BTreeSet::new();
        for (peer, subscriber) in &mut self.subscribers {
            if !subscriber.matches(topic) {
                continue;
            }
            if self.world.proxy.owed_count(*peer) > 0 {
                subscriber.promised.insert(topic, self.count);
            } else if self.world.peers.room(*peer).messages > 0 {
                subscriber.promised.insert(topic, self.count);
                reached.insert(*peer);
            } else {
                missed.push((*peer, self.world.drops(*peer, Drop::QueueFull)));
            }
        }
        let log_before = self.world.peers.log.len();
        self.world.publish(self.publisher, topic, self.count.to_string());
        let sent: BTreeSet<PeerId> =
            self.world.peers.log[log_before..].iter().map(|(peer, _)| *peer).collect();
        assert_eq!(sent, reached, "publication {} on {topic:?}", self.count);
        for (peer, before) in missed {
            assert_eq!(self.world.drops(peer, Drop::QueueFull), before + 1);
        }
        self.read_log(None);
    }

    /// Reads what was sent since; only `peer` may have been sent publications.
    fn check(&mut self, peer: Option<PeerId>) {
        let others = |to: &PeerId| self.subscribers.contains_key(to) && Some(*to) != peer;
        assert!(!self.world.peers.log.iter().any(|(to, _)| others(to)));
        self.read_log(peer);
    }

    fn read_log(&mut self, ascending: Option<PeerId>) {
        let mut before = 0;
        for (peer, frames) in std::mem::take(&mut self.world.peers.log) {
            if let Some(told) = self.told.get_mut(&peer) {
                let prefix = frames[0].slice(1..);
                let is_change = if frames[0][0] == 1 { told.insert(prefix) } else { told.remove(&prefix) };
                assert!(is_change, "{peer} was told {frames:?} twice");
                continue;
            }
            let subscriber = self.subscribers.get_mut(&peer).expect("it was sent to a peer that is gone");
            let topic = TOPICS.into_iter().find(|topic| topic.as_bytes() == frames[0]).unwrap();
            let number: u64 = std::str::from_utf8(&frames[1]).unwrap().parse().unwrap();
            assert!(subscriber.matches(topic), "{peer} did not subscribe to {topic:?}");
            assert_eq!(number, self.last[topic], "an old value of {topic:?}");
            let is_newer = subscriber.sent.insert(topic, number).is_none_or(|before| before < number);
            let was_asked = subscriber.asked.remove(topic);
            assert!(is_newer || was_asked, "{topic:?} {number} was sent twice");
            if ascending.is_some() {
                assert!(before < number, "{topic:?} {number} is out of order");
                before = number;
            }
        }
    }

    /// Everybody takes what there is, and has then what was promised.
    fn finish(mut self) {
        let peers: Vec<PeerId> = self.subscribers.keys().chain(self.told.keys()).copied().collect();
        for peer in peers {
            self.world.drain_all(peer);
            self.read_log(None);
        }
        let mut wanted = BTreeSet::new();
        for (peer, subscriber) in &self.subscribers {
            assert!(subscriber.asked.is_empty(), "{peer} was not sent {:?}", subscriber.asked);
            for (topic, number) in &subscriber.promised {
                assert!(subscriber.sent[topic] >= *number, "{peer} misses {number} on {topic:?}");
            }
            wanted.extend(subscriber.held.keys().map(|prefix| Bytes::from_static(prefix.as_bytes())));
            assert_eq!(self.world.proxy.owed_count(*peer), 0);
        }
        if self.last_values {
            wanted = BTreeSet::from([Bytes::new()]);
        }
        for told in self.told.values() {
            assert_eq!(told, &wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]
    #[test]
    fn subscribers_get_what_is_theirs_once_and_in_order(
        last_values in any::<bool>(),
        room in prop_oneof![Just(1_usize), Just(2), Just(4), Just(usize::MAX)],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut history = History::new(last_values, room);
        for step in [Step::Attach(false), Step::Attach(false)].into_iter().chain(steps) {
            history.play(step);
        }
        history.finish();
    }
}
