//! The peers of a hub, as its exchange sees them.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::BytesMut;
use swarmmq_broker::exchange::{Drop as DropReason, Frames, PeerId, Peers, Room, Verb};

use super::outbox::{Outbox, Staged};
use crate::security::Principal;
use crate::zeromq::chunks::put_message;
use crate::zeromq::drops::{Drops, Reason};
use crate::zeromq::packed::{FANNED_BYTES_MAX, PACKED_BYTES_MAX, Spare};
use crate::zeromq::shared::{Outbound, SharedMessage, bytes_of};
use crate::zeromq::wakeup::Wakeup;

/// The peers as the exchange sees them.
pub(super) struct Connected {
    endpoint: Arc<str>,
    pub(super) peers: HashMap<PeerId, Peer, BuildHasherDefault<IdHasher>>,
    drops: Drops,
    /// Peers for which something is staged.
    touched: Vec<PeerId>,
    /// Sessions to be woken when the lock is free.
    pub(super) wake: Vec<Arc<Wakeup>>,
    /// The queue of some peer has become crowded.
    crowded: bool,
    /// Memory for small messages.
    spare: Spare,
    /// A message to several peers.
    encoded: BytesMut,
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
    staged: Staged,
}

impl Peer {
    pub(super) fn new(outbox: Arc<Outbox>, principal: Principal) -> Self {
        Self { outbox, principal, staged: Staged::default() }
    }
}

impl Connected {
    /// The peers of an endpoint: none.
    pub(super) fn new(endpoint: &str, drops: Drops) -> Self {
        Self {
            endpoint: endpoint.into(),
            peers: HashMap::default(),
            drops,
            touched: Vec::new(),
            wake: Vec::new(),
            crowded: false,
            spare: Spare::default(),
            encoded: BytesMut::new(),
        }
    }

    /// Stages a message, which `add` does.
    fn stage(&mut self, peer: PeerId, add: impl FnOnce(&Outbox, &mut Staged, &mut Spare)) {
        let Some(Peer { outbox, staged, .. }) = self.peers.get_mut(&peer) else { return };
        if staged.is_empty() {
            self.touched.push(peer);
        }
        add(outbox, staged, &mut self.spare);
        self.crowded |= outbox.crowds(staged);
    }

    /// Hands what was staged to the sessions: one lock for each peer and turn, and not for each message.
    pub(super) fn flush(&mut self) {
        for peer in self.touched.drain(..) {
            if let Some(Peer { outbox, staged, .. }) = self.peers.get_mut(&peer)
                && outbox.append(staged, &mut self.spare)
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
        let bytes = bytes_of(&frames);
        self.stage(peer, |outbox, staged, spare| match outbox.packs(staged, bytes, PACKED_BYTES_MAX) {
            true => staged.pack(bytes, spare, |out| put_message(out, &frames)),
            false => staged.push(Outbound::Own(frames), bytes, spare),
        });
    }

    fn send_all(&mut self, peers: &[PeerId], frames: Frames) {
        if let [peer] = peers {
            return self.send(*peer, frames);
        }
        let bytes = bytes_of(&frames);
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        let shared = LazyCell::new(|| Arc::new(SharedMessage::new(frames.clone())));
        for peer in peers {
            self.stage(*peer, |outbox, staged, spare| {
                if !outbox.packs(staged, bytes, FANNED_BYTES_MAX) {
                    return staged.push(Outbound::Shared(shared.clone()), bytes, spare);
                }
                if encoded.is_empty() {
                    put_message(&mut encoded, &frames);
                }
                staged.pack(bytes, spare, |out| out.extend_from_slice(&encoded));
            });
        }
        self.encoded = encoded;
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

    fn take_crowded(&mut self) -> bool {
        std::mem::take(&mut self.crowded)
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
