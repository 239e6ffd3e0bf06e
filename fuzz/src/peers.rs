//! The peers of an exchange.

use std::collections::BTreeMap;

use swarmmq_broker::exchange::{Drop, Frames, PeerId, Peers, Room, Verb};

/// Messages that a peer's queue takes.
pub const QUEUE: usize = 8;

/// Peers that keep what they were sent last, and may do everything.
#[derive(Debug, Default)]
pub struct Sent {
    /// What each peer has not read.
    pub queues: BTreeMap<PeerId, Vec<Frames>>,
}

impl Peers for Sent {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        let queue = self.queues.entry(peer).or_default();
        assert!(queue.len() < QUEUE, "sent into a full queue");
        queue.push(frames);
    }

    fn room(&self, peer: PeerId) -> Room {
        let messages = QUEUE - self.queues.get(&peer).map_or(0, Vec::len);
        Room { messages, bytes: if messages > 0 { usize::MAX } else { 0 } }
    }

    fn await_room(&mut self, _peer: PeerId) {}

    fn may(&self, _peer: PeerId, _verb: Verb, _name: &[u8]) -> bool {
        true
    }

    fn dropped(&mut self, _peer: PeerId, _reason: Drop) {}

    fn disconnect(&mut self, _peer: PeerId, _explanation: &str) {}
}
