//! One service: who works for it, and what waits.

use std::collections::{BTreeMap, BTreeSet};

use super::request::RequestId;
use crate::exchange::PeerId;

/// A service. It is forgotten when nobody works for it and nothing waits.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Registered workers, whatever they do.
    pub(super) workers: usize,
    /// Those that wait for a request, by turn: the first has waited longest.
    pub(super) ready: BTreeMap<u64, PeerId>,
    /// What waits, by client.
    waiting: BTreeMap<PeerId, Waiting>,
    /// The oldest request of each client that is not passed over.
    heads: BTreeSet<(RequestId, PeerId)>,
    queued: usize,
    queued_bytes: usize,
}

/// What waits of one client.
#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first; never empty.
    requests: BTreeSet<RequestId>,
    /// No worker is given any of these for now.
    is_passed_over: bool,
}

impl Waiting {
    /// What a worker may be given.
    fn head(&self) -> Option<RequestId> {
        if self.is_passed_over { None } else { self.requests.first().copied() }
    }
}

impl Service {
    pub(super) fn is_idle(&self) -> bool {
        self.workers == 0 && self.queued == 0
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The oldest request of the clients that are not passed over, and whose it is.
    pub(super) fn first(&self) -> Option<(RequestId, PeerId)> {
        self.heads.first().copied()
    }

    pub(super) fn push(&mut self, client: PeerId, id: RequestId, bytes: usize) {
        let is_new = self.change(client, |waiting| waiting.requests.insert(id));
        if is_new {
            self.queued += 1;
            self.queued_bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, client: PeerId, id: RequestId, bytes: usize) {
        let was_there = self.change(client, |waiting| waiting.requests.remove(&id));
        if was_there {
            self.queued -= 1;
            self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        }
    }

    /// The requests of a client are not given to workers until it is [taken up](Self::take_up).
    pub(super) fn pass_over(&mut self, client: PeerId) {
        self.change(client, |waiting| waiting.is_passed_over = true);
    }

    /// The requests of a client are given to workers again.
    pub(super) fn take_up(&mut self, client: PeerId) {
        self.change(client, |waiting| waiting.is_passed_over = false);
    }

    pub(super) fn passes_over(&self, client: PeerId) -> bool {
        self.waiting.get(&client).is_some_and(|waiting| waiting.is_passed_over)
    }

    /// Changes what waits of a client, and what is the oldest with it.
    fn change<T>(&mut self, client: PeerId, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let waiting = self.waiting.entry(client).or_default();
        let before = waiting.head();
        let result = change(waiting);
        let after = waiting.head();
        if waiting.requests.is_empty() {
            self.waiting.remove(&client);
        }
        if before != after {
            before.map(|id| self.heads.remove(&(id, client)));
            after.map(|id| self.heads.insert((id, client)));
        }
        result
    }

    /// The clients whose requests are not given to workers.
    #[cfg(test)]
    pub(super) fn passed_over(&self) -> impl Iterator<Item = PeerId> {
        self.waiting.iter().filter(|(_, waiting)| waiting.is_passed_over).map(|(client, _)| *client)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let heads: BTreeSet<_> =
            self.waiting.iter().filter_map(|(client, waiting)| Some((waiting.head()?, *client))).collect();
        assert_eq!(heads, self.heads);
        assert!(self.waiting.values().all(|waiting| !waiting.requests.is_empty()));
        assert_eq!(self.waiting.values().map(|waiting| waiting.requests.len()).sum::<usize>(), self.queued);
    }
}
