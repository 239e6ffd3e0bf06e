//! What a destination lets go by itself: messages by time to live, age and size, and what it remembers
//! of its producers.

use swarmmq_protocol::settings::Overflow;

use crate::destination::Destination;
use crate::fault::fault;
use crate::work::Work;

impl Destination {
    /// Lets go what is due, as far as the budget reaches.
    pub(crate) fn retire(&mut self, work: &mut Work) {
        self.log.tidy_delays(work.now_ms, work.budget.max(1));
        while let Some((expires_ms, sequence)) = self.log.first_expiring()
            && expires_ms <= work.now_ms
            && work.spend()
        {
            self.remove(sequence, work);
            self.counted.expired += 1;
        }
        while let Some(sequence) = self.first_too_old(work.now_ms)
            && work.spend()
        {
            self.remove(sequence, work);
            self.counted.dropped += 1;
        }
        self.trim(work);
        while self
            .ids
            .next_due(self.settings.dedup_window_ms, self.ids_max())
            .is_some_and(|at| at <= work.now_ms)
            && work.spend()
        {
            self.ids.forget_oldest();
        }
        let (ttl_ms, producers_max) = (self.settings.producer_ttl_ms, self.settings.producers_max);
        while self.sessions.next_due(ttl_ms, producers_max).is_some_and(|at| at <= work.now_ms)
            && work.spend()
        {
            self.sessions.forget_idlest();
        }
    }

    /// Lets the oldest messages go that are over a limit.
    pub(crate) fn trim(&mut self, work: &mut Work) {
        if fault!(NothingIsDropped) {
            return;
        }
        while let Some(sequence) = self.first_over_limit()
            && work.spend()
        {
            self.remove(sequence, work);
            self.counted.dropped += 1;
        }
    }

    /// When there is something to let go; now (0) where a limit is exceeded already.
    pub(crate) fn retire_at(&self) -> Option<u64> {
        if self.first_over_limit().is_some() {
            return Some(0);
        }
        let settings = &self.settings;
        let expiring = self.log.first_expiring().map(|(expires_ms, _)| expires_ms);
        let oldest = if settings.age_max_ms > 0 { self.log.oldest() } else { None };
        let age = oldest.map(|(_, stored)| stored.stored_ms.saturating_add(settings.age_max_ms));
        let ids = self.ids.next_due(settings.dedup_window_ms, self.ids_max());
        let sessions = self.sessions.next_due(settings.producer_ttl_ms, settings.producers_max);
        [expiring, age, ids, sessions].into_iter().flatten().min()
    }

    /// How many message ids are remembered.
    pub(crate) fn ids_max(&self) -> u64 {
        if self.settings.dedup_window_ms == 0 { 0 } else { self.settings.dedup_ids_max }
    }

    fn first_too_old(&self, now_ms: u64) -> Option<u64> {
        if self.settings.age_max_ms == 0 {
            return None;
        }
        let (sequence, stored) = self.log.oldest()?;
        (stored.stored_ms.saturating_add(self.settings.age_max_ms) <= now_ms).then_some(sequence)
    }

    /// The oldest message, if there are too many or too large ones, or if it is one of a queue that its
    /// group was reset past.
    fn first_over_limit(&self) -> Option<u64> {
        let settings = &self.settings;
        let over = |held: u64, max: u64| max > 0 && held > max;
        let too_many = settings.overflow == Overflow::DropOldest
            && (over(self.log.messages(), settings.messages_max)
                || over(self.log.bytes(), settings.bytes_max));
        if too_many {
            return self.log.oldest().map(|(sequence, _)| sequence);
        }
        let floor = if self.is_queue() { self.groups.values().next()?.floor } else { return None };
        let (sequence, _) = self.log.oldest()?;
        (sequence < floor).then_some(sequence)
    }
}
