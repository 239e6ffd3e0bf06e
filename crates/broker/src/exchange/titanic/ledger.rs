//! All requests that are not closed, and the ways to find them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::EncodedMessage;

use super::clients::Ask;
use super::record::{Kind, weigh};
use crate::exchange::PeerId;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It was not put.
    Nowhere,
    /// On its way to the queue, with this token.
    UnderWay(u64),
    /// It was put, and may be in the queue or not: that shows when the queue is read again.
    Unknown,
    /// In the queue, synced, at this sequence.
    At(u64),
    /// It was in the queue and is settled.
    Gone,
}

/// What becomes of a request: see the module's graph.
#[derive(Debug)]
pub(super) enum State {
    Storing {
        ask: Ask,
        request: EncodedMessage,
    },
    /// For a worker; not before the time, if there is one.
    Waiting {
        request: EncodedMessage,
        from_ms: Option<u64>,
    },
    Working {
        request: EncodedMessage,
        job: PeerId,
        /// When to look whether its worker has had it for too long.
        until_ms: u64,
    },
    /// Its reply is on its way to the queue, or is to be put again.
    Replying {
        reply: EncodedMessage,
        again_ms: Option<u64>,
        /// The queue did not take it when it was put before.
        was_refused: bool,
    },
    Answered {
        reply: EncodedMessage,
    },
    /// Its records are being settled.
    Closing {
        asks: Vec<Ask>,
    },
}

/// A request.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) service: Bytes,
    pub(super) user: Arc<str>,
    pub(super) request: Place,
    pub(super) reply: Place,
    pub(super) state: State,
    /// When its time is over; none while that is not known.
    pub(super) expires_ms: Option<u64>,
    /// How often the pool gave it up: its workers died, or its reply found no room.
    pub(super) losses: u32,
}

impl Entry {
    pub(super) fn place(&mut self, kind: Kind) -> &mut Place {
        match kind {
            Kind::Request => &mut self.request,
            Kind::Reply => &mut self.reply,
        }
    }

    /// Whether this user's questions find it.
    pub(super) fn is_known_to(&self, user: &str) -> bool {
        *self.user == *user && !matches!(self.state, State::Storing { .. } | State::Closing { .. })
    }
}

/// How an entry is found and counted. It follows from the entry alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Index {
    alarm_ms: Option<u64>,
    /// Its service and its place in the line, if it is to be given to a worker.
    queued: Option<(Bytes, u64)>,
    works_for: Option<Bytes>,
    request_bytes: usize,
    reply_bytes: usize,
    was_refused: bool,
}

impl Index {
    fn of(entry: &Entry) -> Self {
        let expires = entry.expires_ms;
        let sooner = |at_ms: u64| Some(expires.map_or(at_ms, |expires| expires.min(at_ms)));
        match &entry.state {
            State::Storing { request, .. } => Self { request_bytes: weigh(request), ..Self::default() },
            State::Waiting { request, from_ms } => {
                let sequence = if let Place::At(sequence) = entry.request { sequence } else { 0 };
                Self {
                    alarm_ms: from_ms.map_or(expires, sooner),
                    queued: from_ms.is_none().then(|| (entry.service.clone(), sequence)),
                    request_bytes: weigh(request),
                    ..Self::default()
                }
            }
            State::Working { request, until_ms, .. } => Self {
                alarm_ms: sooner(*until_ms),
                works_for: Some(entry.service.clone()),
                request_bytes: weigh(request),
                ..Self::default()
            },
            State::Replying { reply, again_ms, was_refused } => Self {
                alarm_ms: again_ms.and_then(sooner),
                reply_bytes: weigh(reply),
                was_refused: *was_refused,
                ..Self::default()
            },
            State::Answered { reply } => {
                Self { alarm_ms: expires, reply_bytes: weigh(reply), ..Self::default() }
            }
            State::Closing { .. } => Self::default(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<u128, Entry>,
    alarms: BTreeSet<(u64, u128)>,
    queues: BTreeMap<Bytes, BTreeSet<(u64, u128)>>,
    working: BTreeMap<Bytes, usize>,
    request_bytes: usize,
    reply_bytes: usize,
    refused: usize,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of requests without a reply.
    pub(super) fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    pub(super) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Whether replies are to be put again that the queue did not take.
    pub(super) fn has_refused_replies(&self) -> bool {
        self.refused > 0
    }

    pub(super) fn get(&self, id: u128) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(super) fn insert(&mut self, id: u128, entry: Entry) {
        self.remove(id);
        self.index(id, Index::of(&entry));
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: u128) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.unindex(id, &Index::of(&entry));
        Some(entry)
    }

    /// Changes an entry, and how it is found with it.
    pub(super) fn change<T>(&mut self, id: u128, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let before = Index::of(entry);
        let result = change(entry);
        let after = Index::of(entry);
        if before != after {
            self.unindex(id, &before);
            self.index(id, after);
        }
        Some(result)
    }

    fn index(&mut self, id: u128, index: Index) {
        self.alarms.extend(index.alarm_ms.map(|at| (at, id)));
        if let Some((service, sequence)) = index.queued {
            self.queues.entry(service).or_default().insert((sequence, id));
        }
        if let Some(service) = index.works_for {
            *self.working.entry(service).or_default() += 1;
        }
        self.request_bytes += index.request_bytes;
        self.reply_bytes += index.reply_bytes;
        self.refused += usize::from(index.was_refused);
    }

    fn unindex(&mut self, id: u128, index: &Index) {
        if let Some(at) = index.alarm_ms {
            self.alarms.remove(&(at, id));
        }
        if let Some((service, sequence)) = &index.queued
            && let Some(queue) = self.queues.get_mut(service)
        {
            queue.remove(&(*sequence, id));
            if queue.is_empty() {
                self.queues.remove(service);
            }
        }
        if let Some(service) = &index.works_for
            && let Some(working) = self.working.get_mut(service)
        {
            *working -= 1;
            if *working == 0 {
                self.working.remove(service);
            }
        }
        self.request_bytes -= index.request_bytes;
        self.reply_bytes -= index.reply_bytes;
        self.refused -= usize::from(index.was_refused);
    }

    /// When the first entry is to be looked at.
    pub(super) fn next_alarm(&self) -> Option<u64> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The first entry that is to be looked at by now.
    pub(super) fn alarmed(&self, now_ms: u64) -> Option<u128> {
        self.alarms.first().filter(|(at, _)| *at <= now_ms).map(|(_, id)| *id)
    }

    /// The oldest request that waits for a worker of a service.
    pub(super) fn next_of(&self, service: &[u8]) -> Option<u128> {
        self.queues.get(service)?.first().map(|(_, id)| *id)
    }

    /// Services for which requests wait.
    pub(super) fn waited_for(&self) -> impl Iterator<Item = &Bytes> {
        self.queues.keys()
    }

    /// A service, in memory of its own, if requests wait for it.
    pub(super) fn waited_for_as(&self, service: &[u8]) -> Option<&Bytes> {
        self.queues.get_key_value(service).map(|(service, _)| service)
    }

    /// How many requests of a service its workers have.
    pub(super) fn working(&self, service: &[u8]) -> usize {
        self.working.get(service).copied().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut other = Self::default();
        for (id, entry) in &self.entries {
            other.index(*id, Index::of(entry));
        }
        assert_eq!(other.alarms, self.alarms);
        assert_eq!(other.queues, self.queues);
        assert_eq!(other.working, self.working);
        assert_eq!((other.request_bytes, other.reply_bytes), (self.request_bytes, self.reply_bytes));
        assert_eq!(other.refused, self.refused);
    }
}
