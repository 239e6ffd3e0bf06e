//! What the publishers are told: which prefixes somebody wants.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::super::{PeerId, Peers};
use super::message::{CANCEL, SUBSCRIBE};

/// The subscriptions that go to publishers, and how far each of them has been told.
///
/// A word for a publisher whose queue is full is not dropped: its prefix stays noted, and what is sent when there is
/// room is what holds then. So a publisher is never told more than once for each change, and what is noted for it is
/// bounded by the subscriptions there are and were.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    wanted: BTreeSet<Bytes>,
    publishers: BTreeMap<PeerId, Publisher>,
}

#[derive(Debug, Default)]
struct Publisher {
    /// Prefixes of which it believes the contrary of what holds.
    untold: BTreeSet<Bytes>,
}

impl Upstream {
    /// Publishers are told one subscription, to everything.
    pub(super) fn to_everything() -> Self {
        Self { wanted: BTreeSet::from([Bytes::new()]), publishers: BTreeMap::new() }
    }

    /// Nobody subscribed to the prefix before, or nobody does any more.
    pub(super) fn change(&mut self, prefix: &Bytes, is_wanted: bool, peers: &mut dyn Peers) {
        let has_changed =
            if is_wanted { self.wanted.insert(prefix.clone()) } else { self.wanted.remove(prefix) };
        if !has_changed {
            return;
        }
        for (peer, publisher) in &mut self.publishers {
            if !publisher.untold.remove(prefix) {
                publisher.untold.insert(prefix.clone());
            }
            publisher.tell(*peer, &self.wanted, peers);
        }
    }

    /// A publisher has connected, and knows of nothing.
    pub(super) fn attach(&mut self, peer: PeerId, peers: &mut dyn Peers) {
        let mut publisher = Publisher { untold: self.wanted.clone() };
        publisher.tell(peer, &self.wanted, peers);
        self.publishers.insert(peer, publisher);
    }

    /// A publisher is gone. Returns whether this peer was one.
    pub(super) fn detach(&mut self, peer: PeerId) -> bool {
        self.publishers.remove(&peer).is_some()
    }

    /// The queue of a publisher has room.
    pub(super) fn drained(&mut self, peer: PeerId, peers: &mut dyn Peers) {
        if let Some(publisher) = self.publishers.get_mut(&peer) {
            publisher.tell(peer, &self.wanted, peers);
        }
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.publishers.contains_key(&peer)
    }

    pub(super) fn publishers(&self) -> impl Iterator<Item = PeerId> {
        self.publishers.keys().copied()
    }
}

impl Publisher {
    fn tell(&mut self, peer: PeerId, wanted: &BTreeSet<Bytes>, peers: &mut dyn Peers) {
        while let Some(prefix) = self.untold.first() {
            if !peers.room(peer).fits(prefix.len() + 1) {
                return peers.await_room(peer);
            }
            let mut frame = BytesMut::with_capacity(prefix.len() + 1);
            frame.put_u8(if wanted.contains(prefix) { SUBSCRIBE } else { CANCEL });
            frame.put_slice(prefix);
            peers.send(peer, vec![frame.freeze()]);
            self.untold.pop_first();
        }
    }
}
