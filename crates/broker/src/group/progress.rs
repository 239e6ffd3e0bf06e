//! How far a group is: what is settled, what has failed, what may come next.

use std::collections::BTreeMap;

use swarmmq_protocol::settings::GroupSettings;

use crate::group::dispatch::{Dispatch, available_ms};
use crate::group::settled::Settled;
use crate::log::{Log, Stored};

/// The longest a redelivery waits, however often the message has failed: one hour.
const REDELIVERY_DELAY_MAX_MS: u64 = 3_600_000;

/// How often a message was delivered in vain, and when it may be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub(crate) count: u32,
    pub(crate) available_ms: u64,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) settings: GroupSettings,
    /// Set anew at each reset; never the same for two groups of a shard.
    pub(crate) generation: u64,
    /// Receipts with tokens below this are of leases before the last reset.
    pub(crate) void_below: u64,
    pub(crate) paused: bool,
    /// Everything below is settled.
    pub(crate) floor: u64,
    /// What is settled at or behind the floor. Of a queue always empty: settled messages are gone.
    pub(crate) settled: Settled,
    /// Of unsettled messages that failed at least once.
    pub(crate) attempts: BTreeMap<u64, Attempts>,
    pub(crate) redelivered: u64,
    pub(crate) acknowledged: u64,
    pub(crate) dead: u64,
    /// Not replicated: as `void_below`, exact at the leader that applied the reset.
    pub(crate) void_below_here: u64,
    /// Not replicated: what may be delivered next, where somebody leases.
    pub(crate) dispatch: Option<Box<Dispatch>>,
}

impl Group {
    /// A group that begins at `floor`.
    pub(crate) fn new(settings: GroupSettings, generation: u64, void_below: u64, floor: u64) -> Self {
        Self {
            settings,
            generation,
            void_below,
            paused: false,
            floor,
            settled: Settled::default(),
            attempts: BTreeMap::new(),
            redelivered: 0,
            acknowledged: 0,
            dead: 0,
            void_below_here: 0,
            dispatch: None,
        }
    }

    /// Whether the group has settled this message, which is in the log.
    pub(crate) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.floor || self.settled.contains(sequence)
    }

    /// The settled sequences of a page, as bits, those below the floor apart.
    pub(crate) fn skip(&self) -> impl Fn(u64) -> u64 + Copy + '_ {
        |number| self.settled.word(number)
    }

    /// The first message that is not settled; behind the last where there is none.
    pub(crate) fn first_unsettled(&self, log: &Log) -> u64 {
        log.next_live_unless(self.floor, self.skip()).unwrap_or(log.last() + 1)
    }

    /// How many messages are not settled.
    pub(crate) fn unsettled(&self, log: &Log) -> u64 {
        log.count_from(self.floor) - self.settled.count(self.floor, log)
    }

    /// How many messages' time has not come at `now_ms`.
    pub(crate) fn delayed(&self, log: &Log, now_ms: u64) -> u64 {
        let own = log.delayed_behind(now_ms).filter(|sequence| !self.is_settled(*sequence));
        let redelivered = self.attempts.iter().filter(|(sequence, attempts)| {
            let own_ms = log.get(**sequence).map_or(0, Stored::available_ms);
            attempts.available_ms > now_ms && own_ms <= now_ms
        });
        own.count() as u64 + redelivered.count() as u64
    }

    pub(crate) fn attempts_of(&self, sequence: u64) -> u32 {
        self.attempts.get(&sequence).map_or(0, |attempts| attempts.count)
    }

    /// When the message may be delivered.
    pub(crate) fn available_ms(&self, sequence: u64, stored: &Stored) -> u64 {
        let redelivery_ms = self.attempts.get(&sequence).map_or(0, |attempts| attempts.available_ms);
        available_ms(stored, redelivery_ms)
    }

    /// Whether an earlier message of the same key must be settled first.
    pub(crate) fn is_behind_its_key(&self, stored: &Stored) -> bool {
        let previous = stored.previous_of_key();
        self.settings.key_ordered && previous != 0 && !self.is_settled(previous)
    }

    /// How long the `count`-th redelivery waits.
    pub(crate) fn redelivery_delay_ms(&self, count: u32) -> u64 {
        let doublings = count.saturating_sub(1).min(63);
        let delay = u128::from(self.settings.redelivery_delay_ms) << doublings;
        u64::try_from(delay.min(u128::from(REDELIVERY_DELAY_MAX_MS))).unwrap_or(REDELIVERY_DELAY_MAX_MS)
    }

    /// Whether somebody leases from the group here and may.
    pub(crate) fn is_attended(&self) -> bool {
        self.dispatch.is_some() && !self.paused
    }

    /// How many messages are leased.
    pub(crate) fn leased(&self) -> u64 {
        self.dispatch.as_ref().map_or(0, |dispatch| dispatch.leases.len() as u64)
    }

    /// Whether as many messages are leased as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.leased() >= u64::from(self.settings.leased_max)
    }

    /// Puts an unsettled message back where it belongs in the order of delivery. Returns whether it may
    /// be leased at once.
    pub(crate) fn put_back(&mut self, sequence: u64, stored: &Stored, now_ms: u64) -> bool {
        if self.is_settled(sequence) || self.is_behind_its_key(stored) {
            return false;
        }
        let available_ms = self.available_ms(sequence, stored);
        let Some(dispatch) = &mut self.dispatch else { return false };
        dispatch.put_back(sequence, stored.rank, available_ms, now_ms);
        available_ms <= now_ms && !dispatch.leases.contains_key(&sequence)
    }

    /// Forgets a message that is settled or gone. Its `stored` is as it was in the log.
    pub(crate) fn forget(&mut self, sequence: u64, stored: &Stored) {
        let attempts = if self.attempts.is_empty() { None } else { self.attempts.remove(&sequence) };
        if let Some(dispatch) = &mut self.dispatch {
            let available_ms = available_ms(stored, attempts.map_or(0, |attempts| attempts.available_ms));
            dispatch.forget(sequence, stored.rank, available_ms);
        }
    }

    /// Begins anew at `floor`: nothing behind it is settled, has failed or is leased.
    pub(crate) fn restart(&mut self, floor: u64, generation: u64, void_below: u64, void_below_here: u64) {
        self.generation = generation;
        self.void_below = self.void_below.max(void_below);
        self.void_below_here = void_below_here;
        self.empty(floor);
    }

    /// Forgets all messages below `floor`, and every note about those behind it.
    pub(crate) fn empty(&mut self, floor: u64) {
        self.floor = floor;
        self.settled = Settled::default();
        self.attempts.clear();
        if let Some(dispatch) = &mut self.dispatch {
            **dispatch = Dispatch::new(floor);
        }
    }

    /// Moves the floor of a stream's group up to its first unsettled message.
    pub(crate) fn advance(&mut self, log: &Log) {
        self.floor = self.floor.max(self.first_unsettled(log));
        self.settled.sweep(self.floor, log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redelivery_waits_twice_as_long_each_time_up_to_an_hour() {
        let mut settings = GroupSettings::default();
        settings.redelivery_delay_ms = 1000;
        let group = Group::new(settings, 1, 0, 1);
        assert_eq!([1, 2, 3, 4].map(|count| group.redelivery_delay_ms(count)), [1000, 2000, 4000, 8000]);
        assert_eq!(
            [12, 13, u32::MAX].map(|count| group.redelivery_delay_ms(count)),
            [2_048_000, 3_600_000, 3_600_000]
        );
    }
}
