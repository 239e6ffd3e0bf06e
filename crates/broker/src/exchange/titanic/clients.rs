//! Who asks, and the answers.

use std::collections::{BTreeMap, VecDeque};
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
    /// Answers to some of them, which wait until it reads.
    unsent: VecDeque<(Ask, Frames)>,
}

/// The connected peers.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<PeerId, Client>);

impl Clients {
    pub(super) fn attach(&mut self, peer: PeerId, user: Arc<str>) {
        self.0.insert(peer, Client { user, asked: 0, unsent: VecDeque::new() });
    }

    pub(super) fn detach(&mut self, peer: PeerId, peers: &mut dyn Peers) {
        for _ in self.0.remove(&peer).into_iter().flat_map(|client| client.unsent) {
            peers.dropped(peer, Drop::Unroutable);
        }
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

    /// Answers what was [kept](Self::keep), when the peer reads: nobody could ask again for the id of a request.
    pub(super) fn answer_kept(&mut self, ask: Ask, body: Frames, peers: &mut dyn Peers) {
        let peer = ask.peer;
        let Some(client) = self.0.get_mut(&peer) else { return peers.dropped(peer, Drop::Unroutable) };
        client.unsent.push_back((ask, body));
        self.send_unsent(peer, peers);
    }

    /// Sends the answers that wait until a peer reads, if it does.
    pub(super) fn send_unsent(&mut self, peer: PeerId, peers: &mut dyn Peers) {
        let Some(client) = self.0.get_mut(&peer) else { return };
        while !client.unsent.is_empty() && !peers.room(peer).is_full() {
            let Some((ask, body)) = client.unsent.pop_front() else { return };
            client.asked = client.asked.saturating_sub(1);
            send(ask, body, peers);
        }
    }

    /// Answers at once.
    pub(super) fn answer(&self, ask: Ask, body: Frames, peers: &mut dyn Peers) {
        if !self.0.contains_key(&ask.peer) {
            return peers.dropped(ask.peer, Drop::Unroutable);
        }
        if peers.room(ask.peer).is_full() {
            return peers.dropped(ask.peer, Drop::QueueFull);
        }
        send(ask, body, peers);
    }

    /// Panics where more waits than was asked.
    #[cfg(test)]
    pub(super) fn check(&self, asked_max: usize) {
        assert!(
            self.0.values().all(|client| client.unsent.len() <= client.asked && client.asked <= asked_max)
        );
    }
}

fn send(ask: Ask, body: Frames, peers: &mut dyn Peers) {
    let Ask { peer, version, address, service } = ask;
    let reply = ClientReply { version, address, part: Part::Final, service, body };
    if let Some(frames) = reply.encode() {
        peers.send(peer, frames);
    }
}
