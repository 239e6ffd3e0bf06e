//! The last values against a list of them.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::last_values::{LastValues, Put, VALUE_BYTES, Version};
use super::super::limits::PubSubLimits;

fn frames(topic: u8, bytes: usize, mark: u8) -> Vec<Bytes> {
    vec![Bytes::from(vec![b'a', topic]), Bytes::from(vec![mark; bytes])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn values_are_the_last_ones_within_count_bytes_and_age(
        steps in proptest::collection::vec((0..6_u8, 0..700_usize, 0..30_u64), 1..80),
        last_values_max in 0..5_usize,
        last_values_bytes_max in 300..3_000_usize,
        age_ms in proptest::option::of(1..100_u64),
    ) {
        let limits = PubSubLimits {
            last_values_max,
            last_values_bytes_max,
            last_value_age_max_ms: age_ms,
            ..PubSubLimits::default()
        };
        let mut values = LastValues::new(&limits);
        // Topic, version, frames, when: least recently updated first.
        let mut list: Vec<(u8, Version, Vec<Bytes>, u64)> = Vec::new();
        let mut now_ms = 0;
        let cost = |frames: &[Bytes]| {
            let bytes: usize = frames.iter().map(Bytes::len).sum();
            VALUE_BYTES + frames[0].len() + bytes + size_of_val(frames)
        };
        for (nth, (topic, bytes, passes_ms)) in steps.into_iter().enumerate() {
            now_ms += passes_ms;
            let frames = frames(topic, bytes, nth as u8);
            let Put { new, replaced } = values.put(now_ms, &frames);
            let before = list.iter().position(|value| value.0 == topic).map(|place| list.remove(place));
            prop_assert_eq!(replaced, before.map(|value| value.1));
            prop_assert_eq!(new.is_some(), last_values_max > 0 && cost(&frames) <= last_values_bytes_max);
            if let Some(new) = new {
                prop_assert!(list.iter().all(|value| value.1 < new));
                list.push((topic, new, frames, now_ms));
            }
            while list.len() > last_values_max
                || list.iter().map(|value| cost(&value.2)).sum::<usize>() > last_values_bytes_max
            {
                list.remove(0);
            }
            prop_assert_eq!(values.bytes(), list.iter().map(|value| cost(&value.2)).sum::<usize>());
            let is_young = |put_ms: u64| age_ms.is_none_or(|age_ms| now_ms - put_ms < age_ms);
            for (_, version, frames, put_ms) in &list {
                let kept = values.get(now_ms, *version).map(|value| value.frames.clone());
                prop_assert_eq!(kept, is_young(*put_ms).then(|| frames.clone()));
            }
            if values.next_due().is_some_and(|due_ms| due_ms <= now_ms) {
                values.expire(now_ms);
                list.retain(|value| is_young(value.3));
            }
            prop_assert_eq!(values.len(), list.len());
            let mut all: Vec<Version> = values.with_prefix(b"a").map(|(_, version)| version).collect();
            all.sort_unstable();
            prop_assert_eq!(all, list.iter().map(|value| value.1).collect::<Vec<_>>());
            let one: Vec<Version> = values.with_prefix(&[b'a', topic]).map(|(_, version)| version).collect();
            prop_assert_eq!(one, list.iter().filter(|value| value.0 == topic).map(|value| value.1).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_value_does_not_keep_alive_what_was_read_with_it() {
    let read = Bytes::from(vec![1; 60_000]);
    let mut values = LastValues::new(&PubSubLimits::default());
    let put = values.put(0, &vec![read.slice(10..20), read.slice(20..40)]);
    let value = values.get(0, put.new.unwrap()).unwrap();
    assert_eq!(value.frames, [read.slice(10..20), read.slice(20..40)]);
    assert!(read.is_unique());
}
