//! What the leader keeps beside the replicated state: lease tokens, timers, who leases where.

use std::collections::{BTreeMap, BTreeSet};

use swarmmq_protocol::DestinationName;

use crate::destination::Destination;
use crate::fault::fault;
use crate::plan::Wakeup;
use crate::shard::Shard;

/// A token is the term, then a count of this many bits.
const TOKEN_COUNT_BITS: u32 = 40;
/// Retention that lies in the future is done once a second, so that a steady stream of messages that
/// expire does not make a steady stream of ticks. Expired messages are not delivered meanwhile.
const RETIRE_EVERY_MS: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Volatile {
    /// The next lease token.
    token: u64,
    /// When to look at which destination.
    pub(crate) timers: BTreeSet<(u64, DestinationName)>,
    /// Where each consumer has leased.
    pub(crate) consumers: BTreeMap<u64, BTreeSet<Wakeup>>,
    /// A tick that sweeps the trash is under way.
    pub(crate) sweeping: bool,
    /// The latest time the leader has been told.
    now_ms: u64,
}

impl Default for Volatile {
    fn default() -> Self {
        Self::of_term(0)
    }
}

impl Volatile {
    pub(crate) fn of_term(term: u64) -> Self {
        let token = if fault!(TokensRepeat) { 1 } else { (term << TOKEN_COUNT_BITS) | 1 };
        Self { token, timers: BTreeSet::new(), consumers: BTreeMap::new(), sweeping: false, now_ms: 0 }
    }

    pub(crate) fn token_bound(&self) -> u64 {
        self.token
    }

    pub(crate) fn next_token(&mut self) -> u64 {
        let token = self.token;
        self.token += 1;
        token
    }

    /// Whether an entry with this token bound was made by the present leadership.
    pub(crate) fn is_own(&self, token_bound: u64) -> bool {
        token_bound >> TOKEN_COUNT_BITS == self.token >> TOKEN_COUNT_BITS
    }

    /// Sees to it that `destination` is looked at by `at_ms`.
    pub(crate) fn arm(&mut self, destination: &mut Destination, at_ms: u64) {
        if destination.timer.is_some_and(|timer| timer <= at_ms) {
            return;
        }
        if let Some(timer) = destination.timer.replace(at_ms) {
            self.timers.remove(&(timer, destination.name.clone()));
        }
        self.timers.insert((at_ms, destination.name.clone()));
    }

    /// Sees to it that what `destination` lets go by itself is looked at in time.
    pub(crate) fn arm_retention(&mut self, destination: &mut Destination, now_ms: u64) {
        if destination.ticking {
            return;
        }
        if let Some(at_ms) = destination.retire_at() {
            let rounded = at_ms.div_ceil(RETIRE_EVERY_MS).saturating_mul(RETIRE_EVERY_MS);
            self.arm(destination, if at_ms <= now_ms { at_ms } else { rounded });
        }
    }

    /// Forgets the timer of a destination that is deleted.
    pub(crate) fn disarm(&mut self, destination: &mut Destination) {
        if let Some(timer) = destination.timer.take() {
            self.timers.remove(&(timer, destination.name.clone()));
        }
    }
}

impl Shard {
    /// The leader's time: what it is told, and never before what it was told or has stamped.
    pub(super) fn tell_time(&mut self, now_ms: u64) -> u64 {
        self.volatile.now_ms = now_ms.max(self.now_ms).max(self.volatile.now_ms);
        self.volatile.now_ms
    }

    /// No lease token given so far is this or higher; for [`EntryBuilder::new`](crate::EntryBuilder::new).
    #[must_use]
    pub fn token_bound(&self) -> u64 {
        self.volatile.token_bound()
    }

    /// A new leadership begins (or one ends): all leases are gone, and lease tokens come from `term`,
    /// which is higher than any used before. A token is `term << 40 | count`.
    ///
    /// Lease only once an entry of the new term was applied, so that all entries of earlier ones were;
    /// what was planned before is neither proposed nor abandoned any more.
    pub fn reset_volatile(&mut self, term: u64) {
        self.volatile = Volatile::of_term(term);
        for destination in self.destinations.values_mut() {
            destination.timer = None;
            destination.ticking = false;
            for group in destination.groups.values_mut() {
                group.dispatch = None;
            }
            self.volatile.arm_retention(destination, self.now_ms);
        }
    }
}
