//! Who asks, and the answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::{ClientReply, Part, ServiceName, Version};

use crate::exchange::{Drop, Frames, PeerId, Peers};

/// A question that was read, and what its answer needs.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) version: Version,
    pub(super) address: Vec<Bytes>,
    pub(super) service: ServiceName,
}

#[derive(Debug)]
struct Client {
    user: Arc<str>,
    /// Questions that are not answered.
    asked: usize,
}

/// The connected peers.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<PeerId, Client>);

impl Clients {
    pub(super) fn attach(&mut self, peer: PeerId, user: Arc<str>) {
        self.0.insert(peer, Client { user, asked: 0 });
    }

    pub(super) fn detach(&mut self, peer: PeerId) {
        self.0.remove(&peer);
    }

    pub(super) fn user(&self, peer: PeerId) -> Option<Arc<str>> {
        self.0.get(&peer).map(|client| client.user.clone())
    }

    /// Questions of a peer that are not answered.
    pub(super) fn asked(&self, peer: PeerId) -> usize {
        self.0.get(&peer).map_or(0, |client| client.asked)
    }

    /// A question that is answered later, by [`Self::answer_kept`].
    pub(super) fn keep(&mut self, ask: Ask) -> Ask {
        if let Some(client) = self.0.get_mut(&ask.peer) {
            client.asked += 1;
        }
        ask
    }

    pub(super) fn answer_kept(&mut self, ask: Ask, body: Frames, peers: &mut dyn Peers) {
        if let Some(client) = self.0.get_mut(&ask.peer) {
            client.asked = client.asked.saturating_sub(1);
        }
        self.answer(ask, body, peers);
    }

    pub(super) fn answer(&self, ask: Ask, body: Frames, peers: &mut dyn Peers) {
        let Ask { peer, version, address, service } = ask;
        if !self.0.contains_key(&peer) {
            return peers.dropped(peer, Drop::Unroutable);
        }
        if peers.room(peer).is_full() {
            return peers.dropped(peer, Drop::QueueFull);
        }
        let reply = ClientReply { version, address, part: Part::Final, service, body };
        if let Some(frames) = reply.encode() {
            peers.send(peer, frames);
        }
    }
}
