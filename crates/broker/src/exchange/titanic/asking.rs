//! The three services.

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::{ClientRequest, ServiceName};
use swarmmq_protocol::zeromq::tsp::{CloseReply, Request, RequestId, RetrieveReply, Status, StoreReply};

use super::broker::Titanic;
use super::clients::Ask;
use super::ledger::{Entry, Place, State};
use super::record::{Kind, Record, body, weigh};
use crate::exchange::{Drop, Frames, PeerId, Peers, Verb, own};

impl Titanic {
    /// A client asks one of the three services.
    pub(super) fn handle_ask(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        request: ClientRequest,
        peers: &mut dyn Peers,
    ) {
        let ClientRequest { version, address, service, body } = request;
        if !peers.may(peer, Verb::Request, service.as_bytes()) {
            return peers.dropped(peer, Drop::Forbidden);
        }
        let parsed = Request::parse(service.as_bytes(), &body);
        let ask = Ask { peer, version, address: own(&address), service };
        match parsed {
            Ok(Request::Store { service, body }) => self.store(ask, &service, &body, peers),
            Ok(Request::Retrieve(id)) => self.retrieve(ask, id, peers),
            Ok(Request::Close(id)) => self.close(now_ms, ask, id, peers),
            Err(_) => self.refuse(ask, Status::Unknown, Drop::Malformed, peers),
        }
    }

    /// Answers that nothing was done, and counts why.
    fn refuse(&self, ask: Ask, status: Status, reason: Drop, peers: &mut dyn Peers) {
        peers.dropped(ask.peer, reason);
        self.clients.answer(ask, vec![status.frame()], peers);
    }

    fn store(&mut self, ask: Ask, service: &ServiceName, body: &[Bytes], peers: &mut dyn Peers) {
        let Some(user) = self.clients.user(ask.peer) else { return };
        // Nobody else can be a worker of what the broker answers itself.
        let is_own = self.majordomo.is_own(service);
        if is_own || !peers.may(ask.peer, Verb::Request, service.as_bytes()) {
            return self.refuse(ask, Status::Unknown, Drop::Forbidden, peers);
        }
        // A request needs a second record for its reply: what has no room for one must not take another.
        if !self.is_open || self.ledger.has_refused_replies() {
            return self.refuse(ask, Status::Error, Drop::Unavailable, peers);
        }
        if self.ledger.len() >= self.limits.requests_max {
            return self.refuse(ask, Status::Error, Drop::LimitReached, peers);
        }
        let Some(id) = (self.ids)().filter(|id| self.ledger.get(*id).is_none()) else {
            return self.refuse(ask, Status::Error, Drop::Unavailable, peers);
        };
        let service = service.detached().frame();
        let record = Record { id, kind: Kind::Request, service: service.clone(), user: user.clone() };
        let Some(request) = self.write(&record, body) else {
            return self.refuse(ask, Status::Unknown, Drop::LimitReached, peers);
        };
        if self.ledger.request_bytes().saturating_add(weigh(&request)) > self.limits.request_bytes_max {
            return self.refuse(ask, Status::Error, Drop::QueueFull, peers);
        }
        let ask = self.clients.keep(ask);
        let entry = Entry {
            service,
            user,
            request: Place::Nowhere,
            reply: Place::Nowhere,
            state: State::Storing { ask, request: request.clone() },
            expires_ms: None,
            losses: 0,
        };
        self.ledger.insert(id, entry);
        self.put(id, Kind::Request, request);
    }

    fn retrieve(&mut self, ask: Ask, id: RequestId, peers: &mut dyn Peers) {
        let Some(user) = self.clients.user(ask.peer) else { return };
        let found = self.ledger.get(id.value()).filter(|entry| entry.is_known_to(&user));
        let reply = match found.map(|entry| &entry.state) {
            Some(State::Answered { reply }) => RetrieveReply::Done(body(reply)),
            // Until the queue is read, it may hold the reply.
            _ if !self.is_open => return self.refuse(ask, Status::Error, Drop::Unavailable, peers),
            Some(_) => RetrieveReply::Pending,
            None => RetrieveReply::Unknown,
        };
        self.clients.answer(ask, reply.body(), peers);
    }

    fn close(&mut self, now_ms: u64, ask: Ask, id: RequestId, peers: &mut dyn Peers) {
        if !self.is_open {
            return self.refuse(ask, Status::Error, Drop::Unavailable, peers);
        }
        let Some(user) = self.clients.user(ask.peer) else { return };
        let id = id.value();
        let found = self.ledger.get(id).filter(|entry| entry.user == user);
        match found.map(|entry| &entry.state) {
            None | Some(State::Storing { .. }) => {
                self.clients.answer(ask, CloseReply::Closed.body(), peers);
            }
            Some(State::Closing { .. }) => {
                let ask = self.clients.keep(ask);
                self.ledger.change(id, |entry| {
                    if let State::Closing { asks } = &mut entry.state {
                        asks.push(ask);
                    }
                });
            }
            Some(_) => {
                let ask = self.clients.keep(ask);
                self.begin_closing(now_ms, id, vec![ask], peers);
            }
        }
    }

    /// Forgets a request: for those who ask, or because its time is over. They are answered when it is durable.
    pub(super) fn begin_closing(&mut self, now_ms: u64, id: u128, asks: Vec<Ask>, peers: &mut dyn Peers) {
        self.cancel_job_of(now_ms, id, peers);
        let places = self.ledger.change(id, |entry| {
            entry.state = State::Closing { asks };
            [entry.request, entry.reply]
        });
        for place in places.into_iter().flatten() {
            if let Place::At(sequence) = place {
                self.receipts.doom(sequence, id);
            }
        }
        self.look_at_room_for_replies();
        self.end_closing(id, peers);
    }

    /// Answers those who closed a request once nothing of it is left.
    pub(super) fn end_closing(&mut self, id: u128, peers: &mut dyn Peers) {
        let is_left = |place: Place| !matches!(place, Place::Nowhere | Place::Gone);
        let is_ended = self.ledger.get(id).is_some_and(|entry| {
            matches!(entry.state, State::Closing { .. }) && !is_left(entry.request) && !is_left(entry.reply)
        });
        if is_ended && let Some(Entry { state: State::Closing { asks }, .. }) = self.ledger.remove(id) {
            self.answer_all(asks, &CloseReply::Closed.body(), peers);
        }
    }

    pub(super) fn answer_all(&mut self, asks: Vec<Ask>, body: &Frames, peers: &mut dyn Peers) {
        for ask in asks {
            self.clients.answer_kept(ask, body.clone(), peers);
        }
    }

    /// The request of an entry was stored, and is synced.
    pub(super) fn become_stored(&mut self, now_ms: u64, id: u128, peers: &mut dyn Peers) {
        let expires_ms = now_ms.saturating_add(self.limits.request_ttl_ms);
        let asked = self.ledger.change(id, |entry| {
            let State::Storing { request, .. } = &entry.state else { return None };
            let waiting = State::Waiting { request: request.clone(), from_ms: None };
            entry.expires_ms = Some(expires_ms);
            let State::Storing { ask, .. } = std::mem::replace(&mut entry.state, waiting) else {
                return None;
            };
            Some((ask, entry.service.clone()))
        });
        if let Some((ask, service)) = asked.flatten() {
            self.eager.insert(service);
            let stored = StoreReply::Stored(RequestId::from_value(id));
            self.clients.answer_kept(ask, stored.body(), peers);
        }
    }
}
