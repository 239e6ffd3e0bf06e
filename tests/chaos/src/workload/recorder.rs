//! Collects what clients see.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use swarmmq::{Delivered, DestinationName, Error, Stored};

use crate::history::{Attempt, Dead, Delivery, Group, History, Key, Kind, Moment, Outcome, Put, Settlement};
use crate::workload::payload;

/// The record of one destination.
#[derive(Debug)]
pub(crate) struct Recorder {
    history: Mutex<History>,
    counts: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    clock: AtomicU64,
    attempted: AtomicU64,
    stored: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    delivered: AtomicU64,
    acked: AtomicU64,
}

/// How much there was so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Puts, repeated ones included.
    pub(crate) attempted: u64,
    pub(crate) stored: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) delivered: u64,
    /// Acknowledgements that were confirmed.
    pub(crate) acked: u64,
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            attempted: self.attempted + other.attempted,
            stored: self.stored + other.stored,
            refused: self.refused + other.refused,
            unknown: self.unknown + other.unknown,
            delivered: self.delivered + other.delivered,
            acked: self.acked + other.acked,
        }
    }
}

impl Recorder {
    pub(crate) fn new(destination: &DestinationName) -> Self {
        let history = History { destination: destination.to_string(), ..History::default() };
        Self { history: Mutex::new(history), counts: Counters::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            attempted: read(&self.counts.attempted),
            stored: read(&self.counts.stored),
            refused: read(&self.counts.refused),
            unknown: read(&self.counts.unknown),
            delivered: read(&self.counts.delivered),
            acked: read(&self.counts.acked),
        }
    }

    /// What was recorded; nothing is left.
    pub(crate) fn take(&self) -> History {
        std::mem::take(&mut *self.history.lock())
    }

    /// Changes the record beyond what clients see.
    pub(crate) fn amend(&self, change: impl FnOnce(&mut History)) {
        change(&mut self.history.lock());
    }

    fn now(&self) -> Moment {
        Moment(self.counts.clock.fetch_add(1, Ordering::Relaxed))
    }

    /// A put begins. Gives which attempt of the message it is.
    pub(crate) fn put(&self, key: Key, is_ordered: bool) -> usize {
        self.counts.attempted.fetch_add(1, Ordering::Relaxed);
        let mut history = self.history.lock();
        let began = self.now();
        let put = history.puts.entry(key).or_insert_with(|| Put { is_ordered, attempts: Vec::new() });
        put.attempts.push(Attempt { began, ended: None });
        put.attempts.len() - 1
    }

    /// What became of a put.
    pub(crate) fn put_ended(&self, key: Key, attempt: usize, result: Result<Stored, Error>) {
        let outcome = match result {
            Ok(stored) => Outcome::Stored { sequence: stored.sequence.0, duplicate: stored.duplicate },
            Err(error) if error.is_uncertain() => Outcome::Unknown(error.to_string()),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        self.put_answered(key, attempt, outcome);
    }

    /// What became of a put.
    pub(crate) fn put_answered(&self, key: Key, attempt: usize, outcome: Outcome) {
        let counter = match &outcome {
            Outcome::Stored { .. } => &self.counts.stored,
            Outcome::Refused(_) => &self.counts.refused,
            Outcome::Unknown(_) => &self.counts.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut history = self.history.lock();
        let at = self.now();
        if let Some(attempt) = history.puts.get_mut(&key).and_then(|put| put.attempts.get_mut(attempt)) {
            attempt.ended = Some((at, outcome));
        }
    }

    /// A message came to `group`. `None`, and a breach, if it is nobody's.
    pub(crate) fn delivered(&self, group: &str, delivered: &Delivered) -> Option<Key> {
        self.counts.delivered.fetch_add(1, Ordering::Relaxed);
        let mut history = self.history.lock();
        let at = self.now();
        let key = self.key(&mut history, &delivered.message().payload)?;
        let receipt = delivered.receipt();
        let (sequence, attempt) = (receipt.sequence.0, delivered.attempt());
        let delivery = Delivery { at, key, sequence, token: receipt.token, attempt };
        entry(&mut history, group).deliveries.push(delivery);
        Some(key)
    }

    /// A consumer of `group` settles a message. Gives which settlement of the group it is.
    pub(crate) fn settlement(&self, group: &str, key: Key, token: u64, kind: Kind) -> usize {
        let mut history = self.history.lock();
        let began = self.now();
        let settlements = &mut entry(&mut history, group).settlements;
        settlements.push(Settlement { began, key, token, kind, ended: None });
        settlements.len() - 1
    }

    /// What became of a settlement.
    pub(crate) fn settled(&self, group: &str, settlement: usize, result: &Result<(), Error>) {
        let mut history = self.history.lock();
        let at = self.now();
        if let Some(settlement) = entry(&mut history, group).settlements.get_mut(settlement) {
            let result = result.as_ref().map_err(ToString::to_string).copied();
            if settlement.kind == Kind::Ack && result.is_ok() {
                self.counts.acked.fetch_add(1, Ordering::Relaxed);
            }
            settlement.ended = Some((at, result));
        }
    }

    /// A dead letter came.
    pub(crate) fn dead(&self, delivered: &Delivered) {
        let mut history = self.history.lock();
        let at = self.now();
        if let Some(key) = self.key(&mut history, &delivered.message().payload) {
            history.dead.push(Dead { at, key, sequence: delivered.sequence().0 });
        }
    }

    /// A message stands in the log.
    pub(crate) fn logged(&self, delivered: &Delivered) {
        let mut history = self.history.lock();
        if let Some(key) = self.key(&mut history, &delivered.message().payload) {
            history.log.get_or_insert_default().push((delivered.sequence().0, key));
        }
    }

    fn key(&self, history: &mut History, payload: &[u8]) -> Option<Key> {
        payload::read(payload).map_err(|seen| history.foreign.push(seen)).ok()
    }
}

fn entry<'a>(history: &'a mut History, group: &str) -> &'a mut Group {
    history.groups.entry(group.to_owned()).or_default()
}
