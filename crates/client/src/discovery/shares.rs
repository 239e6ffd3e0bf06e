//! Whose turn it is. Pure.

use std::collections::BTreeMap;

use swarmmq_protocol::service::InstanceKey;

/// What is under way at each of those that take work.
#[derive(Debug, Default)]
pub(super) struct Shares {
    members: BTreeMap<InstanceKey, Share>,
    /// Counts the turns given, and tells lives of a member apart.
    turns: u64,
}

#[derive(Debug)]
struct Share {
    outstanding: u64,
    last_turn: u64,
    life: u64,
}

/// A piece of work that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: InstanceKey,
    life: u64,
}

impl Shares {
    /// Sets who takes work from now on. What is under way at those who stay still counts.
    pub(super) fn set_members<'a>(&mut self, keys: impl IntoIterator<Item = &'a InstanceKey>) {
        let mut before = std::mem::take(&mut self.members);
        for key in keys {
            self.turns += 1;
            let new = Share { outstanding: 0, last_turn: 0, life: self.turns };
            let share = before.remove(key).unwrap_or(new);
            self.members.insert(key.clone(), share);
        }
    }

    /// Gives a piece of work to the one that has the fewest under way; among equals, to the one that has
    /// waited longest.
    pub(super) fn pick(&mut self) -> Option<Turn> {
        self.turns += 1;
        let (key, share) =
            self.members.iter_mut().min_by_key(|(_, share)| (share.outstanding, share.last_turn))?;
        share.outstanding += 1;
        share.last_turn = self.turns;
        Some(Turn { key: key.clone(), life: share.life })
    }

    /// A piece of work is done, or given up.
    pub(super) fn finish(&mut self, turn: &Turn) {
        if let Some(share) = self.members.get_mut(&turn.key).filter(|share| share.life == turn.life) {
            share.outstanding = share.outstanding.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: u8) -> InstanceKey {
        format!("worker/i{id}").parse().unwrap()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Members(Vec<u8>),
        Pick,
        /// The nth piece of work that is under way is done.
        Finish(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => proptest::collection::vec(0..6_u8, 0..6).prop_map(Step::Members),
            6 => Just(Step::Pick),
            3 => (0..40_usize).prop_map(Step::Finish),
        ]
    }

    proptest! {
        #[test]
        fn work_goes_to_a_member_with_the_fewest_under_way(steps in proptest::collection::vec(step(), 1..200)) {
            let mut shares = Shares::default();
            let mut members: Vec<InstanceKey> = Vec::new();
            let mut under_way: Vec<Turn> = Vec::new();
            for step in steps {
                match step {
                    Step::Members(ids) => {
                        members = ids.into_iter().map(key).collect();
                        members.sort();
                        members.dedup();
                        shares.set_members(&members);
                    }
                    Step::Pick => {
                        let count = |key: &InstanceKey| shares.members.get(key).map(|share| share.outstanding);
                        let fewest = members.iter().filter_map(count).min();
                        let turn = shares.pick();
                        prop_assert_eq!(turn.is_some(), !members.is_empty());
                        if let Some(turn) = turn {
                            prop_assert!(members.contains(&turn.key), "only a member is given work");
                            prop_assert_eq!(shares.members[&turn.key].outstanding, fewest.unwrap() + 1);
                            under_way.push(turn);
                        }
                    }
                    Step::Finish(nth) if nth < under_way.len() => {
                        let turn = under_way.swap_remove(nth);
                        shares.finish(&turn);
                    }
                    Step::Finish(_) => {}
                }
                for (key, share) in &shares.members {
                    let of_this_life =
                        under_way.iter().filter(|turn| turn.key == *key && turn.life == share.life).count();
                    prop_assert_eq!(share.outstanding, of_this_life as u64);
                }
            }
        }
    }

    #[test]
    fn equals_take_turns() {
        let mut shares = Shares::default();
        shares.set_members(&[key(1), key(2), key(3)]);
        let mut given: BTreeMap<InstanceKey, u32> = BTreeMap::new();
        for _ in 0..30 {
            let turn = shares.pick().unwrap();
            shares.finish(&turn);
            *given.entry(turn.key).or_default() += 1;
        }
        assert!(given.values().all(|count| *count == 10), "{given:?}");
    }
}
