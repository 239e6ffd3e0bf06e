//! A queue for the tests: what is synced survives, leases do not.

use std::collections::BTreeMap;

use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::{EncodedMessage, Receipt, Sequence};

use crate::exchange::{Exchange, Peers, Refusal, StorageEvent, StorageRequest};

/// See the module.
#[derive(Default)]
pub(super) struct Queue {
    records: BTreeMap<u64, (u64, EncodedMessage)>,
    leases: BTreeMap<u64, u64>,
    last: u64,
    tokens: u64,
    pub(super) now_ms: u64,
    /// What was asked and is not answered.
    pub(super) asked: Vec<StorageRequest>,
    /// It lets go of messages and takes none.
    pub(super) is_full: bool,
}

/// What becomes of something that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Done,
    Refused,
    /// It is done, and the answer is lost.
    DoneUnknown,
    /// It is not done, and the answer is lost.
    RefusedUnknown,
    /// It is not done, and never will be.
    Never,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The process ends: some of what was asked is done.
    pub(super) fn crash(&mut self, mut is_done: impl FnMut() -> bool) {
        for request in std::mem::take(&mut self.asked) {
            if is_done() {
                self.apply(&request);
            }
        }
        self.leases.clear();
    }

    pub(super) fn poll(&mut self, exchange: &mut dyn Exchange) {
        self.asked.extend(std::iter::from_fn(|| exchange.poll_storage()));
        assert!(!exchange.wants_storage());
    }

    fn apply(&mut self, request: &StorageRequest) -> (u64, Vec<SettleOutcome>) {
        match request {
            StorageRequest::Put { message, .. } => {
                self.last += 1;
                self.records.insert(self.last, (self.now_ms, message.clone()));
                (self.last, Vec::new())
            }
            StorageRequest::Settle { receipts } => {
                (0, receipts.iter().map(|receipt| self.settle(*receipt)).collect())
            }
        }
    }

    fn settle(&mut self, receipt: Receipt) -> SettleOutcome {
        let sequence = receipt.sequence.0;
        match self.leases.get(&sequence) {
            _ if !self.records.contains_key(&sequence) => SettleOutcome::AlreadySettled,
            Some(token) if *token == receipt.token => {
                self.leases.remove(&sequence);
                self.records.remove(&sequence);
                SettleOutcome::Done
            }
            _ => SettleOutcome::Stale,
        }
    }

    /// Answers one of those that were asked.
    pub(super) fn answer(
        &mut self,
        now_ms: u64,
        nth: usize,
        fate: Fate,
        exchange: &mut dyn Exchange,
        peers: &mut dyn Peers,
    ) {
        let fate = self.fate_of(nth, fate);
        let request = self.asked.remove(nth);
        let is_done = matches!(fate, Fate::Done | Fate::DoneUnknown);
        let (sequence, outcomes) = if is_done { self.apply(&request) } else { (0, Vec::new()) };
        let is_known = matches!(fate, Fate::Done | Fate::Refused | Fate::Never);
        let event = match request {
            StorageRequest::Put { token, .. } => match fate {
                Fate::Done => StorageEvent::Stored { token, sequence: Sequence(sequence) },
                Fate::Refused => StorageEvent::Refused { token, refusal: Refusal::Later },
                Fate::Never => StorageEvent::Refused { token, refusal: Refusal::Never },
                _ => StorageEvent::Refused { token, refusal: Refusal::Unknown },
            },
            StorageRequest::Settle { .. } if fate == Fate::Done => StorageEvent::Settled { outcomes },
            StorageRequest::Settle { .. } => StorageEvent::Unsettled,
        };
        exchange.handle_storage(now_ms, event, peers);
        if !is_known {
            exchange.handle_storage(now_ms, StorageEvent::Closed, peers);
        }
    }

    /// What becomes of one of those that were asked: a full queue stores nothing, and it can always let go.
    pub(super) fn fate_of(&self, nth: usize, fate: Fate) -> Fate {
        match (&self.asked[nth], fate) {
            (StorageRequest::Put { .. }, Fate::Done | Fate::DoneUnknown) if self.is_full => Fate::Refused,
            (StorageRequest::Settle { .. }, Fate::Never) => Fate::Done,
            _ => fate,
        }
    }

    /// Delivers one of the records that are not leased. Says whether there was one.
    pub(super) fn deliver(
        &mut self,
        now_ms: u64,
        nth: usize,
        exchange: &mut dyn Exchange,
        peers: &mut dyn Peers,
    ) -> bool {
        let mut ready = self.records.iter().filter(|(sequence, _)| !self.leases.contains_key(sequence));
        let first = ready.next();
        let next = if nth == 0 { first } else { ready.nth(nth - 1).or(first) };
        let Some((sequence, (stored_ms, message))) = next else { return false };
        self.tokens += 1;
        self.leases.insert(*sequence, self.tokens);
        let receipt = Receipt { sequence: Sequence(*sequence), token: self.tokens };
        let event = StorageEvent::Delivered { receipt, stored_ms: *stored_ms, message: message.clone() };
        exchange.handle_storage(now_ms, event, peers);
        true
    }

    /// A lease runs out.
    pub(super) fn lapse(&mut self, nth: usize) {
        if let Some(sequence) = self.leases.keys().nth(nth).copied() {
            self.leases.remove(&sequence);
        }
    }

    /// A new subscription; what was asked before has to be answered.
    pub(super) fn open(&mut self, now_ms: u64, exchange: &mut dyn Exchange, peers: &mut dyn Peers) {
        assert!(self.asked.is_empty());
        self.leases.clear();
        exchange.handle_storage(now_ms, StorageEvent::Opened, peers);
    }

    pub(super) fn count(&self, now_ms: u64, exchange: &mut dyn Exchange, peers: &mut dyn Peers) {
        let oldest_ms = self.records.values().next().map_or(self.now_ms, |(stored_ms, _)| *stored_ms);
        let (messages, oldest_age_ms) = (self.records.len() as u64, self.now_ms - oldest_ms);
        exchange.handle_storage(now_ms, StorageEvent::Counted { messages, oldest_age_ms }, peers);
    }

    /// Opens the queue, delivers all of it and says that it is all.
    pub(super) fn read(&mut self, now_ms: u64, exchange: &mut dyn Exchange, peers: &mut dyn Peers) {
        self.open(now_ms, exchange, peers);
        while self.deliver(now_ms, 0, exchange, peers) {}
        self.count(now_ms, exchange, peers);
        assert!(exchange.has_read_storage());
    }

    /// Does all that is asked, until nothing is, and delivers all there is.
    pub(super) fn run(&mut self, now_ms: u64, exchange: &mut dyn Exchange, peers: &mut dyn Peers) {
        loop {
            self.poll(exchange);
            if !self.asked.is_empty() {
                self.answer(now_ms, 0, Fate::Done, exchange, peers);
            } else if !self.deliver(now_ms, 0, exchange, peers) {
                return;
            }
        }
    }

    /// Puts what the exchange did not.
    pub(super) fn smuggle(&mut self, message: EncodedMessage) {
        self.last += 1;
        self.records.insert(self.last, (self.now_ms, message));
    }

    /// Somebody empties the queue.
    pub(super) fn purge(&mut self) {
        self.records.clear();
        self.leases.clear();
    }
}
