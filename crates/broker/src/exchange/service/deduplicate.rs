//! Requests with an id: done once, however often they are asked.
//!
//! The pool works for a client inside, so that a request goes on when the connection that asked it ends. It has no
//! back-pressure by who reads: a reply is kept anyway, and given when its asker reads.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::RequestId;

use super::broker::Majordomo;
use super::dialect::{Back, Mdp};
use super::repeats::{Asked, Asker, Name};
use crate::exchange::inside::{Inside, Outcome};
use crate::exchange::pool::Dialect;
use crate::exchange::{Drop, Frames, PeerId, Peers};

impl Majordomo {
    /// Lets the pool do something, and does what follows from it for the clients inside that are repeats.
    pub(super) fn with_inside(
        &mut self,
        now_ms: u64,
        peers: &mut dyn Peers,
        call: impl FnOnce(&mut Self, &mut dyn Peers),
    ) {
        if self.repeats.is_none() {
            return call(self, peers);
        }
        let mut outcomes = VecDeque::new();
        call(self, &mut Inside { peers, outcomes: &mut outcomes });
        for (client, outcome) in outcomes {
            self.take_outcome(now_ms, client, outcome, peers);
        }
    }

    fn take_outcome(&mut self, now_ms: u64, client: PeerId, outcome: Outcome, peers: &mut dyn Peers) {
        let repeats = self.repeats.as_mut().filter(|repeats| repeats.is_job(client));
        match (repeats, outcome) {
            // It is of whoever has this broker.
            (None, Outcome::Reply(frames)) => peers.send(client, frames),
            (None, Outcome::Lost(reason)) => peers.dropped(client, reason),
            (Some(repeats), Outcome::Lost(reason)) => {
                if let Some(asker) = repeats.forget(client) {
                    peers.dropped(asker, reason);
                }
            }
            (Some(repeats), Outcome::Reply(reply)) => {
                let Some(name) = repeats.answer(now_ms, client, &reply) else { return };
                self.give(&name, peers);
                self.make_room(peers);
            }
        }
    }

    /// A client that may request something of this service does, with an id. `peers` has the clients inside.
    pub(super) fn request_once(
        &mut self,
        now_ms: u64,
        asker: Asker,
        service: Bytes,
        id: RequestId,
        body: Frames,
        peers: &mut dyn Peers,
    ) {
        let peer = asker.peer;
        let job = self.next_inside();
        let Some(repeats) = &mut self.repeats else { return };
        let Some(user) = repeats.user(peer) else { return };
        if !self.pool.may_ask(peer, repeats.waiting_of(peer)) {
            return peers.dropped(peer, Drop::QueueFull);
        }
        let name = Arc::new(Name { id, service: service.clone(), user });
        match repeats.ask(name, asker, job) {
            Asked::Before(name) => {
                self.give(&name, peers);
            }
            Asked::First => self.pool.request(now_ms, job, service, Back::Inside, body, peers),
        }
    }

    /// Gives a kept reply to whoever it is owed to, if that one reads. True unless it does not.
    fn give(&mut self, name: &Arc<Name>, peers: &mut dyn Peers) -> bool {
        let Some(repeats) = &mut self.repeats else { return true };
        let Some(peer) = repeats.owed(name) else { return true };
        if peers.room(peer).is_full() {
            return false;
        }
        if let Some((asker, reply)) = repeats.take_owed(name)
            && let Some(frames) = Mdp::reply(&asker.back, &name.service, true, reply)
        {
            peers.send(peer, frames);
        }
        true
    }

    /// A peer reads again.
    pub(super) fn give_what_is_owed(&mut self, peer: PeerId, peers: &mut dyn Peers) {
        let asked = self.repeats.as_ref().map(|repeats| repeats.asked_by(peer)).unwrap_or_default();
        for name in asked {
            if !self.give(&name, peers) {
                return;
            }
        }
    }

    fn make_room(&mut self, peers: &mut dyn Peers) {
        for peer in self.repeats.as_mut().map(|repeats| repeats.shrink()).unwrap_or_default() {
            peers.dropped(peer, Drop::QueueFull);
        }
    }

    /// Forgets the replies whose time is over.
    pub(super) fn forget_old(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        for peer in self.repeats.as_mut().map(|repeats| repeats.expire(now_ms)).unwrap_or_default() {
            peers.dropped(peer, Drop::Expired);
        }
    }
}
