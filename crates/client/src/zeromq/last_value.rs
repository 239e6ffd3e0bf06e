//! What a subscriber knows of its topics: the number and the value that came last, and so what is missing.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::zeromq::socket::Frames;

/// How a message stands to the one before it in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuity {
    /// Messages have no numbers, or there are more topics than are kept track of.
    Unknown,
    /// The first of its topic since it was subscribed to; a last value from a cache, or a message in mid-stream.
    First,
    /// It follows the one before.
    Next,
    /// Messages between the one before and this were lost.
    Gap {
        /// How many.
        missing: u64,
    },
    /// Its number is lower than that of the one before, or the same with another value: the publisher began anew. What
    /// was lost in between cannot be known.
    Restarted,
}

/// The topics of a subscriber.
#[derive(Debug)]
pub(crate) struct LastValues {
    topics: BTreeMap<Bytes, Last>,
    topics_max: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Last {
    sequence: Option<u64>,
    /// `None` where there was no room for it.
    value: Option<Frames>,
}

impl LastValues {
    pub(crate) fn new(topics_max: usize, bytes_max: usize) -> Self {
        Self { topics: BTreeMap::new(), topics_max, bytes: 0, bytes_max }
    }

    /// Takes note of a message. `None` for one that came before, with its number and its value: a cache sends it again
    /// to who connects again.
    pub(crate) fn handle_message(
        &mut self,
        topic: &Bytes,
        sequence: Option<u64>,
        value: &[Bytes],
    ) -> Option<Continuity> {
        let continuity = match (self.topics.get(topic), sequence) {
            (None, Some(_)) => Continuity::First,
            (None, None) | (Some(_), None) => Continuity::Unknown,
            (Some(last), Some(sequence)) => compare(last, sequence, value)?,
        };
        let room = self.topics.len() < self.topics_max;
        match self.topics.get_mut(topic) {
            Some(last) => {
                last.sequence = sequence;
                self.bytes -= last.value.take().map_or(0, |value| size(&value));
            }
            None if room => {
                // Small slices would keep the large buffers alive that they were received in.
                let topic = Bytes::copy_from_slice(topic);
                self.topics.insert(topic, Last { sequence, value: None });
            }
            None => return Some(Continuity::Unknown),
        }
        self.keep(topic, value);
        Some(continuity)
    }

    fn keep(&mut self, topic: &Bytes, value: &[Bytes]) {
        let size = size(value);
        if self.bytes.saturating_add(size) > self.bytes_max {
            return;
        }
        if let Some(last) = self.topics.get_mut(topic) {
            last.value = Some(value.iter().map(|frame| Bytes::copy_from_slice(frame)).collect());
            self.bytes += size;
        }
    }

    /// The last value of a topic.
    pub(crate) fn get(&self, topic: &[u8]) -> Option<&[Bytes]> {
        self.topics.get(topic)?.value.as_deref()
    }

    /// Topics with a value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &[Bytes])> {
        self.topics.iter().filter_map(|(topic, last)| Some((topic, last.value.as_deref()?)))
    }

    /// Forgets the topics that begin with `prefix`, but those that are `kept`.
    pub(crate) fn forget(&mut self, prefix: &[u8], kept: impl Fn(&[u8]) -> bool) {
        let begin = (Bound::Included(prefix), Bound::Unbounded);
        let forgotten: Vec<_> = self
            .topics
            .range::<[u8], _>(begin)
            .map(|(topic, _)| topic)
            .take_while(|topic| topic.starts_with(prefix))
            .filter(|topic| !kept(topic))
            .cloned()
            .collect();
        for topic in forgotten {
            let last = self.topics.remove(&topic);
            self.bytes -= last.and_then(|last| last.value).map_or(0, |value| size(&value));
        }
    }
}

/// `None` for a message that repeats the last.
fn compare(last: &Last, sequence: u64, value: &[Bytes]) -> Option<Continuity> {
    let Some(before) = last.sequence else { return Some(Continuity::First) };
    match sequence.checked_sub(before) {
        Some(0) if last.value.as_deref() == Some(value) => None,
        Some(0) | None => Some(Continuity::Restarted),
        Some(1) => Some(Continuity::Next),
        Some(step) => Some(Continuity::Gap { missing: step - 1 }),
    }
}

/// What a value is charged for: its bytes, and its frames' own size.
fn size(value: &[Bytes]) -> usize {
    value.iter().map(|frame| frame.len() + size_of::<Bytes>()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(word: &str) -> Frames {
        vec![Bytes::from(word.to_owned())]
    }

    const TOPIC: Bytes = Bytes::from_static(b"topic");

    #[test]
    fn the_kinds_of_succession() {
        let mut values = LastValues::new(10, 10_000);
        let mut take = |sequence, word| values.handle_message(&TOPIC, Some(sequence), &value(word));
        assert_eq!(take(7, "a"), Some(Continuity::First));
        assert_eq!(take(8, "b"), Some(Continuity::Next));
        assert_eq!(take(8, "b"), None);
        assert_eq!(take(12, "c"), Some(Continuity::Gap { missing: 3 }));
        assert_eq!(take(12, "another"), Some(Continuity::Restarted));
        assert_eq!(take(1, "d"), Some(Continuity::Restarted));
        assert_eq!(take(u64::MAX, "e"), Some(Continuity::Gap { missing: u64::MAX - 2 }));
        assert_eq!(values.handle_message(&TOPIC, None, &value("f")), Some(Continuity::Unknown));
        assert_eq!(values.get(b"topic"), Some(&value("f")[..]));
    }

    #[test]
    fn what_has_no_room_is_told_all_the_same() {
        let mut values = LastValues::new(1, 100);
        assert_eq!(values.handle_message(&TOPIC, Some(1), &value(&"x".repeat(100))), Some(Continuity::First));
        assert_eq!(values.get(b"topic"), None);
        assert_eq!(
            values.handle_message(&TOPIC, Some(3), &value("small")),
            Some(Continuity::Gap { missing: 1 })
        );
        assert_eq!(values.get(b"topic"), Some(&value("small")[..]));
        let other = Bytes::from_static(b"other");
        for sequence in [1, 5] {
            assert_eq!(values.handle_message(&other, Some(sequence), &value("y")), Some(Continuity::Unknown));
        }
        assert_eq!(values.iter().count(), 1);
    }

    proptest! {
        /// A publisher numbers from one; a network loses and repeats; caches and values have limits.
        #[test]
        fn exactly_what_is_lost_is_told(
            fates in proptest::collection::vec((0_usize..4, 0_u8..3), 1..100), bytes_max in 0_usize..500,
        ) {
            let mut values = LastValues::new(3, bytes_max);
            let mut numbers = [0_u64; 4];
            let mut heard: [Option<u64>; 4] = [None; 4];
            for (topic, fate) in fates {
                numbers[topic] += 1;
                let (name, number) = (Bytes::from(format!("topic {topic}")), numbers[topic]);
                let payload = value(&format!("value {number}"));
                if fate == 0 {
                    continue;
                }
                let told = values.handle_message(&name, Some(number), &payload);
                let tracked = values.topics.contains_key(&name);
                let expected = match heard[topic] {
                    _ if !tracked => Continuity::Unknown,
                    None => Continuity::First,
                    Some(before) if before + 1 == number => Continuity::Next,
                    Some(before) => Continuity::Gap { missing: number - before - 1 },
                };
                prop_assert_eq!(told, Some(expected));
                heard[topic] = Some(number);
                if fate == 2 && values.get(&name).is_some() {
                    prop_assert_eq!(values.handle_message(&name, Some(number), &payload), None);
                }
                if let Some(last) = values.get(&name) {
                    prop_assert_eq!(last, &payload[..]);
                }
                let kept: usize = values.iter().map(|(_, value)| size(value)).sum();
                prop_assert_eq!(kept, values.bytes);
                prop_assert!(kept <= bytes_max && values.topics.len() <= 3);
            }
        }

        #[test]
        fn what_is_forgotten_begins_with_the_prefix_and_is_not_kept(
            topics in proptest::collection::btree_set("[ab]{0,4}", 0..12),
            prefix in "[ab]{0,3}", kept in "[ab]{1,3}",
        ) {
            let mut values = LastValues::new(100, 10_000);
            for topic in &topics {
                values.handle_message(&Bytes::from(topic.clone()), Some(1), &value(topic));
            }
            values.forget(prefix.as_bytes(), |topic| topic.starts_with(kept.as_bytes()));
            let left: Vec<_> = values.iter().map(|(topic, _)| topic.clone()).collect();
            let expected: Vec<_> = topics
                .iter()
                .filter(|topic| !topic.starts_with(&prefix) || topic.starts_with(&kept))
                .map(|topic| Bytes::from(topic.clone()))
                .collect();
            prop_assert_eq!(left, expected);
            let kept: usize = values.iter().map(|(_, value)| size(value)).sum();
            prop_assert_eq!(kept, values.bytes);
        }
    }
}
