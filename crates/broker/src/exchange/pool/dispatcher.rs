//! Requests to workers, and their replies to clients.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::limits::PoolLimits;
use super::request::{Audience, RequestId, Requests, weigh, weigh_request};
use super::service::Service;
use super::worker::{Activity, Workers};
use crate::exchange::{Drop, Figure, Frames, PeerId, Peers, Verb};

/// To how many workers a request is given at most: again once, if the first is lost.
const ATTEMPTS_MAX: u8 = 2;
/// Most frames of the parts of a reply that are joined for a client that can take only a whole one.
const JOINED_FRAMES_MAX: usize = 1024;
/// Bytes of the address that stands for a client.
const TAG_BYTES: usize = 25;

/// How the messages of a protocol are written.
pub(in crate::exchange) trait Dialect {
    /// What a reply needs of its request.
    type Back;
    /// What messages to a worker need of its registration.
    type Form;

    /// A request to a worker. `tag` is the address that comes back with the reply.
    fn request(form: &Self::Form, tag: Bytes, back: &Self::Back, body: Frames) -> Frames;

    /// A sign of life to a worker.
    fn heartbeat(form: &Self::Form) -> Frames;

    /// The last message to a worker that is removed, if the protocol has one.
    fn farewell(form: &Self::Form) -> Option<Frames>;

    /// Whether the client can take a reply in parts.
    fn takes_parts(back: &Self::Back) -> bool;

    /// A reply, or a part of one, to its client.
    fn reply(back: &Self::Back, service: &Bytes, is_final: bool, body: Frames) -> Option<Frames>;
}

/// A worker was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exchange) enum Refused {
    /// It is registered.
    Twice,
    /// There are as many workers or services as there may be.
    LimitReached,
}

/// A reply is not to a request that its worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exchange) struct Unexpected;

/// Services with their workers and requests.
#[derive(Debug)]
pub(in crate::exchange) struct Pool<D: Dialect> {
    pub(super) limits: PoolLimits,
    /// A number that tells this life of the endpoint from those before it.
    life: u64,
    pub(super) requests: Requests<D::Back>,
    pub(super) workers: Workers<D::Form>,
    pub(super) services: BTreeMap<Bytes, Service>,
    /// The clients that do not read, and the services where their requests are passed over.
    pub(super) passed_over: BTreeMap<PeerId, BTreeSet<Bytes>>,
    /// Connected peers that were workers. They are told nothing more, unless they register again.
    former: BTreeSet<PeerId>,
}

impl<D: Dialect> Pool<D> {
    pub(in crate::exchange) fn new(limits: PoolLimits, life: u64) -> Self {
        Self {
            limits,
            life,
            requests: Requests::default(),
            workers: Workers::default(),
            services: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            former: BTreeSet::new(),
        }
    }

    /// Requests that are not answered.
    pub(in crate::exchange) fn requests_len(&self) -> usize {
        self.requests.len()
    }

    /// Registered workers.
    pub(in crate::exchange) fn workers_len(&self) -> usize {
        self.workers.len()
    }

    /// What can be said of it.
    pub(in crate::exchange) fn figures(&self) -> Vec<(Figure, u64)> {
        vec![
            (Figure::Workers, self.workers.len() as u64),
            (Figure::BusyWorkers, self.workers.busy_len() as u64),
            (Figure::Requests, self.requests.len() as u64),
            (Figure::Services, self.services.len() as u64),
        ]
    }

    /// Registered workers of one service.
    pub(in crate::exchange) fn workers_of(&self, service: &[u8]) -> usize {
        self.services.get(service).map_or(0, |service| service.workers)
    }

    /// How many of them wait for a request.
    pub(in crate::exchange) fn ready_of(&self, service: &[u8]) -> usize {
        self.services.get(service).map_or(0, |service| service.ready.len())
    }

    /// Requests that wait for a worker of one service.
    pub(in crate::exchange) fn queued_of(&self, service: &[u8]) -> usize {
        self.services.get(service).map_or(0, Service::queued)
    }

    /// The service of a worker.
    pub(in crate::exchange) fn service_of(&self, peer: PeerId) -> Option<&Bytes> {
        self.workers.get(peer).map(|worker| &worker.service)
    }

    /// Whether the only request of a client waits for a worker.
    pub(in crate::exchange) fn waits(&self, client: PeerId) -> bool {
        self.requests.first_of(client).is_some_and(|request| request.worker.is_none())
    }

    /// Since when a worker has the only request of a client; `None` while it waits.
    pub(in crate::exchange) fn began_ms(&self, client: PeerId) -> Option<u64> {
        let request = self.requests.first_of(client)?;
        request.worker.map(|_| request.started_ms)
    }

    /// Services with a worker or a request, and how many workers each has.
    pub(in crate::exchange) fn services(&self) -> impl Iterator<Item = (&Bytes, usize)> {
        self.services.iter().map(|(name, service)| (name, service.workers))
    }

    /// What the messages to a worker need; `None` if the peer is none.
    pub(in crate::exchange) fn form_of(&self, peer: PeerId) -> Option<&D::Form> {
        self.workers.get(peer).map(|worker| &worker.form)
    }

    pub(in crate::exchange) fn is_busy(&self, peer: PeerId) -> bool {
        self.workers.get(peer).is_some_and(|worker| matches!(worker.activity, Activity::Busy(_)))
    }

    /// Whether a peer was a worker and is none any more.
    pub(in crate::exchange) fn is_former(&self, peer: PeerId) -> bool {
        self.former.contains(&peer)
    }

    /// A peer that was a worker begins anew, or has not been told yet that it is none.
    pub(in crate::exchange) fn forget_former(&mut self, peer: PeerId) {
        self.former.remove(&peer);
    }

    /// A peer that is no worker has been told so, or has said so.
    pub(in crate::exchange) fn mark_former(&mut self, peer: PeerId) {
        self.former.insert(peer);
    }

    /// A worker has said something.
    pub(in crate::exchange) fn heard(&mut self, now_ms: u64, peer: PeerId) {
        if let Some(worker) = self.workers.get_mut(peer) {
            worker.heard_ms = worker.heard_ms.max(now_ms);
        }
    }

    /// Registers a worker, which is ready.
    pub(in crate::exchange) fn register(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        service: Bytes,
        form: D::Form,
        peers: &mut dyn Peers,
    ) -> Result<(), Refused> {
        if self.workers.contains(peer) {
            return Err(Refused::Twice);
        }
        if self.workers.len() >= self.limits.workers_max || !self.make_service(&service) {
            return Err(Refused::LimitReached);
        }
        let turn = self.workers.next_turn();
        if let Some(entry) = self.services.get_mut(&service) {
            entry.workers += 1;
            entry.ready.insert(turn, peer);
        }
        self.former.remove(&peer);
        self.workers.insert(peer, service.clone(), form, turn, now_ms, self.limits.beat_ms());
        self.dispatch(now_ms, &service, peers);
        Ok(())
    }

    /// Whether there is such a service, or may be one more.
    fn make_service(&mut self, name: &Bytes) -> bool {
        if !self.services.contains_key(name) {
            if self.services.len() >= self.limits.services_max {
                return false;
            }
            self.services.insert(name.clone(), Service::default());
        }
        true
    }

    fn forget_if_idle(&mut self, name: &Bytes) {
        if self.services.get(name).is_some_and(Service::is_idle) {
            self.services.remove(name);
        }
    }

    /// A client asks. What cannot be taken is dropped and counted.
    pub(in crate::exchange) fn request(
        &mut self,
        now_ms: u64,
        client: PeerId,
        service: Bytes,
        back: D::Back,
        body: Frames,
        peers: &mut dyn Peers,
    ) {
        let bytes = weigh_request(&body);
        if !self.may_ask(client, 0)
            || self.requests.len() >= self.limits.requests_max
            || self.requests.bytes().saturating_add(bytes) > self.limits.bytes_max
        {
            return peers.dropped(client, Drop::QueueFull);
        }
        if !self.make_service(&service) {
            return peers.dropped(client, Drop::LimitReached);
        }
        let is_taken_now =
            self.is_next_taken(client, &service, peers) && self.next_ready(&service, peers).is_some();
        let Some(entry) = self.services.get_mut(&service) else { return };
        if !is_taken_now
            && (entry.queued() >= self.limits.queue_requests_max
                || entry.queued_bytes().saturating_add(bytes) > self.limits.queue_bytes_max)
        {
            self.forget_if_idle(&service);
            return peers.dropped(client, Drop::QueueFull);
        }
        let deadline_ms = now_ms.saturating_add(self.limits.wait_ms);
        let id = self.requests.insert(client, service.clone(), back, body, deadline_ms);
        entry.push(client, id, bytes);
        self.dispatch(now_ms, &service, peers);
    }

    /// The worker that is next and reads. Those before it that do not are put aside until they do.
    fn next_ready(&mut self, service: &Bytes, peers: &mut dyn Peers) -> Option<PeerId> {
        let entry = self.services.get_mut(service)?;
        while let Some((turn, worker)) = entry.ready.first_key_value().map(|(turn, worker)| (*turn, *worker))
        {
            if !peers.room(worker).is_full() {
                return Some(worker);
            }
            entry.ready.remove(&turn);
            if let Some(worker) = self.workers.get_mut(worker) {
                worker.activity = Activity::Clogged;
            }
        }
        None
    }

    /// Gives to ready workers what waits, for as long as there is both.
    pub(super) fn dispatch(&mut self, now_ms: u64, service: &Bytes, peers: &mut dyn Peers) {
        while let Some(id) = self.next_waiting(service, peers) {
            let Some(worker) = self.next_ready(service, peers) else { break };
            self.start(now_ms, id, worker, peers);
        }
        self.forget_if_idle(service);
    }

    fn start(&mut self, now_ms: u64, id: RequestId, peer: PeerId, peers: &mut dyn Peers) {
        let bytes = self.requests.bytes_of(id);
        self.requests.start(now_ms, id, peer);
        let tag = self.tag(id);
        let (Some(worker), Some(request)) = (self.workers.get_mut(peer), self.requests.get(id)) else {
            return;
        };
        if let Some(entry) = self.services.get_mut(&worker.service) {
            entry.remove(request.client, id, bytes);
            if let Activity::Ready(turn) = worker.activity {
                entry.ready.remove(&turn);
            }
        }
        worker.activity = Activity::Busy(id);
        // A request shows as well as a heartbeat that the pool lives.
        worker.beat_at_ms = now_ms.saturating_add(self.limits.beat_ms());
        peers.send(peer, D::request(&worker.form, tag, &request.back, request.body.clone()));
        if !self.may_run_again(id) {
            self.requests.forget_body(id);
        }
    }

    /// Whether a request is given to another worker if it loses the one that it has.
    fn may_run_again(&self, id: RequestId) -> bool {
        self.requests.get(id).is_some_and(|request| {
            !self.limits.at_most_once
                && !request.parted
                && request.attempts < ATTEMPTS_MAX
                && request.audience == Audience::Waiting
        })
    }

    /// The address that stands for the client of a request that a worker has: the endpoint's life, the request, the
    /// client, and which worker it is, as the same may get the request twice.
    fn tag(&self, id: RequestId) -> Bytes {
        let (client, attempts) = self.requests.get(id).map_or((0, 0), |one| (one.client.0, one.attempts));
        let mut tag = BytesMut::with_capacity(TAG_BYTES);
        tag.put_u64(self.life);
        tag.put_u64(id.0);
        tag.put_u64(client);
        tag.put_u8(attempts);
        tag.freeze()
    }

    /// A worker replies.
    ///
    /// # Errors
    /// [`Unexpected`] if it is not to the request that this worker has; nothing was done then.
    pub(in crate::exchange) fn reply(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        tag: &[u8],
        is_final: bool,
        body: Frames,
        peers: &mut dyn Peers,
    ) -> Result<(), Unexpected> {
        let Some(Activity::Busy(id)) = self.workers.get(peer).map(|worker| worker.activity) else {
            return Err(Unexpected);
        };
        if self.tag(id) != tag {
            return Err(Unexpected);
        }
        self.heard(now_ms, peer);
        if is_final {
            self.finish(id, body, peers);
            self.make_ready(now_ms, peer, peers);
        } else {
            self.forward_part(id, body, peers);
        }
        Ok(())
    }

    fn forward_part(&mut self, id: RequestId, body: Frames, peers: &mut dyn Peers) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.audience != Audience::Waiting {
            return;
        }
        if !D::takes_parts(&request.back) {
            let frames = request.joined.len().saturating_add(body.len());
            let joined: usize = request.joined.iter().chain(&body).map(Bytes::len).sum();
            let bytes = self.requests.bytes().saturating_add(weigh(&body));
            return match () {
                () if frames > JOINED_FRAMES_MAX || joined > self.limits.joined_bytes_max => {
                    self.give_up(id, Drop::LimitReached, peers)
                }
                () if bytes > self.limits.bytes_max => self.give_up(id, Drop::QueueFull, peers),
                () => self.requests.join(id, body),
            };
        }
        let client = request.client;
        if peers.room(client).is_full() {
            // Without this part those behind it are worth nothing.
            return self.give_up(id, Drop::QueueFull, peers);
        }
        request.parted = true;
        if let Some(frames) = D::reply(&request.back, &request.service, false, body) {
            peers.send(client, frames);
        }
        self.requests.forget_body(id);
    }

    fn finish(&mut self, id: RequestId, body: Frames, peers: &mut dyn Peers) {
        let Some(request) = self.requests.remove(id) else { return };
        match request.audience {
            Audience::GivenUp => {}
            Audience::Overfull(reason) => peers.dropped(request.client, reason),
            Audience::Gone => peers.dropped(request.client, Drop::Unroutable),
            Audience::Waiting if peers.room(request.client).is_full() => {
                peers.dropped(request.client, Drop::QueueFull);
            }
            Audience::Waiting => {
                let mut whole = request.joined;
                whole.extend(body);
                if let Some(frames) = D::reply(&request.back, &request.service, true, whole) {
                    peers.send(request.client, frames);
                }
            }
        }
    }

    /// The rest of a reply is dropped, and the request is not given to another worker.
    pub(super) fn give_up(&mut self, id: RequestId, reason: Drop, peers: &mut dyn Peers) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.audience != Audience::Waiting {
            return;
        }
        if request.client.is_inside() {
            request.audience = Audience::Overfull(reason);
        } else {
            request.audience = Audience::GivenUp;
            peers.dropped(request.client, reason);
        }
        self.requests.forget_body(id);
        self.requests.forget_parts(id);
    }

    /// A worker waits for a request, behind those that wait already.
    pub(super) fn make_ready(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        let turn = self.workers.next_turn();
        let Some(worker) = self.workers.get_mut(peer) else { return };
        worker.activity = Activity::Ready(turn);
        let service = worker.service.clone();
        if let Some(entry) = self.services.get_mut(&service) {
            entry.ready.insert(turn, peer);
        }
        self.dispatch(now_ms, &service, peers);
    }

    /// Removes a worker and tells it so, if the protocol has a word for it.
    pub(in crate::exchange) fn dismiss(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if let Some(service) = self.bid_farewell(now_ms, peer, peers) {
            self.dispatch(now_ms, &service, peers);
        }
    }

    /// What a peer may do has changed: a worker that may not serve its service any more is dismissed.
    pub(in crate::exchange) fn rights_changed(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        let Some(worker) = self.workers.get(peer) else { return };
        if !peers.may(peer, Verb::Serve, &worker.service) {
            peers.dropped(peer, Drop::Forbidden);
            self.dismiss(now_ms, peer, peers);
        }
    }

    /// As [`dismiss`](Self::dismiss), but what the worker had is not yet given to another.
    pub(super) fn bid_farewell(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) -> Option<Bytes> {
        let farewell = self.workers.get(peer).and_then(|worker| D::farewell(&worker.form));
        let service = self.remove_worker(now_ms, peer, peers)?;
        match farewell {
            // It does not read now: it is told when it next says something.
            Some(_) if peers.room(peer).is_full() => self.forget_former(peer),
            Some(frames) => peers.send(peer, frames),
            None => {}
        }
        Some(service)
    }

    /// A worker leaves.
    pub(in crate::exchange) fn leave(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if let Some(service) = self.remove_worker(now_ms, peer, peers) {
            self.dispatch(now_ms, &service, peers);
        }
    }

    /// Removes a worker. What it had waits again, or is dropped. Returns its service.
    fn remove_worker(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) -> Option<Bytes> {
        let worker = self.workers.remove(peer)?;
        self.former.insert(peer);
        if let Some(entry) = self.services.get_mut(&worker.service) {
            entry.workers -= 1;
            if let Activity::Ready(turn) = worker.activity {
                entry.ready.remove(&turn);
            }
        }
        if let Activity::Busy(id) = worker.activity {
            self.lose_worker_of(now_ms, id, peers);
        }
        Some(worker.service)
    }

    fn lose_worker_of(&mut self, now_ms: u64, id: RequestId, peers: &mut dyn Peers) {
        if self.may_run_again(id) {
            self.requests.put_back(id, now_ms.saturating_add(self.limits.wait_ms));
            let bytes = self.requests.bytes_of(id);
            if let Some(request) = self.requests.get(id)
                && let Some(service) = self.services.get_mut(&request.service)
            {
                service.push(request.client, id, bytes);
            }
        } else if let Some(request) = self.requests.remove(id)
            && request.audience != Audience::GivenUp
        {
            peers.dropped(request.client, Drop::WorkerLost);
        }
    }

    /// A peer is gone, whatever it was.
    pub(in crate::exchange) fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        for id in self.requests.orphan(peer) {
            self.lose_client_of(id, peers);
        }
        self.leave(now_ms, peer, peers);
        self.former.remove(&peer);
        self.passed_over.remove(&peer);
    }

    fn lose_client_of(&mut self, id: RequestId, peers: &mut dyn Peers) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.worker.is_some() {
            if request.audience == Audience::GivenUp {
                return;
            }
            request.audience = Audience::Gone;
            self.requests.forget_parts(id);
            return self.requests.forget_body(id);
        }
        let bytes = self.requests.bytes_of(id);
        let Some(request) = self.requests.remove(id) else { return };
        peers.dropped(request.client, Drop::Unroutable);
        if let Some(entry) = self.services.get_mut(&request.service) {
            entry.remove(request.client, id, bytes);
        }
        self.forget_if_idle(&request.service);
    }

    /// A request has waited too long.
    pub(super) fn expire(&mut self, id: RequestId, peers: &mut dyn Peers) {
        let bytes = self.requests.bytes_of(id);
        let Some(request) = self.requests.remove(id) else { return };
        peers.dropped(request.client, Drop::Expired);
        if let Some(entry) = self.services.get_mut(&request.service) {
            entry.remove(request.client, id, bytes);
        }
        self.forget_if_idle(&request.service);
    }
}
