//! What a pool does as time passes.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::dispatcher::{Dialect, Pool};
use super::worker::Activity;
use crate::exchange::{Drop, PeerId, Peers};

impl<D: Dialect> Pool<D> {
    /// When [`advance`](Self::advance) has something to do.
    pub(in crate::exchange) fn next_due(&self) -> Option<u64> {
        let deadline = self.requests.next_deadline().map(|(at, _)| at);
        self.workers.next_alarm().into_iter().chain(deadline).min()
    }

    /// Removes workers that are silent, beats for the others, and drops what has waited too long.
    pub(in crate::exchange) fn advance(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        let Some(due_ms) = self.next_due() else { return };
        if due_ms > now_ms {
            return;
        }
        // If nobody looked at the clock, nobody read what the workers sent either.
        if now_ms - due_ms >= self.limits.beat_ms() {
            self.workers.pardon(now_ms);
        }
        // All that are lost are removed first, so that no request goes from one of them to another.
        let mut bereft = BTreeSet::new();
        while let Some(worker) = self.workers.alarmed(now_ms) {
            bereft.extend(self.look_at(now_ms, worker, peers));
        }
        while let Some((_, id)) = self.requests.next_deadline().filter(|(at, _)| *at <= now_ms) {
            self.expire(id, peers);
        }
        for service in bereft {
            self.dispatch(now_ms, &service, peers);
        }
    }

    /// Removes a worker that has been silent for too long and returns its service; otherwise beats when it is time.
    fn look_at(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) -> Option<Bytes> {
        self.excuse_unread(now_ms, peer, peers);
        let beat_ms = self.limits.beat_ms();
        let lost_at_ms = self.lost_at_ms(peer)?;
        let worker = self.workers.get_mut(peer)?;
        if lost_at_ms <= now_ms {
            return self.bid_farewell(now_ms, peer, peers);
        }
        if worker.beat_at_ms <= now_ms {
            worker.beat_at_ms = now_ms.saturating_add(beat_ms);
            if !peers.room(peer).is_full() {
                peers.send(peer, D::heartbeat(&worker.form));
            }
        }
        let at_ms = worker.beat_at_ms.min(lost_at_ms);
        self.workers.set_alarm(peer, at_ms);
        None
    }

    /// Until when a worker may say nothing. The time that is longer while it has a request begins with the request.
    pub(super) fn lost_at_ms(&self, peer: PeerId) -> Option<u64> {
        let worker = self.workers.get(peer)?;
        let after = |silence_ms| worker.heard_ms.saturating_add(silence_ms);
        let Activity::Busy(id) = worker.activity else { return Some(after(self.limits.silence_ms())) };
        let started_ms = self.requests.get(id)?.started_ms;
        let works_until_ms = started_ms.saturating_add(self.limits.busy_silence_ms);
        Some(after(self.limits.silence_at_work_ms()).max(works_until_ms))
    }

    /// A worker is not read while its client reads nothing, so it cannot be blamed for silence then. That ends when the
    /// client has read nothing for as long as a worker may be silent.
    fn excuse_unread(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        let Some(Activity::Busy(id)) = self.workers.get(peer).map(|worker| worker.activity) else { return };
        let is_blocked = self.is_blocked(id, peers);
        let Some(request) = self.requests.get_mut(id) else { return };
        if !is_blocked {
            request.blocked_since_ms = None;
            return;
        }
        let since_ms = *request.blocked_since_ms.get_or_insert(now_ms);
        self.heard(now_ms, peer);
        if now_ms - since_ms >= self.limits.silence_ms() {
            self.give_up(id, Drop::QueueFull, peers);
        }
    }
}
