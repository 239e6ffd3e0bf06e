//! The peers of a hub, as its exchange sees them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use swarmmq_broker::exchange::{Drop as DropReason, Frames, PeerId, Peers, Room, Verb};

use super::outbox::{Outbox, Staged};
use crate::security::Principal;
use crate::zeromq::drops::{Drops, Reason};
use crate::zeromq::shared::{Outbound, SharedMessage};
use crate::zeromq::wakeup::Wakeup;

/// The peers as the exchange sees them.
pub(super) struct Connected {
    pub(super) endpoint: Arc<str>,
    pub(super) peers: HashMap<PeerId, Peer, BuildHasherDefault<IdHasher>>,
    pub(super) drops: Drops,
    /// Peers for which something is staged.
    pub(super) touched: Vec<PeerId>,
    /// Sessions to be woken when the lock is free.
    pub(super) wake: Vec<Arc<Wakeup>>,
    /// The queue of some peer has become crowded.
    pub(super) crowded: bool,
}

/// Spreads the ids of peers, which the hub gives and nobody can choose: several are looked up for each message.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // The table takes its place from the lowest bits and its tag from the highest.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

pub(super) struct Peer {
    pub(super) outbox: Arc<Outbox>,
    pub(super) principal: Principal,
    pub(super) staged: Staged,
}

impl Connected {
    fn push(&mut self, peer: PeerId, message: Outbound) {
        let Some(Peer { outbox, staged, .. }) = self.peers.get_mut(&peer) else { return };
        if staged.is_empty() {
            self.touched.push(peer);
        }
        staged.push(message);
        self.crowded |= outbox.crowds(staged);
    }

    /// Hands what was staged to the sessions: one lock for each peer and turn, and not for each message.
    pub(super) fn flush(&mut self) {
        for peer in self.touched.drain(..) {
            if let Some(Peer { outbox, staged, .. }) = self.peers.get_mut(&peer)
                && outbox.append(staged)
            {
                self.wake.push(outbox.wakeup().clone());
            }
        }
    }

    pub(super) fn wake(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get(&peer) {
            self.wake.push(peer.outbox.wakeup().clone());
        }
    }
}

impl Peers for Connected {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        self.push(peer, Outbound::Own(frames));
    }

    fn send_all(&mut self, peers: &[PeerId], frames: Frames) {
        if let [peer] = peers {
            return self.send(*peer, frames);
        }
        let message = Arc::new(SharedMessage::new(frames));
        for peer in peers {
            self.push(*peer, Outbound::Shared(message.clone()));
        }
    }

    fn room(&self, peer: PeerId) -> Room {
        let none = Room { messages: 0, bytes: 0 };
        self.peers.get(&peer).map_or(none, |peer| peer.outbox.room(&peer.staged))
    }

    fn await_room(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|peer| peer.outbox.mark_full()) {
            self.wake(peer);
        }
    }

    fn may(&self, peer: PeerId, verb: Verb, name: &[u8]) -> bool {
        let name = if name.is_empty() && !matches!(verb, Verb::Publish | Verb::Subscribe) {
            self.endpoint.as_bytes()
        } else {
            name
        };
        self.peers.get(&peer).is_some_and(|peer| peer.principal.may_in_flight(verb, name))
    }

    fn dropped(&mut self, peer: PeerId, reason: DropReason) {
        let user = self.peers.get(&peer).map(|peer| peer.principal.name());
        self.drops.count_message(reason.into(), user);
    }

    fn disconnect(&mut self, peer: PeerId, explanation: &str) {
        let Some(Peer { staged, .. }) = self.peers.get_mut(&peer) else { return };
        if staged.is_empty() {
            self.touched.push(peer);
        }
        staged.close(explanation);
    }
}

impl From<DropReason> for Reason {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Malformed => Self::Malformed,
            DropReason::QueueFull => Self::QueueFull,
            DropReason::Expired => Self::Expired,
            DropReason::Unwanted => Self::Unwanted,
            DropReason::Forbidden => Self::Forbidden,
            DropReason::Unexpected => Self::Unexpected,
            DropReason::LimitReached => Self::LimitReached,
            DropReason::WorkerLost => Self::WorkerLost,
            DropReason::Unavailable => Self::Unavailable,
            // There may be reasons that this version of the node does not tell apart.
            _ => Self::Unroutable,
        }
    }
}
