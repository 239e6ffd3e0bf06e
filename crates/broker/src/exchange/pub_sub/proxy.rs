//! [`PubSub`]: publications to those who subscribed, subscriptions to those who publish.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Drop, Exchange, Figure, Frames, PeerId, PeerInfo, Peers, Side, Verb};
use super::last_values::{LastValues, Version};
use super::limits::PubSubLimits;
use super::message::Message;
use super::subscriber::{Held, Owed, Subscriber};
use super::trie::Trie;
use super::upstream::Upstream;

/// The state of a `pub-sub` endpoint. See the [module](super).
#[derive(Debug)]
pub struct PubSub {
    limits: PubSubLimits,
    trie: Trie,
    subscribers: BTreeMap<PeerId, Subscriber>,
    upstream: Upstream,
    /// Empty if they are not kept.
    values: LastValues,
    /// How many subscribers are owed something.
    behind: usize,
    /// Bytes of all subscriptions, as they are counted.
    subscription_bytes: usize,
    /// Memory that is used for each publication again.
    matched: Vec<PeerId>,
}

impl PubSub {
    /// An endpoint without peers.
    #[must_use]
    pub fn new(limits: PubSubLimits) -> Self {
        Self {
            trie: Trie::new(),
            subscribers: BTreeMap::new(),
            upstream: if limits.last_values { Upstream::to_everything() } else { Upstream::default() },
            values: LastValues::new(&limits),
            behind: 0,
            subscription_bytes: 0,
            matched: Vec::new(),
            limits,
        }
    }

    /// Topics whose last value is kept.
    #[must_use]
    pub fn last_values(&self) -> usize {
        self.values.len()
    }

    /// How many values and publications a subscriber is owed.
    #[cfg(test)]
    pub(super) fn owed_count(&self, peer: PeerId) -> usize {
        self.subscribers.get(&peer).map_or(0, Subscriber::owed_count)
    }

    fn publish(&mut self, now_ms: u64, publisher: PeerId, frames: Frames, peers: &mut dyn Peers) {
        let Some(topic) = frames.first().cloned() else { return };
        if !peers.may(publisher, Verb::Publish, &topic) {
            peers.dropped(publisher, Drop::Forbidden);
            return;
        }
        // One frame is a topic without a value.
        let put = (self.limits.last_values && frames.len() > 1).then(|| self.values.put(now_ms, &frames));
        let kept = put.as_ref().and_then(|put| put.new);
        let replaced = put.as_ref().and_then(|put| put.replaced);
        let bytes = frames.iter().map(Bytes::len).sum();
        let mut matched = std::mem::take(&mut self.matched);
        self.trie.matching(&topic, &mut matched);
        if matched.is_empty() && kept.is_none() {
            peers.dropped(publisher, Drop::Unwanted);
        }
        matched.retain(|peer| self.reaches(*peer, kept, replaced, bytes, peers));
        if !matched.is_empty() {
            peers.send_all(&matched, frames);
        }
        matched.clear();
        self.matched = matched;
    }

    /// Whether a publication is to be sent to a subscriber at once. Otherwise it is dropped, or owed.
    fn reaches(
        &mut self,
        peer: PeerId,
        kept: Option<Version>,
        replaced: Option<Version>,
        bytes: usize,
        peers: &mut dyn Peers,
    ) -> bool {
        let behind = if self.behind > 0 { self.subscribers.get_mut(&peer) } else { None };
        let behind = behind.filter(|subscriber| subscriber.is_behind());
        let fits = match (behind, kept) {
            (Some(subscriber), Some(new)) => {
                let oldest = self.values.oldest().unwrap_or(new);
                for _ in 0..subscriber.owe_update(new, replaced, oldest) {
                    peers.dropped(peer, Drop::QueueFull);
                }
                return false;
            }
            // It cannot wait, and must not overtake.
            (Some(_), None) => false,
            (None, _) => peers.room(peer).fits(bytes),
        };
        if !fits {
            peers.dropped(peer, Drop::QueueFull);
        }
        fits
    }

    fn subscribe(&mut self, now_ms: u64, peer: PeerId, prefix: &[u8], peers: &mut dyn Peers) {
        if !peers.may(peer, Verb::Subscribe, prefix) {
            peers.dropped(peer, Drop::Forbidden);
            return;
        }
        let Some(subscriber) = self.subscribers.get_mut(&peer) else { return };
        let bytes_before = subscriber.prefix_bytes();
        let room_bytes = self.limits.subscription_bytes_total_max.saturating_sub(self.subscription_bytes);
        let held = match subscriber.hold(prefix, &self.limits, room_bytes) {
            Ok(held) => held,
            Err(explanation) => return self.refuse(peer, explanation, peers),
        };
        self.subscription_bytes += subscriber.prefix_bytes() - bytes_before;
        if let Held::New(prefix) = held {
            let is_first = self.trie.insert(&prefix, peer);
            if is_first && !self.limits.last_values {
                self.upstream.change(&prefix, true, peers);
            }
        }
        if self.limits.last_values {
            self.replay(now_ms, peer, prefix, peers);
        }
    }

    fn refuse(&mut self, peer: PeerId, explanation: &str, peers: &mut dyn Peers) {
        peers.dropped(peer, Drop::LimitReached);
        peers.disconnect(peer, explanation);
        if let Some(subscriber) = self.subscribers.get_mut(&peer) {
            subscriber.is_closing = true;
        }
    }

    /// Owes a subscriber the last values of the topics that begin with a prefix, unless it has them by another
    /// subscription, and sends those that its queue takes.
    fn replay(&mut self, now_ms: u64, peer: PeerId, prefix: &[u8], peers: &mut dyn Peers) {
        let Some(subscriber) = self.subscribers.get_mut(&peer) else { return };
        let except = Some(prefix.len());
        let is_alone = subscriber.prefixes().len() == 1;
        if !is_alone && self.trie.covers(prefix, peer, except) {
            return;
        }
        let versions: Vec<Version> = self
            .values
            .with_prefix(prefix)
            .filter(|(topic, _)| is_alone || !self.trie.covers(topic, peer, except))
            .map(|(_, version)| version)
            .collect();
        if versions.is_empty() {
            return;
        }
        let was_behind = subscriber.is_behind();
        subscriber.owe_values(versions, &self.values);
        self.count_behind(was_behind, peer);
        self.catch_up(now_ms, peer, peers);
    }

    /// Sends a subscriber what it is owed, as far as its queue takes it.
    fn catch_up(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        let Some(subscriber) = self.subscribers.get_mut(&peer) else { return };
        if !subscriber.is_behind() {
            return;
        }
        while let Some((version, what)) = subscriber.first_owed() {
            let missed = match self.values.get(now_ms, version) {
                // It was evicted or became too old. A replaced one is owed as its successor.
                None => (what == Owed::Update).then_some(Drop::Expired),
                // It was cancelled meanwhile.
                Some(value) if !self.trie.covers(&value.topic, peer, None) => None,
                Some(value) if peers.room(peer).fits(value.bytes) => {
                    peers.send(peer, value.frames.clone());
                    None
                }
                Some(_) => return peers.await_room(peer),
            };
            if let Some(reason) = missed {
                peers.dropped(peer, reason);
            }
            subscriber.settle_first();
        }
        self.count_behind(true, peer);
    }

    fn count_behind(&mut self, was_behind: bool, peer: PeerId) {
        let is_behind = self.subscribers.get(&peer).is_some_and(Subscriber::is_behind);
        self.behind = self.behind + usize::from(is_behind) - usize::from(was_behind);
    }

    fn cancel(&mut self, peer: PeerId, prefix: &[u8], peers: &mut dyn Peers) {
        let Some(subscriber) = self.subscribers.get_mut(&peer) else { return };
        let (was_behind, bytes_before) = (subscriber.is_behind(), subscriber.prefix_bytes());
        let Some(prefix) = subscriber.cancel(prefix) else { return };
        self.subscription_bytes -= bytes_before - subscriber.prefix_bytes();
        self.count_behind(was_behind, peer);
        self.leave(&prefix, peer, peers);
    }

    /// Takes back all that a subscriber held and is owed.
    fn forget(&mut self, peer: PeerId, subscriber: &Subscriber, peers: &mut dyn Peers) {
        self.behind -= usize::from(subscriber.is_behind());
        self.subscription_bytes -= subscriber.prefix_bytes();
        for prefix in subscriber.prefixes() {
            self.leave(prefix, peer, peers);
        }
    }

    fn leave(&mut self, prefix: &Bytes, peer: PeerId, peers: &mut dyn Peers) {
        let is_last = self.trie.remove(prefix, peer);
        if is_last && !self.limits.last_values {
            self.upstream.change(prefix, false, peers);
        }
    }

    /// Hands what a subscriber says to all publishers.
    fn forward(&mut self, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        let name = frames.first().cloned().unwrap_or_default();
        if !peers.may(peer, Verb::Publish, &name) {
            peers.dropped(peer, Drop::Forbidden);
            return;
        }
        let bytes = frames.iter().map(Bytes::len).sum();
        let mut takers = Vec::new();
        for publisher in self.upstream.publishers() {
            if peers.room(publisher).fits(bytes) {
                takers.push(publisher);
            } else {
                peers.dropped(publisher, Drop::QueueFull);
            }
        }
        if !takers.is_empty() {
            peers.send_all(&takers, frames);
        }
    }
}

impl Exchange for PubSub {
    fn attach(&mut self, _now_ms: u64, peer: PeerId, info: &PeerInfo, peers: &mut dyn Peers) {
        match info.side {
            Side::Front => self.upstream.attach(peer, peers),
            Side::Back => {
                self.subscribers.insert(peer, Subscriber::default());
            }
        }
    }

    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        match self.subscribers.get(&peer) {
            Some(subscriber) if subscriber.is_closing => {}
            Some(_) => match Message::read(&frames) {
                Message::Subscribe(prefix) => self.subscribe(now_ms, peer, prefix, peers),
                Message::Cancel(prefix) => self.cancel(peer, prefix, peers),
                Message::User => self.forward(peer, frames, peers),
            },
            None if self.upstream.contains(peer) => self.publish(now_ms, peer, frames, peers),
            None => {}
        }
    }

    fn detach(&mut self, _now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if self.upstream.detach(peer) {
            return;
        }
        if let Some(subscriber) = self.subscribers.remove(&peer) {
            self.forget(peer, &subscriber, peers);
        }
    }

    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.upstream.drained(peer, peers);
        self.catch_up(now_ms, peer, peers);
    }

    /// A subscriber that holds what it may not hold any more is told to go, and gets nothing until it has gone: when it
    /// comes back, it gets what it may.
    fn rights_changed(&mut self, _now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        let Some(subscriber) = self.subscribers.get_mut(&peer) else { return };
        if subscriber.prefixes().all(|prefix| peers.may(peer, Verb::Subscribe, prefix)) {
            return;
        }
        let ended = std::mem::take(subscriber);
        subscriber.is_closing = true;
        self.forget(peer, &ended, peers);
        peers.disconnect(peer, "it may not subscribe any more to what it subscribed to");
    }

    /// A publisher is always read: what its subscribers have no room for is dropped. A subscriber that is owed last
    /// values is not, so that it cannot ask for more of them faster than it takes them.
    fn accepts(&self, peer: PeerId, _peers: &dyn Peers) -> bool {
        !self.subscribers.get(&peer).is_some_and(Subscriber::is_behind)
    }

    fn next_due(&self) -> Option<u64> {
        self.values.next_due()
    }

    fn tick(&mut self, now_ms: u64, _peers: &mut dyn Peers) {
        self.values.expire(now_ms);
    }

    fn figures(&self) -> Vec<(Figure, u64)> {
        vec![
            (Figure::Subscribers, self.subscribers.len() as u64),
            (Figure::LastValues, self.values.len() as u64),
        ]
    }
}
