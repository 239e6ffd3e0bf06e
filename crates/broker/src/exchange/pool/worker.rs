//! The workers of a pool.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::request::RequestId;
use crate::exchange::PeerId;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It waits for a request since this turn.
    Ready(u64),
    /// It waits for a request, but reads so little that its queue is full.
    Clogged,
    /// It has a request.
    Busy(RequestId),
}

/// A registered worker. `W` is what messages to it need to be written.
#[derive(Debug)]
pub(super) struct Worker<W> {
    pub(super) service: Bytes,
    pub(super) form: W,
    pub(super) activity: Activity,
    /// When it was last heard of.
    pub(super) heard_ms: u64,
    /// When it is to hear of the pool at the latest.
    pub(super) beat_at_ms: u64,
    /// When it is looked at; never later than it must be.
    alarm_ms: u64,
}

/// All workers, and when to look at them.
#[derive(Debug)]
pub(super) struct Workers<W> {
    table: BTreeMap<PeerId, Worker<W>>,
    alarms: BTreeSet<(u64, PeerId)>,
    turns: u64,
}

impl<W> Default for Workers<W> {
    fn default() -> Self {
        Self { table: BTreeMap::new(), alarms: BTreeSet::new(), turns: 0 }
    }
}

impl<W> Workers<W> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Those that have a request.
    pub(super) fn busy_len(&self) -> usize {
        self.table.values().filter(|worker| matches!(worker.activity, Activity::Busy(_))).count()
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.table.contains_key(&peer)
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<&Worker<W>> {
        self.table.get(&peer)
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Worker<W>> {
        self.table.get_mut(&peer)
    }

    /// A number that is larger than all before.
    pub(super) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(super) fn insert(
        &mut self,
        peer: PeerId,
        service: Bytes,
        form: W,
        turn: u64,
        now_ms: u64,
        beat_ms: u64,
    ) {
        let at_ms = now_ms.saturating_add(beat_ms);
        let worker = Worker {
            service,
            form,
            activity: Activity::Ready(turn),
            heard_ms: now_ms,
            beat_at_ms: at_ms,
            alarm_ms: at_ms,
        };
        self.alarms.insert((at_ms, peer));
        self.table.insert(peer, worker);
    }

    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Worker<W>> {
        let worker = self.table.remove(&peer)?;
        self.alarms.remove(&(worker.alarm_ms, peer));
        Some(worker)
    }

    /// When the first worker is to be looked at.
    pub(super) fn next_alarm(&self) -> Option<u64> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The first worker that is to be looked at by now.
    pub(super) fn alarmed(&self, now_ms: u64) -> Option<PeerId> {
        self.alarms.first().filter(|(at, _)| *at <= now_ms).map(|(_, peer)| *peer)
    }

    /// When to look at a worker again.
    pub(super) fn set_alarm(&mut self, peer: PeerId, at_ms: u64) {
        let Some(worker) = self.table.get_mut(&peer) else { return };
        self.alarms.remove(&(worker.alarm_ms, peer));
        worker.alarm_ms = at_ms;
        self.alarms.insert((at_ms, peer));
    }

    /// Nobody has been silent until now.
    pub(super) fn pardon(&mut self, now_ms: u64) {
        for worker in self.table.values_mut() {
            worker.heard_ms = worker.heard_ms.max(now_ms);
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Worker<W>)> {
        self.table.iter()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.alarms.len(), self.table.len());
        assert!(self.table.iter().all(|(peer, worker)| self.alarms.contains(&(worker.alarm_ms, *peer))));
    }
}
