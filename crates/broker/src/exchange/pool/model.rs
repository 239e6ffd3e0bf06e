//! Peers without sockets, for the tests of what is built on pools.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::exchange::{Drop, Frames, PeerId, PeerInfo, Peers, Room, Side, Verb};

/// Peers with queues.
pub(in crate::exchange) struct Model {
    queues: BTreeMap<PeerId, VecDeque<Frames>>,
    /// Those whose queue was full since they last read.
    full: std::cell::RefCell<BTreeSet<PeerId>>,
    /// How many messages a queue takes.
    capacity: usize,
    /// What is forbidden to everybody.
    pub(in crate::exchange) forbidden: BTreeSet<(Verb, Vec<u8>)>,
    pub(in crate::exchange) drops: Vec<(PeerId, Drop)>,
    /// All that was sent, for who looks at it before it is read.
    pub(in crate::exchange) log: Option<Vec<(PeerId, Frames)>>,
    next: u64,
}

impl Model {
    pub(in crate::exchange) fn new(capacity: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            full: std::cell::RefCell::default(),
            capacity,
            forbidden: BTreeSet::new(),
            drops: Vec::new(),
            log: None,
            next: 0,
        }
    }

    /// A new peer.
    pub(in crate::exchange) fn connect(&mut self) -> PeerId {
        self.next += 1;
        let peer = PeerId(self.next);
        self.queues.insert(peer, VecDeque::new());
        peer
    }

    /// A peer goes, and what it has not read with it.
    pub(in crate::exchange) fn disconnect_abruptly(&mut self, peer: PeerId) {
        self.queues.remove(&peer);
    }

    /// A peer reads all that it was sent. True if its queue had been full.
    pub(in crate::exchange) fn read(&mut self, peer: PeerId) -> (Vec<Frames>, bool) {
        let messages = self.queues.get_mut(&peer).map(|queue| queue.drain(..).collect()).unwrap_or_default();
        (messages, self.full.borrow_mut().remove(&peer))
    }

    /// How often something was dropped for a reason.
    pub(in crate::exchange) fn dropped_for(&self, reason: Drop) -> usize {
        self.drops.iter().filter(|(_, found)| *found == reason).count()
    }
}

impl Peers for Model {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        assert!(!frames.is_empty());
        let capacity = self.capacity;
        if let Some(queue) = self.queues.get_mut(&peer) {
            assert!(queue.len() < capacity, "sent into a full queue");
            if let Some(log) = &mut self.log {
                log.push((peer, frames.clone()));
            }
            queue.push_back(frames);
        }
    }

    fn room(&self, peer: PeerId) -> Room {
        let messages = self.queues.get(&peer).map_or(0, |queue| self.capacity - queue.len());
        if messages == 0 {
            self.full.borrow_mut().insert(peer);
        }
        Room { messages, bytes: if messages > 0 { usize::MAX } else { 0 } }
    }

    fn await_room(&mut self, _peer: PeerId) {}

    fn may(&self, peer: PeerId, verb: Verb, name: &[u8]) -> bool {
        self.queues.contains_key(&peer) && !self.forbidden.contains(&(verb, name.to_vec()))
    }

    fn dropped(&mut self, peer: PeerId, reason: Drop) {
        self.drops.push((peer, reason));
    }

    fn disconnect(&mut self, _peer: PeerId, _explanation: &str) {}
}

/// What an endpoint knows of a model's peer.
pub(in crate::exchange) fn info(side: Side) -> PeerInfo {
    PeerInfo { side, socket_type: "DEALER", routing_id: Bytes::new(), user: "anyone".into() }
}

/// Frames of words.
pub(in crate::exchange) fn frames(words: &[&[u8]]) -> Frames {
    words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
}
