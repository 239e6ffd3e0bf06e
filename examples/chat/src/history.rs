//! Which records a server has, in order, and sums by which two servers see where they differ.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::Key;

/// The keys from one up to but not including another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRange {
    pub(crate) from: Key,
    /// `None`: all that follow.
    pub(crate) until: Option<Key>,
}

impl KeyRange {
    /// All keys.
    pub(crate) const ALL: Self = Self { from: Key::MIN, until: None };

    /// Whether there can be a key in it. What is not so would make a search panic.
    pub(crate) fn is_sound(&self) -> bool {
        self.until.is_none_or(|until| self.from < until)
    }

    fn bounds(&self) -> (Bound<Key>, Bound<Key>) {
        (Bound::Included(self.from), self.until.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// How many records there are in a range, and the sum of their contents' hashes. Servers that agree in both have the
/// same records there.
///
/// The sum keeps accidents apart, and nobody who makes up records on purpose: who may publish on topic `replica` is
/// trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    #[serde(serialize_with = "write_sum", deserialize_with = "read_sum")]
    pub(crate) sum: u128,
}

impl Summary {
    fn add(&mut self, key: &Key) {
        self.count += 1;
        // The clock is part of the content, and so of its hash.
        self.sum = self.sum.wrapping_add(key.content);
    }
}

fn write_sum<S: Serializer>(sum: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{sum:032x}"))
}

fn read_sum<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = String::deserialize(deserializer)?;
    u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}

/// The records that a server has, each with where it is kept. About a hundred bytes a record; searching a range takes
/// time as long as the range.
#[derive(Debug, Clone)]
pub(crate) struct History<P> {
    places: BTreeMap<Key, P>,
    all: Summary,
}

impl<P> Default for History<P> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), all: Summary::default() }
    }
}

impl<P> History<P> {
    /// Adds a record; `false` if it is there already.
    pub(crate) fn insert(&mut self, key: Key, place: P) -> bool {
        if self.places.contains_key(&key) {
            return false;
        }
        self.places.insert(key, place);
        self.all.add(&key);
        true
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    pub(crate) fn place(&self, key: &Key) -> Option<&P> {
        self.places.get(key)
    }

    /// All that there is, in one sum.
    pub(crate) fn summary(&self) -> Summary {
        self.all
    }

    /// Highest clock of a record.
    pub(crate) fn clock(&self) -> u64 {
        self.places.last_key_value().map_or(0, |(key, _)| key.clock)
    }

    /// The keys of a range, in order; none, if it is not sound.
    pub(crate) fn keys(&self, range: KeyRange) -> impl Iterator<Item = Key> {
        let keys = range.is_sound().then(|| self.places.range(range.bounds()));
        keys.into_iter().flatten().map(|(key, _)| *key)
    }

    /// The sum of a range.
    pub(crate) fn summary_of(&self, range: KeyRange) -> Summary {
        if range == KeyRange::ALL {
            return self.all;
        }
        let mut summary = Summary::default();
        self.keys(range).for_each(|key| summary.add(&key));
        summary
    }

    /// Cuts a range into at most `parts` of about as many records each, and sums them. The parts cover the range.
    pub(crate) fn split(&self, range: KeyRange, parts: usize) -> Vec<(KeyRange, Summary)> {
        let count = self.keys(range).count();
        let size = count.div_ceil(parts.max(1)).max(1);
        let mut split: Vec<(KeyRange, Summary)> = Vec::new();
        for (number, key) in self.keys(range).enumerate() {
            if number % size == 0 {
                let from = split.last_mut().map_or(range.from, |(before, _)| {
                    before.until = Some(key);
                    key
                });
                split.push((KeyRange { from, until: range.until }, Summary::default()));
            }
            if let Some((_, summary)) = split.last_mut() {
                summary.add(&key);
            }
        }
        if split.is_empty() {
            split.push((range, Summary::default()));
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(clock: u64) -> Key {
        Key { clock, content: u128::from(clock) * 31 + 7 }
    }

    proptest! {
        #[test]
        fn parts_cover_their_range_and_sum_up_to_it(
            clocks in proptest::collection::btree_set(0_u64..500, 0..200),
            from in 0_u64..500, length in 1_u64..500, parts in 1_usize..20,
        ) {
            let mut history = History::default();
            for clock in &clocks {
                prop_assert!(history.insert(key(*clock), ()));
                prop_assert!(!history.insert(key(*clock), ()));
            }
            let range = KeyRange { from: key(from), until: Some(key(from + length)) };
            let inside: Vec<_> = clocks.iter().copied().filter(|at| (from..from + length).contains(at)).collect();
            prop_assert_eq!(history.keys(range).map(|key| key.clock).collect::<Vec<_>>(), inside.clone());
            let split = history.split(range, parts);
            prop_assert!((1..=parts).contains(&split.len()));
            prop_assert_eq!(split[0].0.from, range.from);
            prop_assert_eq!(split[split.len() - 1].0.until, range.until);
            for pair in split.windows(2) {
                prop_assert_eq!(pair[0].0.until, Some(pair[1].0.from));
            }
            let mut whole = Summary::default();
            for (part, summary) in &split {
                prop_assert!(part.is_sound());
                prop_assert_eq!(*summary, history.summary_of(*part));
                whole = Summary { count: whole.count + summary.count, sum: whole.sum.wrapping_add(summary.sum) };
            }
            prop_assert_eq!(whole, history.summary_of(range));
            prop_assert_eq!(whole.count, inside.len() as u64);
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        let mut history = History::default();
        history.insert(key(5), ());
        let backwards = KeyRange { from: key(9), until: Some(key(1)) };
        assert_eq!(history.keys(backwards).count(), 0);
        assert_eq!(history.split(backwards, 4).len(), 1);
        assert_eq!(history.summary_of(KeyRange::ALL), history.summary());
        assert_eq!(history.clock(), 5);
    }
}
