//! The trie against a list of subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::trie::Trie;
use super::PeerId;

fn prefix() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(0..3_u8, 0..6),
        1 => proptest::collection::vec(any::<u8>(), 0..3),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_trie_finds_whom_a_list_of_subscriptions_finds(
        steps in proptest::collection::vec((any::<bool>(), prefix(), 0..4_u64), 1..120),
        topics in proptest::collection::vec(prefix(), 1..10),
    ) {
        let mut trie = Trie::new();
        let mut list: BTreeMap<Vec<u8>, BTreeSet<PeerId>> = BTreeMap::new();
        let mut found = Vec::new();
        for (adds, prefix, peer) in steps {
            let peer = PeerId(peer);
            let peers = list.entry(prefix.clone()).or_default();
            if adds {
                let is_first = peers.is_empty();
                peers.insert(peer);
                prop_assert_eq!(trie.insert(&prefix, peer), is_first);
            } else {
                let is_last = peers.remove(&peer) && peers.is_empty();
                prop_assert_eq!(trie.remove(&prefix, peer), is_last);
            }
            list.retain(|_, peers| !peers.is_empty());
            prop_assert!(trie.node_count() <= 2 * list.len() + 1, "{trie:?}");
            prop_assert!(trie.label_bytes() <= list.keys().map(Vec::len).sum());
            for topic in topics.iter().chain([&prefix]) {
                let holders = |except: Option<usize>| -> BTreeSet<PeerId> {
                    list.iter()
                        .filter(|(prefix, _)| topic.starts_with(prefix) && Some(prefix.len()) != except)
                        .flat_map(|(_, peers)| peers.iter().copied())
                        .collect()
                };
                trie.matching(topic, &mut found);
                prop_assert_eq!(&found, &holders(None).into_iter().collect::<Vec<_>>());
                for except in [None, Some(0), Some(prefix.len())] {
                    let covers = trie.covers(topic, peer, except);
                    prop_assert_eq!(covers, holders(except).contains(&peer));
                }
            }
        }
    }
}

#[test]
fn a_topic_of_a_megabyte_and_thousands_of_prefixes_in_each_other_are_no_deep_recursion() {
    let topic = vec![7; 1 << 20];
    let mut trie = Trie::new();
    for length in (0..40_000).rev() {
        assert!(trie.insert(&topic[..length], PeerId(1)));
    }
    assert!(trie.insert(&topic, PeerId(2)));
    assert_eq!(trie.label_bytes(), topic.len());
    let mut found = Vec::new();
    trie.matching(&topic, &mut found);
    assert_eq!(found, [PeerId(1), PeerId(2)]);
    for length in 0..40_000 {
        assert!(trie.remove(&topic[..length], PeerId(1)));
    }
    assert_eq!(trie.node_count(), 2);
    drop(trie);
}
