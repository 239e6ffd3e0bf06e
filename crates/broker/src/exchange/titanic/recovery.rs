//! What the queue says, and how it is read.

use std::collections::BTreeMap;

use swarmmq_protocol::zeromq::tsp::{CloseReply, Status, StoreReply};
use swarmmq_protocol::{EncodedMessage, Receipt};

use super::broker::{RETRY_MS, Titanic};
use super::ledger::{Entry, Place, State};
use super::record::{Kind, Record, detached};
use crate::exchange::{Drop, PeerId, Peers, Refusal, StorageEvent, StorageRequest};

/// What was found in the queue while it is read.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// When the oldest record was stored, by the queue's clock.
    oldest_ms: Option<u64>,
    /// Requests that were not known before, and when the record was stored from which their time counts.
    found: BTreeMap<u128, u64>,
}

impl Titanic {
    pub(super) fn handle_event(&mut self, now_ms: u64, event: StorageEvent, peers: &mut dyn Peers) {
        match event {
            StorageEvent::Opened => {
                self.is_open = false;
                self.receipts.reopen();
                self.recovery = Some(Recovery::default());
            }
            StorageEvent::Closed => self.handle_closed(now_ms, peers),
            StorageEvent::Delivered { receipt, stored_ms, message } => {
                self.handle_delivered(now_ms, receipt, stored_ms, &message, peers);
            }
            StorageEvent::Counted { messages, oldest_age_ms } => {
                self.handle_counted(now_ms, messages, oldest_age_ms, peers);
            }
            StorageEvent::Stored { token, sequence } => {
                self.handle_stored(now_ms, token, sequence.0, peers);
            }
            StorageEvent::Refused { token, refusal } => {
                self.handle_refused(now_ms, token, refusal, peers);
            }
            StorageEvent::Settled { outcomes } => {
                let settled = self.receipts.settled(&outcomes);
                self.handle_gone(settled, peers);
            }
            StorageEvent::Unsettled => {
                self.receipts.unsettled();
                self.settle_again_ms = Some(now_ms.saturating_add(RETRY_MS));
            }
        }
    }

    fn handle_closed(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        self.is_open = false;
        self.recovery = None;
        // What was not asked of the queue yet will not be.
        for request in std::mem::take(&mut self.outgoing) {
            if let StorageRequest::Put { token, .. } = request {
                self.handle_refused(now_ms, token, Refusal::Later, peers);
            }
        }
    }

    fn handle_delivered(
        &mut self,
        now_ms: u64,
        receipt: Receipt,
        stored_ms: u64,
        message: &EncodedMessage,
        peers: &mut dyn Peers,
    ) {
        let sequence = receipt.sequence.0;
        let is_new = !self.receipts.is_leased(sequence);
        self.receipts.lease(receipt);
        if let Some(recovery) = &mut self.recovery {
            recovery.oldest_ms = Some(recovery.oldest_ms.map_or(stored_ms, |oldest| oldest.min(stored_ms)));
        }
        let Some(record) = Record::read(message) else {
            // Whatever it is, it is not for us to throw away.
            if is_new {
                peers.dropped(PeerId::inside(0), Drop::Malformed);
            }
            return;
        };
        let (id, kind) = (record.id, record.kind);
        if self.receipts.is_doomed(sequence) {
            return;
        }
        if self.ledger.get(id).is_none() {
            match &mut self.recovery {
                Some(_) => self.recover(record, sequence, stored_ms, message),
                // Its put was refused, as far as was known, and its client told so.
                None => self.receipts.doom(sequence, id),
            }
            return;
        }
        let place = self.ledger.change(id, |entry| {
            let place = entry.place(kind);
            let before = *place;
            if matches!(before, Place::Nowhere | Place::UnderWay(_) | Place::Unknown) {
                *place = Place::At(sequence);
            }
            before
        });
        match place {
            Some(Place::UnderWay(_) | Place::Unknown) => self.become_synced(now_ms, id, kind, peers),
            Some(Place::Nowhere) => self.adopt(now_ms, id, kind, stored_ms, message, peers),
            Some(Place::At(known)) if known == sequence => {}
            _ => self.receipts.doom(sequence, id),
        }
    }

    /// A record that was put is synced.
    fn become_synced(&mut self, now_ms: u64, id: u128, kind: Kind, peers: &mut dyn Peers) {
        let Some(entry) = self.ledger.get(id) else { return };
        match (&entry.state, kind) {
            (State::Storing { .. }, _) => self.become_stored(now_ms, id, peers),
            (State::Replying { .. }, Kind::Reply) => self.become_answered(now_ms, id),
            (State::Closing { .. }, _) => {
                for place in [entry.request, entry.reply] {
                    if let Place::At(sequence) = place {
                        self.receipts.doom(sequence, id);
                    }
                }
            }
            _ => {}
        }
    }

    /// A request that was not known is in the queue.
    fn recover(&mut self, record: Record, sequence: u64, stored_ms: u64, message: &EncodedMessage) {
        let Some(message) = detached(message) else { return };
        let Record { id, kind, service, user } = record;
        let state = match kind {
            Kind::Request => State::Waiting { request: message, from_ms: None },
            Kind::Reply => State::Answered { reply: message },
        };
        let (request, reply) = (Place::Nowhere, Place::Nowhere);
        let mut entry = Entry { service, user, request, reply, state, expires_ms: None, losses: 0 };
        *entry.place(kind) = Place::At(sequence);
        self.ledger.insert(id, entry);
        if let Some(recovery) = &mut self.recovery {
            recovery.found.insert(id, stored_ms);
        }
    }

    /// A record of a known request is in the queue that was not thought to be: the other one of a request that is being
    /// recovered, or a reply whose put seemed to have failed.
    fn adopt(
        &mut self,
        now_ms: u64,
        id: u128,
        kind: Kind,
        stored_ms: u64,
        message: &EncodedMessage,
        peers: &mut dyn Peers,
    ) {
        let is_unanswered = |state: &State| matches!(state, State::Waiting { .. } | State::Working { .. });
        match (self.ledger.get(id).map(|entry| &entry.state), kind) {
            (Some(state), Kind::Reply) if is_unanswered(state) => {
                let Some(reply) = detached(message) else { return };
                self.cancel_job_of(now_ms, id, peers);
                self.ledger.change(id, |entry| {
                    entry.state = State::Replying { reply, again_ms: None, was_refused: false }
                });
                self.become_answered(now_ms, id);
                if let Some(recovery) = &mut self.recovery
                    && let Some(since_ms) = recovery.found.get_mut(&id)
                {
                    *since_ms = stored_ms;
                }
            }
            (Some(State::Replying { .. }), Kind::Reply) => self.become_answered(now_ms, id),
            (Some(State::Answered { .. }), Kind::Request) => self.doom_request_of(id),
            _ => self.become_synced(now_ms, id, kind, peers),
        }
    }

    fn doom_request_of(&mut self, id: u128) {
        if let Some(Place::At(sequence)) = self.ledger.get(id).map(|entry| entry.request) {
            self.receipts.doom(sequence, id);
        }
    }

    /// The queue holds so many messages. When all of them were delivered, all of it is known.
    fn handle_counted(&mut self, now_ms: u64, messages: u64, oldest_age_ms: u64, peers: &mut dyn Peers) {
        if (self.receipts.leased() as u64) < messages {
            return;
        }
        let Some(recovery) = self.recovery.take() else { return };
        let store_now_ms = recovery.oldest_ms.unwrap_or(0).saturating_add(oldest_age_ms);
        for (id, stored_ms) in recovery.found {
            let age_ms = store_now_ms.saturating_sub(stored_ms);
            let (request_ttl_ms, reply_ttl_ms) = (self.limits.request_ttl_ms, self.limits.reply_ttl_ms);
            self.ledger.change(id, |entry| {
                let ttl_ms = match entry.state {
                    State::Answered { .. } => reply_ttl_ms,
                    _ => request_ttl_ms,
                };
                entry.expires_ms = Some(now_ms.saturating_add(ttl_ms.saturating_sub(age_ms)));
            });
        }
        self.is_open = true;
        self.patience_ms = None;
        self.settle_again_ms = None;
        self.settle_doubts(now_ms, peers);
        self.look_at_room_for_replies();
        let jobs = &self.jobs;
        self.beside.retain(|_, job| jobs.contains_key(job));
        self.eager = self.ledger.waited_for().cloned().collect();
    }

    /// All that is in the queue is known: what was thought to be in it, or could have been, and is not, is not there.
    fn settle_doubts(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        let missing = self.receipts.forget_missing();
        self.handle_gone(missing, peers);
        let doubted = self.ledger.iter().filter(|(_, entry)| entry.reply == Place::Unknown);
        for id in doubted.map(|(id, _)| id).collect::<Vec<_>>() {
            self.ledger.change(id, |entry| entry.reply = Place::Nowhere);
            self.end_closing(id, peers);
            if let Some(State::Replying { reply, .. }) = self.ledger.get(id).map(|entry| &entry.state) {
                let reply = reply.clone();
                self.reply_again(now_ms, id, reply);
            }
        }
        self.forget_taken(now_ms, peers);
    }

    /// Forgets what somebody else has taken out of the queue.
    fn forget_taken(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        let is_missing = |place| matches!(place, Place::At(sequence) if !self.receipts.is_leased(sequence));
        let is_taken = |entry: &Entry| match entry.state {
            State::Waiting { .. } | State::Working { .. } => is_missing(entry.request),
            State::Answered { .. } => is_missing(entry.reply),
            _ => false,
        };
        let entries = self.ledger.iter();
        let taken: Vec<u128> = entries.filter(|(_, entry)| is_taken(entry)).map(|(id, _)| id).collect();
        for id in taken {
            self.cancel_job_of(now_ms, id, peers);
            self.ledger.remove(id);
            peers.dropped(PeerId::inside(0), Drop::Unavailable);
        }
    }

    fn handle_stored(&mut self, now_ms: u64, token: u64, sequence: u64, peers: &mut dyn Peers) {
        let Some((id, kind)) = self.puts.remove(&token) else { return };
        // If it was delivered before, that counts.
        let is_news = self.ledger.change(id, |entry| {
            let place = entry.place(kind);
            let is_news = *place == Place::UnderWay(token);
            if is_news {
                *place = Place::At(sequence);
            }
            is_news
        });
        if is_news == Some(true) {
            self.become_synced(now_ms, id, kind, peers);
        }
    }

    fn handle_refused(&mut self, now_ms: u64, token: u64, refusal: Refusal, peers: &mut dyn Peers) {
        let Some((id, kind)) = self.puts.remove(&token) else { return };
        let is_news = self.ledger.change(id, |entry| {
            let place = entry.place(kind);
            let is_news = *place == Place::UnderWay(token);
            if is_news {
                *place = if refusal == Refusal::Unknown { Place::Unknown } else { Place::Nowhere };
            }
            is_news
        });
        if is_news != Some(true) {
            return;
        }
        match (self.ledger.get(id).map(|entry| &entry.state), refusal) {
            (Some(State::Storing { .. }), Refusal::Never) => {
                self.refuse_to_store(id, Status::Unknown, Drop::LimitReached, peers);
            }
            (Some(State::Storing { .. }), _) => {
                self.refuse_to_store(id, Status::Error, Drop::Unavailable, peers);
            }
            (Some(State::Replying { .. }), Refusal::Never) => self.give_up(now_ms, id, peers),
            (Some(State::Replying { .. }), Refusal::Later) => {
                let at_ms = now_ms.saturating_add(RETRY_MS);
                self.ledger.change(id, |entry| {
                    if let State::Replying { again_ms, was_refused, .. } = &mut entry.state {
                        *again_ms = Some(at_ms);
                        *was_refused = true;
                    }
                });
                self.look_at_room_for_replies();
            }
            (Some(State::Closing { .. }), Refusal::Unknown) => {
                let asks = self.ledger.change(id, |entry| match &mut entry.state {
                    State::Closing { asks } => std::mem::take(asks),
                    _ => Vec::new(),
                });
                self.answer_all(asks.unwrap_or_default(), &CloseReply::Refused(Status::Error).body(), peers);
            }
            (Some(State::Closing { .. }), _) => self.end_closing(id, peers),
            _ => {}
        }
    }

    /// A request was not stored, as far as is known.
    fn refuse_to_store(&mut self, id: u128, status: Status, reason: Drop, peers: &mut dyn Peers) {
        if let Some(Entry { state: State::Storing { ask, .. }, .. }) = self.ledger.remove(id) {
            peers.dropped(ask.peer, reason);
            self.clients.answer_kept(ask, StoreReply::Refused(status).body(), peers);
        }
    }

    /// Records that are not in the queue any more.
    fn handle_gone(&mut self, gone: Vec<(u64, u128)>, peers: &mut dyn Peers) {
        for (sequence, id) in gone {
            self.ledger.change(id, |entry| {
                for place in [&mut entry.request, &mut entry.reply] {
                    if *place == Place::At(sequence) {
                        *place = Place::Gone;
                    }
                }
            });
            self.end_closing(id, peers);
        }
    }
}
