//! The state of a `workers` endpoint.

use std::collections::BTreeSet;

use bytes::Bytes;
use swarmmq_protocol::zeromq::ppp::{ADDRESS_FRAME_BYTES_MAX, ADDRESS_FRAMES_MAX, PppMessage};

use super::dialect::Ppp;
use crate::exchange::pool::{Pool, PoolLimits, Refused};
use crate::exchange::{Drop, Exchange, Figure, Frames, PeerId, PeerInfo, Peers, Side, Verb, own};

/// The one service of the pool. To the node the empty name is the endpoint's.
const SERVICE: Bytes = Bytes::from_static(b"");

/// A Paranoid Pirate queue.
#[derive(Debug)]
pub struct ParanoidPirate {
    pub(super) pool: Pool<Ppp>,
    /// The peers of the back.
    back: BTreeSet<PeerId>,
}

impl ParanoidPirate {
    /// A queue without peers. `life` tells it from those that had its address before: a worker of theirs that replies
    /// late must not be taken for one of its own. Any number will do that is not used twice, as the time of the start.
    #[must_use]
    pub fn new(limits: PoolLimits, life: u64) -> Self {
        Self { pool: Pool::new(limits, life), back: BTreeSet::new() }
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.pool.requests_len()
    }

    /// Registered workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.pool.workers_len()
    }

    fn handle_worker(&mut self, now_ms: u64, peer: PeerId, frames: &[Bytes], peers: &mut dyn Peers) {
        match PppMessage::parse(frames) {
            Ok(PppMessage::Ready) => self.handle_ready(now_ms, peer, peers),
            Ok(PppMessage::Heartbeat) => {}
            Ok(PppMessage::Routed(reply)) => {
                let tag = reply.address.first().cloned().unwrap_or_default();
                if self.pool.reply(now_ms, peer, &tag, true, reply.content, peers).is_err() {
                    peers.dropped(peer, Drop::Unexpected);
                }
            }
            Err(_) => {
                peers.dropped(peer, Drop::Malformed);
                self.pool.dismiss(now_ms, peer, peers);
            }
        }
    }

    fn handle_ready(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if !peers.may(peer, Verb::Serve, &SERVICE) {
            return peers.dropped(peer, Drop::Forbidden);
        }
        if self.pool.is_busy(peer) {
            // It has begun anew and knows nothing of its request.
            self.pool.leave(now_ms, peer, peers);
        }
        match self.pool.register(now_ms, peer, SERVICE, (), peers) {
            // It waits already, and keeps its place.
            Ok(()) | Err(Refused::Twice) => {}
            Err(Refused::LimitReached) => peers.dropped(peer, Drop::LimitReached),
        }
    }

    fn handle_client(&mut self, now_ms: u64, peer: PeerId, mut frames: Frames, peers: &mut dyn Peers) {
        if !peers.may(peer, Verb::Request, &SERVICE) {
            return peers.dropped(peer, Drop::Forbidden);
        }
        let body = frames.split_off(address_len(&frames));
        if body.is_empty() {
            return peers.dropped(peer, Drop::Malformed);
        }
        self.pool.request(now_ms, peer, SERVICE, own(&frames), body, peers);
    }
}

/// How many frames stand before the content of a request, the empty one included. One less than a worker's address may
/// have is left to the client.
fn address_len(frames: &[Bytes]) -> usize {
    let is_hop = |frame: &&Bytes| (1..=ADDRESS_FRAME_BYTES_MAX).contains(&frame.len());
    let hops = frames.iter().take(ADDRESS_FRAMES_MAX - 1).take_while(is_hop).count();
    match frames.get(hops) {
        Some(frame) if frame.is_empty() && hops + 2 <= ADDRESS_FRAMES_MAX => hops + 1,
        _ => 0,
    }
}

impl Exchange for ParanoidPirate {
    fn attach(&mut self, _now_ms: u64, peer: PeerId, info: &PeerInfo, _peers: &mut dyn Peers) {
        if info.side == Side::Back {
            self.back.insert(peer);
        }
    }

    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        // Whatever a worker says shows that it lives; only then is it asked who does not.
        self.pool.heard(now_ms, peer);
        self.pool.advance(now_ms, peers);
        if self.back.contains(&peer) {
            self.handle_worker(now_ms, peer, &frames, peers);
        } else {
            self.handle_client(now_ms, peer, frames, peers);
        }
    }

    fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.back.remove(&peer);
        self.pool.detach(now_ms, peer, peers);
    }

    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.pool.drained(now_ms, peer, peers);
    }

    fn rights_changed(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.pool.rights_changed(now_ms, peer, peers);
    }

    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        // A worker that is not registered is heard out: its READY is among what it says.
        if self.back.contains(&peer) && self.pool.form_of(peer).is_none() {
            return true;
        }
        self.pool.accepts(peer, peers)
    }

    fn next_due(&self) -> Option<u64> {
        self.pool.next_due()
    }

    fn tick(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        self.pool.advance(now_ms, peers);
    }

    fn figures(&self) -> Vec<(Figure, u64)> {
        self.pool.figures()
    }
}
