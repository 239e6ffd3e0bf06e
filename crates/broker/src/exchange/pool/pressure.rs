//! Who is read, and whose requests are passed over, while somebody does not read.

use bytes::Bytes;

use super::dispatcher::{Dialect, Pool};
use super::request::{Audience, RequestId};
use super::worker::Activity;
use crate::exchange::{PeerId, Peers};

impl<D: Dialect> Pool<D> {
    /// The request that is next, of the clients that read. A reply to any other could not be sent, and its worker would
    /// wait: those requests are passed over until their client reads, and keep their places.
    pub(super) fn next_waiting(&mut self, name: &Bytes, peers: &dyn Peers) -> Option<RequestId> {
        let service = self.services.get_mut(name)?;
        while let Some((id, client)) = service.first() {
            if !is_full(client, peers) {
                return Some(id);
            }
            service.pass_over(client);
            self.passed_over.entry(client).or_default().insert(name.clone());
        }
        None
    }

    /// Whether a request that a client makes now is not behind others of its own that are passed over, and would not be.
    pub(super) fn is_next_taken(&self, client: PeerId, service: &[u8], peers: &dyn Peers) -> bool {
        let is_passed_over = self.services.get(service).is_some_and(|service| service.passes_over(client));
        !is_passed_over && !is_full(client, peers)
    }

    /// The queue of a peer has room again.
    pub(in crate::exchange) fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.requests.unblock(peer);
        for service in self.passed_over.remove(&peer).unwrap_or_default() {
            if let Some(entry) = self.services.get_mut(&service) {
                entry.take_up(peer);
            }
            self.dispatch(now_ms, &service, peers);
        }
        if self.workers.get(peer).is_some_and(|worker| worker.activity == Activity::Clogged) {
            self.make_ready(now_ms, peer, peers);
        }
    }

    /// Whether a peer is to be read: a worker unless its client reads nothing, a client unless it reads no replies or
    /// waits for too many.
    pub(in crate::exchange) fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        match self.workers.get(peer) {
            Some(worker) => match worker.activity {
                Activity::Busy(id) => !self.is_blocked(id, peers),
                Activity::Ready(_) | Activity::Clogged => true,
            },
            None => self.may_ask(peer, 0) && !peers.room(peer).is_full(),
        }
    }

    /// Whether a client that waits for so many replies besides those of its requests here may make one more.
    pub(in crate::exchange) fn may_ask(&self, client: PeerId, besides: usize) -> bool {
        self.requests.count_of(client).saturating_add(besides) < self.limits.client_requests_max
    }

    /// Whether the client of a request would have to read before a reply could be sent to it.
    pub(super) fn is_blocked(&self, id: RequestId, peers: &dyn Peers) -> bool {
        self.requests
            .get(id)
            .is_some_and(|request| request.audience == Audience::Waiting && is_full(request.client, peers))
    }
}

/// Whether nothing could be sent to a client now. One inside always reads.
fn is_full(client: PeerId, peers: &dyn Peers) -> bool {
    !client.is_inside() && peers.room(client).is_full()
}
