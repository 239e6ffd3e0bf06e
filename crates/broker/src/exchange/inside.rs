//! Clients inside an exchange: what has the pool work for it, and is no connection.

use std::collections::VecDeque;

use super::{Drop, Frames, PeerId, Peers, Room, Verb};

/// What became of a request of a client inside.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its whole reply.
    Reply(Frames),
    /// The pool has dropped it.
    Lost(Drop),
}

/// The peers, and the clients inside, to which nothing is sent: what would be is an outcome.
pub(super) struct Inside<'a> {
    pub(super) peers: &'a mut dyn Peers,
    pub(super) outcomes: &'a mut VecDeque<(PeerId, Outcome)>,
}

impl Peers for Inside<'_> {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        if peer.is_inside() {
            self.outcomes.push_back((peer, Outcome::Reply(frames)));
        } else {
            self.peers.send(peer, frames);
        }
    }

    fn room(&self, peer: PeerId) -> Room {
        if peer.is_inside() {
            return Room { messages: usize::MAX, bytes: usize::MAX };
        }
        self.peers.room(peer)
    }

    fn await_room(&mut self, peer: PeerId) {
        self.peers.await_room(peer);
    }

    fn may(&self, peer: PeerId, verb: Verb, name: &[u8]) -> bool {
        self.peers.may(peer, verb, name)
    }

    fn dropped(&mut self, peer: PeerId, reason: Drop) {
        if peer.is_inside() {
            self.outcomes.push_back((peer, Outcome::Lost(reason)));
        } else {
            self.peers.dropped(peer, reason);
        }
    }

    fn disconnect(&mut self, peer: PeerId, explanation: &str) {
        self.peers.disconnect(peer, explanation);
    }
}
