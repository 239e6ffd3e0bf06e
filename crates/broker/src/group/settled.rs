//! Which messages of a stream a group has settled, in front of its floor.

use std::collections::BTreeMap;

use crate::log::Log;
use crate::log::page::{PAGE_SEQUENCES, bits_from};

/// A word of bits for each page in which something is settled and something may not be.
///
/// Bits of messages that are gone from the log mean nothing; their words are swept out once they are
/// as many as the log has pages, so that the set is bounded by what is live.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    words: BTreeMap<u64, u64>,
}

impl Settled {
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.word(sequence / PAGE_SEQUENCES) & (1 << (sequence % PAGE_SEQUENCES)) != 0
    }

    pub(crate) fn insert(&mut self, sequence: u64) {
        *self.words.entry(sequence / PAGE_SEQUENCES).or_default() |= 1 << (sequence % PAGE_SEQUENCES);
    }

    /// The settled sequences of page `number`, as bits.
    pub(crate) fn word(&self, number: u64) -> u64 {
        self.words.get(&number).copied().unwrap_or(0)
    }

    pub(crate) fn set_word(&mut self, number: u64, word: u64) {
        self.words.insert(number, word);
    }

    /// Forgets what is below the floor, and what is gone from the log.
    pub(crate) fn sweep(&mut self, floor: u64, log: &Log) {
        while let Some(oldest) = self.words.first_entry()
            && (*oldest.key() + 1) * PAGE_SEQUENCES <= floor
        {
            oldest.remove();
        }
        if self.words.len() > 2 * log.pages() + 16 {
            self.words.retain(|number, _| log.page_live(*number) != 0);
        }
    }

    /// How many live messages at or behind `floor` are settled.
    pub(crate) fn count(&self, floor: u64, log: &Log) -> u64 {
        self.live_words(floor, log).map(|(_, word)| u64::from(word.count_ones())).sum()
    }

    /// The words of what is live and at or behind `floor`, without empty ones.
    pub(crate) fn live_words<'a>(
        &'a self,
        floor: u64,
        log: &'a Log,
    ) -> impl Iterator<Item = (u64, u64)> + 'a {
        let page = floor / PAGE_SEQUENCES;
        self.words.range(page..).filter_map(move |(number, word)| {
            let mask = if *number == page { bits_from(floor) } else { u64::MAX };
            let live = word & mask & log.page_live(*number);
            (live != 0).then_some((*number, live))
        })
    }
}
