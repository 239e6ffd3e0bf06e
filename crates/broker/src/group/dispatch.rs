//! What of a group's messages may be delivered next. Only where somebody leases; not replicated.
//!
//! Every unsettled message is in exactly one of these places:
//!
//! - *fresh*: at or behind the cursor of its rank, and never looked at. It costs nothing.
//! - *leased*: with a consumer, or settling.
//! - *returned*: looked at before, and ready.
//! - *waiting*: looked at before, and its time has not come.
//! - *behind its key*: looked at before, in a key-ordered group, while an earlier message of its key
//!   is unsettled. It costs nothing: the log's chain of the key leads to it.
//! - *expired*: looked at when its time to live was over, and not retired yet. It costs nothing.
//!
//! So the index is rebuilt by setting the cursors back to the floor and emptying the rest.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::lease::Lease;
use crate::log::{Log, RANK_DEFAULT, Stored, Walk};

/// How many ranks there are: priorities 1 to 10.
const RANKS: usize = 10;

/// The index of one group.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// Of each rank, the first sequence that was not looked at.
    cursors: [u64; RANKS],
    /// By rank, then sequence: the order of delivery.
    pub(crate) returned: BTreeSet<(u8, u64)>,
    /// By when the time comes.
    pub(crate) waiting: BTreeSet<(u64, u64)>,
    pub(crate) leases: BTreeMap<u64, Lease>,
    /// When the timed leases run out.
    pub(crate) deadlines: BTreeSet<(u64, u64)>,
}

impl Dispatch {
    /// An index that has looked at nothing from `floor` on.
    pub(crate) fn new(floor: u64) -> Self {
        Self {
            cursors: [floor; RANKS],
            returned: BTreeSet::new(),
            waiting: BTreeSet::new(),
            leases: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Looks at everything from `floor` on again. Leases stay.
    pub(crate) fn look_again(&mut self, floor: u64) {
        self.cursors = [floor; RANKS];
        self.returned.clear();
        self.waiting.clear();
    }

    pub(crate) fn cursor(&self, rank: u8) -> u64 {
        self.cursors.get(usize::from(rank)).copied().unwrap_or(u64::MAX)
    }

    /// Notes that everything of `rank` before `next` was looked at.
    pub(crate) fn pass(&mut self, rank: u8, next: u64) {
        if let Some(cursor) = self.cursors.get_mut(usize::from(rank)) {
            *cursor = next;
        }
    }

    /// Puts a message that was looked at where it belongs, unless it is leased. `available_ms` is when
    /// its time comes.
    pub(crate) fn put_back(&mut self, sequence: u64, rank: u8, available_ms: u64, now_ms: u64) {
        if sequence >= self.cursor(rank) || self.leases.contains_key(&sequence) {
            return;
        }
        if available_ms > now_ms {
            self.waiting.insert((available_ms, sequence));
        } else {
            self.returned.insert((rank, sequence));
        }
    }

    /// Forgets a message that is settled or gone, or about to be put back elsewhere.
    pub(crate) fn forget(&mut self, sequence: u64, rank: u8, available_ms: u64) {
        if self.drop_lease(sequence) {
            return;
        }
        self.returned.remove(&(rank, sequence));
        if available_ms > 0 {
            self.waiting.remove(&(available_ms, sequence));
        }
    }

    pub(crate) fn drop_lease(&mut self, sequence: u64) -> bool {
        let Some(lease) = self.leases.remove(&sequence) else { return false };
        self.deadlines.remove(&(lease.deadline_ms, sequence));
        true
    }

    pub(crate) fn insert_lease(&mut self, sequence: u64, lease: Lease) {
        if lease.is_timed() {
            self.deadlines.insert((lease.deadline_ms, sequence));
        }
        self.leases.insert(sequence, lease);
    }

    /// The next fresh message in the order of delivery, with its rank, of those at or behind `floor`.
    /// `skip` says per page which sequences are settled, `walk` is over the default rank.
    pub(crate) fn next_fresh<'a>(
        &self,
        log: &'a Log,
        walk: &mut Walk<'a>,
        floor: u64,
        skip: impl Fn(u64) -> u64 + Copy,
    ) -> Option<(u8, u64, &'a Stored)> {
        let mut plain = || walk.peek(skip).map(|(sequence, stored)| (RANK_DEFAULT, sequence, stored));
        if log.is_plain() {
            return plain();
        }
        log.ranks().find_map(|rank| {
            if rank == RANK_DEFAULT {
                return plain();
            }
            let from = self.cursor(rank).max(floor);
            let sequence = log.next_ranked_unless(rank, from, skip)?;
            log.get(sequence).map(|stored| (rank, sequence, stored))
        })
    }

    /// Whether the message is leased. Cheap for one behind all that are.
    pub(crate) fn is_leased(&self, sequence: u64) -> bool {
        let last = self.leases.last_key_value();
        last.is_some_and(|(last, _)| *last >= sequence) && self.leases.contains_key(&sequence)
    }

    /// Moves what has waited long enough to the ready ones. Returns whether there was any.
    pub(crate) fn promote(&mut self, now_ms: u64, rank: impl Fn(u64) -> Option<u8>) -> bool {
        let mut any = false;
        while let Some((available_ms, sequence)) = self.waiting.first().copied()
            && available_ms <= now_ms
        {
            self.waiting.pop_first();
            if let Some(rank) = rank(sequence) {
                self.returned.insert((rank, sequence));
                any = true;
            }
        }
        any
    }

    /// When something of this group is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let waiting = self.waiting.first().map(|(at, _)| *at);
        deadline.into_iter().chain(waiting).min()
    }
}

/// When a message may be delivered: its own delay, or that of its redelivery.
pub(crate) fn available_ms(stored: &Stored, redelivery_ms: u64) -> u64 {
    stored.available_ms().max(redelivery_ms)
}
