//! Stored requests and the workers of their services.

use bytes::Bytes;
use swarmmq_protocol::EncodedMessage;

use super::broker::{RETRY_MS, Titanic};
use super::ledger::{Place, State};
use super::record::{Kind, Record, body};
use crate::exchange::inside::{Inside, Outcome};
use crate::exchange::service::Back;
use crate::exchange::{Drop, Frames, PeerId, Peers};

/// How long a request waits whose workers died or whose reply found no room, the first time; each further time twice as
/// long.
const LOSS_PAUSE_MIN_MS: u64 = 1000;
/// And at most so long.
const LOSS_PAUSE_MAX_MS: u64 = 60_000;

impl Titanic {
    /// Takes what the pool has done, and gives it what waits.
    pub(super) fn follow_up(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        self.take_outcomes(now_ms, peers);
        if !self.is_open {
            return;
        }
        if !self.has_room_for_replies() {
            self.take_back(now_ms, peers);
        }
        while let Some(service) = self.eager.pop_first() {
            if self.beside.get(&service).is_some_and(|job| !self.majordomo.pool.waits(*job)) {
                self.beside.remove(&service);
            }
            while self.may_give(&service)
                && let Some(id) = self.ledger.next_of(&service)
                && self.give(now_ms, id, peers)
            {
                self.take_outcomes(now_ms, peers);
            }
        }
    }

    /// There may be a worker for what waits for a service, or something to wait beside.
    pub(super) fn look_at_service(&mut self, service: Option<Bytes>) {
        if let Some(service) = service
            && let Some(known) = self.ledger.waited_for_as(&service)
        {
            self.eager.insert(known.clone());
        }
    }

    /// Whether the pool may have one more request of a service: for a worker that is ready, or one that waits among those
    /// of clients.
    fn may_give(&self, service: &[u8]) -> bool {
        let pool = &self.majordomo.pool;
        let is_taken = pool.ready_of(service) > 0
            || (pool.workers_of(service) > 0
                && pool.queued_of(service) > 0
                && !self.beside.contains_key(service));
        is_taken && self.ledger.working(service) < self.limits.working_max && self.has_room_for_replies()
    }

    /// Takes back what the pool has and no worker yet.
    fn take_back(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        for job in std::mem::take(&mut self.beside).into_values() {
            if self.majordomo.pool.waits(job)
                && let Some(id) = self.jobs.get(&job).copied()
            {
                self.queue_again(now_ms, id, peers);
            }
        }
    }

    fn has_room_for_replies(&self) -> bool {
        !self.ledger.has_refused_replies() && self.ledger.reply_bytes() < self.limits.reply_bytes_max
    }

    /// A reply may be gone: where there was no room for more, all services have to be looked at.
    pub(super) fn look_at_room_for_replies(&mut self) {
        if self.is_out_of_room && self.has_room_for_replies() {
            self.eager = self.ledger.waited_for().cloned().collect();
        }
        self.is_out_of_room = !self.has_room_for_replies();
    }

    /// Gives a request to the pool. If that is full the request waits again: no other is tried for it then.
    fn give(&mut self, now_ms: u64, id: u128, peers: &mut dyn Peers) -> bool {
        let job = self.majordomo.next_inside();
        let until_ms = now_ms.saturating_add(self.limits.work_ms);
        let given = self.ledger.change(id, |entry| {
            let State::Waiting { request, .. } = &entry.state else { return None };
            let request = request.clone();
            entry.state = State::Working { request: request.clone(), job, until_ms };
            Some((entry.service.clone(), request))
        });
        let Some((service, request)) = given.flatten() else { return false };
        self.jobs.insert(job, id);
        let mut inside = Inside { peers, outcomes: &mut self.outcomes };
        let frames = body(&request);
        self.majordomo.pool.request(now_ms, job, service.clone(), Back::Inside, frames, &mut inside);
        if self.majordomo.pool.waits(job) {
            self.beside.insert(service, job);
        }
        let is_refused = |last: &mut (PeerId, Outcome)| last.0 == job && matches!(last.1, Outcome::Lost(_));
        let is_taken = self.outcomes.pop_back_if(is_refused).is_none();
        if !is_taken {
            self.jobs.remove(&job);
            self.let_wait(id, Some(now_ms.saturating_add(RETRY_MS)));
        }
        is_taken
    }

    /// A request waits for a worker again; not before the time, if there is one.
    fn let_wait(&mut self, id: u128, from_ms: Option<u64>) {
        self.ledger.change(id, |entry| {
            if let State::Waiting { request, .. } | State::Working { request, .. } = &entry.state {
                entry.state = State::Waiting { request: request.clone(), from_ms };
            }
        });
    }

    /// As [`Self::let_wait`]. It or another of its service may be given out now.
    fn wait_again(&mut self, id: u128, from_ms: Option<u64>) {
        self.let_wait(id, from_ms);
        let service = self.ledger.get(id).map(|entry| entry.service.clone());
        self.eager.extend(service);
    }

    fn take_outcomes(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        while let Some((job, outcome)) = self.outcomes.pop_front() {
            match (self.jobs.remove(&job), outcome) {
                (Some(id), Outcome::Reply(frames)) => self.take_reply(now_ms, id, &frames, peers),
                (Some(id), Outcome::Lost(reason)) => self.lose(now_ms, id, reason, peers),
                // It was closed meanwhile, or given out again.
                (None, Outcome::Lost(reason)) => peers.dropped(job, reason),
                (None, Outcome::Reply(_)) => peers.dropped(job, Drop::Unexpected),
            }
        }
    }

    /// A worker has answered: its reply counts once it is synced.
    fn take_reply(&mut self, now_ms: u64, id: u128, frames: &Frames, peers: &mut dyn Peers) {
        let Some(entry) = self.ledger.get(id) else { return };
        let (service, user) = (entry.service.clone(), entry.user.clone());
        self.eager.insert(service.clone());
        let record = Record { id, kind: Kind::Reply, service, user };
        let Some(reply) = self.write(&record, frames) else { return self.give_up(now_ms, id, peers) };
        let is_open = self.is_open;
        self.ledger.change(id, |entry| {
            let again_ms = (!is_open).then(|| now_ms.saturating_add(RETRY_MS));
            entry.state = State::Replying { reply: reply.clone(), again_ms, was_refused: false };
        });
        if is_open {
            self.put(id, Kind::Reply, reply);
        }
        self.look_at_room_for_replies();
    }

    /// The reply to a request cannot be stored, and never will be: its client asks in vain, and hears 400.
    pub(super) fn give_up(&mut self, now_ms: u64, id: u128, peers: &mut dyn Peers) {
        peers.dropped(PeerId::inside(0), Drop::LimitReached);
        self.begin_closing(now_ms, id, Vec::new(), peers);
    }

    /// The pool has no reply to a request. Unless there never will be one, the request is given to the pool again.
    fn lose(&mut self, now_ms: u64, id: u128, reason: Drop, peers: &mut dyn Peers) {
        match reason {
            // It waited for a worker only.
            Drop::Expired => return self.wait_again(id, None),
            // The pool cannot keep so many parts, and as one record they cannot be stored.
            Drop::LimitReached => return self.give_up(now_ms, id, peers),
            Drop::WorkerLost => {}
            reason => peers.dropped(PeerId::inside(0), reason),
        }
        let losses = self.ledger.change(id, |entry| {
            entry.losses = entry.losses.saturating_add(1);
            entry.losses
        });
        let doubled_ms = LOSS_PAUSE_MIN_MS << losses.unwrap_or(0).saturating_sub(1).min(16);
        self.wait_again(id, Some(now_ms.saturating_add(doubled_ms.min(LOSS_PAUSE_MAX_MS))));
    }

    /// Takes a request away from the pool. What its worker still replies is dropped.
    pub(super) fn cancel_job_of(&mut self, now_ms: u64, id: u128, peers: &mut dyn Peers) {
        let Some(State::Working { job, .. }) = self.ledger.get(id).map(|entry| &entry.state) else { return };
        let job = *job;
        self.jobs.remove(&job);
        let before = self.outcomes.len();
        self.majordomo.pool.detach(now_ms, job, &mut Inside { peers, outcomes: &mut self.outcomes });
        // That it is dropped there is no loss.
        self.outcomes.truncate(before);
        let service = self.ledger.get(id).map(|entry| entry.service.clone());
        self.eager.extend(service);
    }

    /// Looks at the requests whose time has come.
    pub(super) fn handle_alarms(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        while let Some(id) = self.ledger.alarmed(now_ms) {
            let Some(entry) = self.ledger.get(id) else { return };
            if entry.expires_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                peers.dropped(PeerId::inside(0), Drop::Expired);
                self.begin_closing(now_ms, id, Vec::new(), peers);
                continue;
            }
            match &entry.state {
                State::Working { job, .. } => match self.works_until(now_ms, *job) {
                    until_ms if until_ms <= now_ms => self.queue_again(now_ms, id, peers),
                    until_ms => self.let_work(id, until_ms),
                },
                State::Waiting { .. } => self.queue_again(now_ms, id, peers),
                State::Replying { reply, .. } => {
                    let reply = reply.clone();
                    self.reply_again(now_ms, id, reply);
                }
                State::Storing { .. } | State::Answered { .. } | State::Closing { .. } => return,
            }
        }
    }

    /// Until when a job may be with the worker that has it; if it waits for one, with the one that has it next, at least.
    fn works_until(&self, now_ms: u64, job: PeerId) -> u64 {
        let began_ms = self.majordomo.pool.began_ms(job).unwrap_or(now_ms);
        began_ms.saturating_add(self.limits.work_ms)
    }

    fn let_work(&mut self, id: u128, at_ms: u64) {
        self.ledger.change(id, |entry| {
            if let State::Working { until_ms, .. } = &mut entry.state {
                *until_ms = at_ms;
            }
        });
    }

    /// A request may be given to a worker again: it has waited, or its worker has taken too long.
    fn queue_again(&mut self, now_ms: u64, id: u128, peers: &mut dyn Peers) {
        self.cancel_job_of(now_ms, id, peers);
        self.wait_again(id, None);
    }

    /// Puts a reply that the queue did not take.
    pub(super) fn reply_again(&mut self, now_ms: u64, id: u128, message: EncodedMessage) {
        let is_open = self.is_open;
        self.ledger.change(id, |entry| {
            if let State::Replying { again_ms, .. } = &mut entry.state {
                *again_ms = (!is_open).then(|| now_ms.saturating_add(RETRY_MS));
            }
        });
        if is_open {
            self.put(id, Kind::Reply, message);
        }
    }

    /// The reply of an entry is synced. Its request is not needed any more.
    pub(super) fn become_answered(&mut self, now_ms: u64, id: u128) {
        let expires_ms = now_ms.saturating_add(self.limits.reply_ttl_ms);
        let request = self.ledger.change(id, |entry| {
            let State::Replying { reply, .. } = &entry.state else { return Place::Nowhere };
            entry.state = State::Answered { reply: reply.clone() };
            entry.expires_ms = Some(expires_ms);
            entry.request
        });
        if let Some(Place::At(sequence)) = request {
            self.receipts.doom(sequence, id);
        }
        self.look_at_room_for_replies();
    }
}
