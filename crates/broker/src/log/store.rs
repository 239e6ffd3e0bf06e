//! The messages of a destination: what is stored, in every order that is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::log::page::{Extra, PAGE_SEQUENCES, Page, RANK_DEFAULT, Stored, bits_from};

/// The messages of a destination.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Shared with a snapshot that is being written; a page that changes meanwhile is copied first.
    pages: BTreeMap<u64, Arc<Page>>,
    /// The newest sequence ever given; 0 before the first.
    last: u64,
    messages: u64,
    bytes: u64,
    /// The last live message of each key.
    keys: BTreeMap<Arc<[u8]>, u64>,
    /// Messages with a time to live, by when it ends.
    expiring: BTreeSet<(u64, u64)>,
    /// Messages with a delay, by when it ends; those whose time has come go when the log is tidied.
    delayed: BTreeSet<(u64, u64)>,
    /// Messages of a priority other than the default, by rank.
    ranked: BTreeMap<u8, BTreeSet<u64>>,
}

/// A message to store, before it has a place in its key's chain.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) index: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) stored_ms: u64,
    pub(crate) rank: u8,
    pub(crate) expires_ms: u64,
    pub(crate) available_ms: u64,
    pub(crate) key: Option<Arc<[u8]>>,
}

fn page_of(sequence: u64) -> u64 {
    sequence / PAGE_SEQUENCES
}

fn bit_of(sequence: u64) -> u64 {
    1 << (sequence % PAGE_SEQUENCES)
}

impl Log {
    /// An empty log that goes on behind `last`.
    pub(crate) fn behind(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The live sequences of page `number`, as bits.
    pub(crate) fn page_live(&self, number: u64) -> u64 {
        self.pages.get(&number).map_or(0, |page| page.live())
    }

    /// Sequence of the oldest live message; behind the last where there is none.
    pub(crate) fn first(&self) -> u64 {
        self.next_live(0).unwrap_or(self.last + 1)
    }

    pub(crate) fn oldest(&self) -> Option<(u64, &Stored)> {
        let (number, page) = self.pages.first_key_value()?;
        page.iter().next().map(|(bit, stored)| (number * PAGE_SEQUENCES + bit, stored))
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Stored> {
        self.pages.get(&page_of(sequence))?.get(bit_of(sequence))
    }

    fn get_mut(&mut self, sequence: u64) -> Option<&mut Stored> {
        Arc::make_mut(self.pages.get_mut(&page_of(sequence))?).get_mut(bit_of(sequence))
    }

    /// All live messages in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Stored)> + '_ {
        self.pages.iter().flat_map(|(number, page)| messages_of(*number, page))
    }

    /// The first live message at or behind `from`.
    pub(crate) fn next_live(&self, from: u64) -> Option<u64> {
        self.pages.range(page_of(from)..).find_map(|(number, page)| {
            let mask = if *number == page_of(from) { bits_from(from) } else { u64::MAX };
            first_of(*number, page.live() & mask)
        })
    }

    /// The first live message at or behind `from` that `skip` (a word of bits for each page) leaves.
    pub(crate) fn next_live_unless(&self, from: u64, skip: impl Fn(u64) -> u64) -> Option<u64> {
        self.pages.range(page_of(from)..).find_map(|(number, page)| {
            let mask = if *number == page_of(from) { bits_from(from) } else { u64::MAX };
            let live = page.live() & mask;
            if live == 0 { None } else { first_of(*number, live & !skip(*number)) }
        })
    }

    /// As [`Self::next_live_unless`], of messages with this rank only.
    pub(crate) fn next_ranked_unless(&self, rank: u8, from: u64, skip: impl Fn(u64) -> u64) -> Option<u64> {
        if rank == RANK_DEFAULT {
            return self.pages.range(page_of(from)..).find_map(|(number, page)| {
                let mask = if *number == page_of(from) { bits_from(from) } else { u64::MAX };
                let plain = page.plain() & mask;
                if plain == 0 { None } else { first_of(*number, plain & !skip(*number)) }
            });
        }
        let set = self.ranked.get(&rank)?;
        set.range(from..).copied().find(|sequence| skip(page_of(*sequence)) & bit_of(*sequence) == 0)
    }

    /// Whether every message has the default rank.
    pub(crate) fn is_plain(&self) -> bool {
        self.ranked.is_empty()
    }

    /// A walk over the messages of the default rank from `from` on.
    pub(crate) fn walk(&self, from: u64) -> Walk<'_> {
        Walk { log: self, from, page: None }
    }

    /// Ranks that have messages, ascending; always with the default one.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = u8> + '_ {
        let before = self.ranked.range(..RANK_DEFAULT).map(|(rank, _)| *rank);
        let behind = self.ranked.range(RANK_DEFAULT + 1..).map(|(rank, _)| *rank);
        before.chain(std::iter::once(RANK_DEFAULT)).chain(behind)
    }

    /// The pages as they are now, with their numbers, in order.
    pub(crate) fn share_pages(&self) -> Vec<(u64, Arc<Page>)> {
        self.pages.iter().map(|(number, page)| (*number, Arc::clone(page))).collect()
    }

    /// How many live messages there are at or behind `from`.
    pub(crate) fn count_from(&self, from: u64) -> u64 {
        if from <= 1 {
            return self.messages;
        }
        self.pages
            .range(page_of(from)..)
            .map(|(number, page)| {
                let mask = if *number == page_of(from) { bits_from(from) } else { u64::MAX };
                u64::from((page.live() & mask).count_ones())
            })
            .sum()
    }

    /// The first message stored at or after `time_ms`; behind the last where there is none.
    ///
    /// Messages are stored in the order of time, so whole pages are passed by their last message.
    pub(crate) fn first_stored_at(&self, time_ms: u64) -> u64 {
        for (number, page) in &self.pages {
            let newest = page.iter().last().map_or(0, |(_, stored)| stored.stored_ms);
            if newest < time_ms {
                continue;
            }
            if let Some((bit, _)) = page.iter().find(|(_, stored)| stored.stored_ms >= time_ms) {
                return number * PAGE_SEQUENCES + bit;
            }
        }
        self.last + 1
    }

    /// The last live message of `key`.
    #[cfg(test)]
    pub(crate) fn last_of_key(&self, key: &[u8]) -> Option<u64> {
        self.keys.get(key).copied()
    }

    /// Stores a message under the next sequence.
    pub(crate) fn append(&mut self, incoming: Incoming) -> u64 {
        let sequence = self.last + 1;
        self.place(sequence, incoming);
        sequence
    }

    /// Stores a message under a sequence behind all others, as a snapshot has it.
    pub(crate) fn place(&mut self, sequence: u64, incoming: Incoming) {
        let Incoming { index, offset, length, stored_ms, rank, expires_ms, available_ms, key } = incoming;
        self.last = self.last.max(sequence);
        self.messages += 1;
        self.bytes += u64::from(length);
        if rank != RANK_DEFAULT {
            self.ranked.entry(rank).or_default().insert(sequence);
        }
        if expires_ms != u64::MAX {
            self.expiring.insert((expires_ms, sequence));
        }
        if available_ms > stored_ms {
            self.delayed.insert((available_ms, sequence));
        }
        let previous_of_key = key.as_ref().map_or(0, |key| self.chain(key, sequence));
        let extra = (key.is_some() || expires_ms != u64::MAX || available_ms > 0)
            .then(|| Box::new(Extra { expires_ms, available_ms, key, previous_of_key, next_of_key: 0 }));
        let stored = Stored { index, offset, length, stored_ms, extra, rank };
        let page = self.pages.entry(page_of(sequence)).or_default();
        Arc::make_mut(page).push(bit_of(sequence), stored);
    }

    /// Makes `sequence` the last of `key` and tells the one before.
    fn chain(&mut self, key: &Arc<[u8]>, sequence: u64) -> u64 {
        let previous = self.keys.insert(Arc::clone(key), sequence).unwrap_or(0);
        if let Some(extra) = self.get_mut(previous).and_then(|stored| stored.extra.as_mut()) {
            extra.next_of_key = sequence;
        }
        previous
    }

    /// Says that sequences up to `last` were given.
    pub(crate) fn set_last(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Takes a message out of the log and of every order.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let number = page_of(sequence);
        let page = self.pages.get_mut(&number)?;
        page.get(bit_of(sequence))?;
        let page = Arc::make_mut(page);
        let stored = page.remove(bit_of(sequence))?;
        if page.live() == 0 {
            self.pages.remove(&number);
        }
        self.messages -= 1;
        self.bytes -= u64::from(stored.length);
        if stored.rank != RANK_DEFAULT
            && let Some(set) = self.ranked.get_mut(&stored.rank)
        {
            set.remove(&sequence);
            if set.is_empty() {
                self.ranked.remove(&stored.rank);
            }
        }
        if let Some(extra) = &stored.extra {
            if extra.expires_ms != u64::MAX {
                self.expiring.remove(&(extra.expires_ms, sequence));
            }
            if extra.available_ms > stored.stored_ms {
                self.delayed.remove(&(extra.available_ms, sequence));
            }
            self.unchain(extra);
        }
        Some(stored)
    }

    fn unchain(&mut self, extra: &Extra) {
        let Some(key) = &extra.key else { return };
        let (previous, next) = (extra.previous_of_key, extra.next_of_key);
        if let Some(before) = self.get_mut(previous).and_then(|stored| stored.extra.as_mut()) {
            before.next_of_key = next;
        }
        if let Some(behind) = self.get_mut(next).and_then(|stored| stored.extra.as_mut()) {
            behind.previous_of_key = previous;
        } else if previous == 0 {
            self.keys.remove(key);
        } else {
            self.keys.insert(Arc::clone(key), previous);
        }
    }

    /// The message whose time to live ends first.
    pub(crate) fn first_expiring(&self) -> Option<(u64, u64)> {
        self.expiring.first().copied()
    }

    /// Messages with a delay of their own that ends behind `now_ms`.
    pub(crate) fn delayed_behind(&self, now_ms: u64) -> impl Iterator<Item = u64> + '_ {
        let behind = (Bound::Excluded((now_ms, u64::MAX)), Bound::Unbounded);
        self.delayed.range(behind).map(|(_, sequence)| *sequence)
    }

    /// Forgets the delays that have ended: at most `budget` of them.
    pub(crate) fn tidy_delays(&mut self, now_ms: u64, budget: usize) {
        for _ in 0..budget {
            match self.delayed.first() {
                Some((available_ms, _)) if *available_ms <= now_ms => self.delayed.pop_first(),
                _ => break,
            };
        }
    }

    /// Takes all pages, and leaves a log that goes on behind the last sequence.
    pub(crate) fn take_pages(&mut self) -> Vec<Arc<Page>> {
        let emptied = Self::behind(self.last);
        std::mem::replace(self, emptied).pages.into_values().collect()
    }
}

/// A walk over messages of the default rank that looks each page up once.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    log: &'a Log,
    from: u64,
    /// The page the walk is in, its number, and the bits it has not come to.
    page: Option<(u64, &'a Page, u64)>,
}

impl<'a> Walk<'a> {
    /// The next message, which [`Self::step`] passes. `skip` is as in [`Log::next_ranked_unless`], and
    /// the same at each call.
    pub(crate) fn peek(&mut self, skip: impl Fn(u64) -> u64) -> Option<(u64, &'a Stored)> {
        loop {
            if let Some((number, page, bits)) = self.page {
                if bits != 0 {
                    let bit = bits & bits.wrapping_neg();
                    let sequence = number * PAGE_SEQUENCES + u64::from(bits.trailing_zeros());
                    return page.get(bit).map(|stored| (sequence, stored));
                }
                self.from = (number + 1) * PAGE_SEQUENCES;
            }
            let (number, page) = self.log.pages.range(page_of(self.from)..).next()?;
            let mask = if *number == page_of(self.from) { bits_from(self.from) } else { u64::MAX };
            self.page = Some((*number, page, page.plain() & mask & !skip(*number)));
        }
    }

    /// Passes the message that was peeked at.
    pub(crate) fn step(&mut self) {
        if let Some((_, _, bits)) = &mut self.page {
            *bits &= bits.wrapping_sub(1);
        }
    }
}

/// The live messages of page `number` with their sequences, in order.
pub(crate) fn messages_of(number: u64, page: &Page) -> impl Iterator<Item = (u64, &Stored)> + '_ {
    page.iter().map(move |(bit, stored)| (number * PAGE_SEQUENCES + bit, stored))
}

fn first_of(number: u64, bits: u64) -> Option<u64> {
    (bits != 0).then(|| number * PAGE_SEQUENCES + u64::from(bits.trailing_zeros()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn incoming(rank: u8, key: Option<u8>, stored_ms: u64) -> Incoming {
        Incoming {
            index: 1,
            offset: 0,
            length: 3,
            stored_ms,
            rank,
            expires_ms: u64::MAX,
            available_ms: 0,
            key: key.map(|key| Arc::from([key])),
        }
    }

    #[test]
    fn one_message_that_stays_does_not_pin_those_that_went() {
        let mut log = Log::default();
        for _ in 0..100_000 {
            log.append(incoming(RANK_DEFAULT, None, 0));
        }
        for sequence in (1..=100_000).filter(|sequence| sequence % 1000 != 0) {
            log.remove(sequence);
        }
        assert_eq!((log.messages(), log.pages()), (100, 100));
        assert!(log.pages.values().all(|page| page.iter().count() == 1));
    }

    #[test]
    fn a_delay_ends_when_its_time_comes_also_at_the_end_of_time() {
        for available_ms in [1, 1000, u64::MAX] {
            let mut log = Log::default();
            let sequence = log.append(Incoming { available_ms, ..incoming(RANK_DEFAULT, None, 0) });
            assert_eq!(log.delayed_behind(available_ms - 1).collect::<Vec<_>>(), [sequence]);
            assert_eq!(log.delayed_behind(available_ms).count(), 0);
            log.tidy_delays(available_ms, 1);
            assert_eq!(log.delayed_behind(0).count(), 0);
        }
    }

    proptest! {
        #[test]
        fn a_log_is_what_was_appended_less_what_was_removed(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..11, proptest::option::of(0_u8..3), any::<u16>()), 1..400)
        ) {
            let mut log = Log::default();
            let mut model: Vec<(u64, u8, Option<u8>)> = Vec::new();
            for (nth, (append, rank, key, pick)) in steps.into_iter().enumerate() {
                if append || model.is_empty() {
                    let sequence = log.append(incoming(rank, key, nth as u64));
                    model.push((sequence, rank, key));
                } else {
                    let (sequence, ..) = model.remove(usize::from(pick) % model.len());
                    prop_assert!(log.remove(sequence).is_some());
                    prop_assert!(log.get(sequence).is_none());
                }
            }
            prop_assert_eq!(log.iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(),
                model.iter().map(|(sequence, ..)| *sequence).collect::<Vec<_>>());
            prop_assert_eq!(log.bytes(), 3 * log.messages());
            let from = log.last() / 2;
            prop_assert_eq!(log.count_from(from), model.iter().filter(|(s, ..)| *s >= from).count() as u64);
            prop_assert_eq!(log.next_live(from), model.iter().map(|(s, ..)| *s).find(|s| *s >= from));
            for rank in 0..11 {
                prop_assert_eq!(log.next_ranked_unless(rank, from, |_| 0),
                    model.iter().find(|(s, r, _)| *s >= from && *r == rank).map(|(s, ..)| *s));
            }
            for (sequence, stored) in log.iter() {
                let Some(key) = stored.key() else { continue };
                let same = |s: &&(u64, u8, Option<u8>)| s.2 == Some(key[0]);
                let before = model.iter().filter(same).map(|(s, ..)| *s).rfind(|s| *s < sequence);
                let behind = model.iter().filter(same).map(|(s, ..)| *s).find(|s| *s > sequence);
                prop_assert_eq!(stored.previous_of_key(), before.unwrap_or(0));
                prop_assert_eq!(stored.next_of_key(), behind.unwrap_or(0));
                prop_assert_eq!(log.last_of_key(key) == Some(sequence), behind.is_none());
            }
        }
    }
}
