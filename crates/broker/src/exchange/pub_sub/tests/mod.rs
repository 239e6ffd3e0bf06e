//! The endpoint against peers that are modelled.

mod behaviour;
mod history;
mod last_values;
mod trie;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Drop, Exchange, Frames, PeerId, PeerInfo, Peers, Room, Side, Verb};
use super::{PubSub, PubSubLimits};

/// Peers whose queues hold a number of messages.
#[derive(Debug, Default)]
struct Model {
    queues: BTreeMap<PeerId, VecDeque<Frames>>,
    /// Messages that fit in each queue.
    room: usize,
    /// Bytes that fit in each queue; one message fits in an empty one.
    room_bytes: usize,
    /// Peers that are to be told when there is room.
    awaited: RefCell<BTreeSet<PeerId>>,
    /// All that was sent.
    log: Vec<(PeerId, Frames)>,
    dropped: Vec<(PeerId, Drop)>,
    disconnected: Vec<PeerId>,
    /// What nobody may subscribe to or publish on begins with this.
    forbidden: Option<&'static [u8]>,
}

impl Peers for Model {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        if let Some(queue) = self.queues.get_mut(&peer) {
            assert!(queue.len() < self.room, "sent into a full queue");
            queue.push_back(frames.clone());
        }
        self.log.push((peer, frames));
    }

    fn room(&self, peer: PeerId) -> Room {
        let Some(queue) = self.queues.get(&peer) else { return Room { messages: 0, bytes: 0 } };
        let used: usize = queue.iter().flatten().map(Bytes::len).sum();
        let bytes = if queue.is_empty() { usize::MAX } else { self.room_bytes.saturating_sub(used) };
        let room = Room { messages: self.room - queue.len(), bytes };
        if room.is_full() {
            self.awaited.borrow_mut().insert(peer);
        }
        room
    }

    fn await_room(&mut self, peer: PeerId) {
        self.awaited.borrow_mut().insert(peer);
    }

    fn may(&self, _peer: PeerId, _verb: Verb, name: &[u8]) -> bool {
        self.forbidden.is_none_or(|forbidden| !name.starts_with(forbidden))
    }

    fn dropped(&mut self, peer: PeerId, reason: Drop) {
        self.dropped.push((peer, reason));
    }

    fn disconnect(&mut self, peer: PeerId, _explanation: &str) {
        self.disconnected.push(peer);
    }
}

/// An endpoint with its peers.
struct World {
    proxy: PubSub,
    peers: Model,
    next: u64,
    now_ms: u64,
}

impl World {
    fn new(limits: PubSubLimits, room: usize) -> Self {
        Self {
            proxy: PubSub::new(limits),
            peers: Model { room, room_bytes: usize::MAX, ..Model::default() },
            next: 1,
            now_ms: 1_000,
        }
    }

    fn plain() -> Self {
        Self::new(PubSubLimits::default(), usize::MAX)
    }

    fn with_last_values() -> Self {
        Self::new(PubSubLimits { last_values: true, ..PubSubLimits::default() }, usize::MAX)
    }

    fn attach(&mut self, side: Side) -> PeerId {
        let peer = PeerId(self.next);
        self.next += 1;
        self.peers.queues.insert(peer, VecDeque::new());
        let socket_type = if side == Side::Front { "XPUB" } else { "XSUB" };
        let info = PeerInfo { side, socket_type, routing_id: Bytes::new(), user: Arc::from("anybody") };
        self.proxy.attach(self.now_ms, peer, &info, &mut self.peers);
        peer
    }

    fn publisher(&mut self) -> PeerId {
        self.attach(Side::Front)
    }

    fn subscriber(&mut self) -> PeerId {
        self.attach(Side::Back)
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.queues.remove(&peer);
        self.proxy.detach(self.now_ms, peer, &mut self.peers);
    }

    fn say(&mut self, peer: PeerId, frames: &[&[u8]]) {
        let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
        self.proxy.handle(self.now_ms, peer, frames, &mut self.peers);
    }

    fn publish(&mut self, publisher: PeerId, topic: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.say(publisher, &[topic.as_ref(), value.as_ref()]);
    }

    fn subscribe(&mut self, subscriber: PeerId, prefix: impl AsRef<[u8]>) {
        self.say(subscriber, &[&[&[1], prefix.as_ref()].concat()]);
    }

    fn cancel(&mut self, subscriber: PeerId, prefix: impl AsRef<[u8]>) {
        self.say(subscriber, &[&[&[0], prefix.as_ref()].concat()]);
    }

    /// What waits for a peer, which takes it; that there is room is not made known yet.
    fn take(&mut self, peer: PeerId) -> Vec<Frames> {
        self.peers.queues.get_mut(&peer).map(|queue| queue.drain(..).collect()).unwrap_or_default()
    }

    /// A peer takes so many messages, and the endpoint hears that there is room if it asked to.
    fn drain(&mut self, peer: PeerId, count: usize) -> Vec<Frames> {
        let Some(queue) = self.peers.queues.get_mut(&peer) else { return Vec::new() };
        let taken: Vec<_> = queue.drain(..count.min(queue.len())).collect();
        if self.peers.awaited.borrow_mut().remove(&peer) {
            self.proxy.drained(self.now_ms, peer, &mut self.peers);
        }
        taken
    }

    /// A peer takes all there is until nothing comes any more.
    fn drain_all(&mut self, peer: PeerId) -> Vec<Frames> {
        let mut taken = Vec::new();
        loop {
            let was_told = self.peers.awaited.borrow().contains(&peer);
            let more = self.drain(peer, usize::MAX);
            if more.is_empty() && !was_told {
                return taken;
            }
            taken.extend(more);
        }
    }

    /// What waits for a peer, as `topic=value` or, of one frame, as it is.
    fn texts(&mut self, peer: PeerId) -> Vec<String> {
        texts(&self.take(peer))
    }

    fn drops(&self, peer: PeerId, reason: Drop) -> usize {
        self.peers.dropped.iter().filter(|drop| **drop == (peer, reason)).count()
    }
}

fn texts(messages: &[Frames]) -> Vec<String> {
    let text = |frame: &Bytes| String::from_utf8_lossy(frame).into_owned();
    messages.iter().map(|frames| frames.iter().map(text).collect::<Vec<_>>().join("=")).collect()
}
