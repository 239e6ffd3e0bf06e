//! Who is registered, as far as is known. Pure: times come in as arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use swarmmq_protocol::service::{
    Instance, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply,
};
use tokio::time::Instant;

/// The instances of a view.
///
/// A registry that has forgotten everything knows only who has announced itself since. Who is missing in it is not dead
/// yet: it is kept for as long as its lease could have lasted.
#[derive(Debug, Default)]
pub(super) struct Roster {
    at: Option<RegistryCursor>,
    instances: BTreeMap<InstanceKey, Instance>,
    /// Those that a registry which began anew has not heard of, and until when they are kept.
    missing: BTreeMap<InstanceKey, Instant>,
}

impl Roster {
    /// How far it has seen.
    pub(super) fn at(&self) -> Option<RegistryCursor> {
        self.at
    }

    pub(super) fn instances(&self) -> &BTreeMap<InstanceKey, Instance> {
        &self.instances
    }

    /// When the next of those that are missing is given up.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.missing.values().min().copied()
    }

    /// Takes in what the registry tells. Says what is different from before.
    pub(super) fn handle(&mut self, now: Instant, reply: ServicesReply) -> Vec<ServiceChange> {
        let before = self.at.replace(reply.at);
        match reply.news {
            ServiceNews::All(all) => {
                let began_anew = before.is_some_and(|before| {
                    before.epoch != reply.at.epoch || before.revision > reply.at.revision
                });
                self.replace(now, all, began_anew)
            }
            ServiceNews::Changes(changes) => {
                changes.into_iter().filter_map(|change| self.apply(change)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Gives up who is missing for too long. Says who.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ServiceChange> {
        let ended = |(key, until): (&InstanceKey, &Instant)| (*until <= now).then(|| key.clone());
        let gone: Vec<InstanceKey> = self.missing.iter().filter_map(ended).collect();
        gone.into_iter().filter_map(|key| self.apply(ServiceChange::Gone(key))).collect()
    }

    fn replace(&mut self, now: Instant, all: Vec<Instance>, began_anew: bool) -> Vec<ServiceChange> {
        let there: BTreeMap<InstanceKey, Instance> =
            all.into_iter().map(|instance| (instance.key.clone(), instance)).collect();
        let absent: Vec<InstanceKey> =
            self.instances.keys().filter(|key| !there.contains_key(key)).cloned().collect();
        let mut changes = Vec::new();
        for key in absent {
            // Who was missing already keeps the time it has, if the registry began anew again.
            if began_anew || self.missing.contains_key(&key) {
                let ttl_ms = self.instances.get(&key).map_or(0, |instance| instance.ttl_ms);
                let until = now + Duration::from_millis(u64::from(ttl_ms));
                self.missing.entry(key).or_insert(until);
            } else {
                changes.extend(self.apply(ServiceChange::Gone(key)));
            }
        }
        changes.extend(
            there.into_values().filter_map(|instance| self.apply(ServiceChange::Registered(instance))),
        );
        changes
    }

    /// Applies a change, and gives it back if it is one.
    fn apply(&mut self, change: ServiceChange) -> Option<ServiceChange> {
        self.missing.remove(change.key());
        let is_change = match &change {
            ServiceChange::Registered(instance) => {
                let before = self.instances.insert(instance.key.clone(), instance.clone());
                before.as_ref() != Some(instance)
            }
            ServiceChange::Gone(key) => self.instances.remove(key).is_some(),
            _ => false,
        };
        is_change.then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instance(id: u8, version: u8) -> Instance {
        let key = format!("worker/i{id}").parse().unwrap();
        let mut instance = Instance::new(key, format!("tcp://host:{version}"));
        instance.ttl_ms = 1000;
        instance
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// An instance registers.
        Up(u8, u8),
        /// One is gone.
        Down(u8),
        /// The view hears of what has changed.
        Hear,
        /// The view has missed something, and hears all.
        HearAll,
        /// The registry forgets everything.
        Restart,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..5_u8, 0..3_u8).prop_map(|(id, version)| Step::Up(id, version)),
            2 => (0..5_u8).prop_map(Step::Down),
            4 => Just(Step::Hear),
            2 => Just(Step::HearAll),
            1 => Just(Step::Restart),
            2 => (0..700_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Whoever applies what a roster says has changed knows what the roster knows; the roster has everybody that the
        /// registry has; and who is in the roster and not in the registry is one that a restart forgot, no longer ago
        /// than its lease.
        #[test]
        fn nobody_dies_because_the_registry_forgot(steps in proptest::collection::vec(step(), 1..120)) {
            let mut now = Instant::now();
            let mut roster = Roster::default();
            let mut epoch = 1;
            let mut there: BTreeMap<InstanceKey, Instance> = BTreeMap::new();
            let mut unheard: Vec<ServiceChange> = Vec::new();
            let mut revision = 0;
            let mut heard_epoch = 0;
            let mut forgotten: BTreeMap<InstanceKey, Instant> = BTreeMap::new();
            let mut follower: BTreeMap<InstanceKey, Instance> = BTreeMap::new();
            for step in steps {
                let mut changes = Vec::new();
                match step {
                    Step::Up(id, version) => {
                        let one = instance(id, version);
                        unheard.push(ServiceChange::Registered(one.clone()));
                        there.insert(one.key.clone(), one);
                        revision += 1;
                    }
                    Step::Down(id) => {
                        let key = instance(id, 0).key;
                        if there.remove(&key).is_some() {
                            unheard.push(ServiceChange::Gone(key));
                            revision += 1;
                        }
                    }
                    Step::Hear | Step::HearAll => {
                        let is_all = matches!(step, Step::HearAll) || heard_epoch != epoch;
                        let news = if is_all {
                            unheard.clear();
                            ServiceNews::All(there.values().cloned().collect())
                        } else {
                            // Whoever is heard of is not forgotten any more, dead or alive.
                            forgotten.retain(|key, _| unheard.iter().all(|change| change.key() != key));
                            ServiceNews::Changes(std::mem::take(&mut unheard))
                        };
                        if heard_epoch != epoch && heard_epoch != 0 {
                            for key in roster.instances().keys().filter(|key| !there.contains_key(key)) {
                                forgotten.entry(key.clone()).or_insert(now + Duration::from_millis(1000));
                            }
                        }
                        heard_epoch = epoch;
                        changes = roster.handle(now, ServicesReply { at: RegistryCursor { epoch, revision }, news });
                        forgotten.retain(|key, _| !there.contains_key(key));
                        let missing: Vec<_> = forgotten.keys().collect();
                        let extra: Vec<_> =
                            roster.instances().keys().filter(|key| !there.contains_key(key)).collect();
                        prop_assert_eq!(extra, missing);
                        for (key, one) in &there {
                            prop_assert_eq!(roster.instances().get(key), Some(one));
                        }
                    }
                    Step::Restart => {
                        epoch += 1;
                        revision = 0;
                        there.clear();
                        unheard.clear();
                    }
                    Step::Pass(ms) => {
                        now += Duration::from_millis(ms);
                        changes = roster.expire(now);
                        forgotten.retain(|key, until| {
                            let is_kept = *until > now;
                            assert_eq!(roster.instances().contains_key(key), is_kept);
                            is_kept
                        });
                    }
                }
                for change in changes {
                    match change {
                        ServiceChange::Registered(one) => {
                            let before = follower.insert(one.key.clone(), one.clone());
                            prop_assert_ne!(before, Some(one), "what is said to have changed has");
                        }
                        ServiceChange::Gone(key) => prop_assert!(follower.remove(&key).is_some()),
                        _ => unreachable!("there is no other change"),
                    }
                }
                prop_assert_eq!(&follower, roster.instances());
                prop_assert_eq!(roster.next_expiry(), forgotten.values().min().copied());
            }
        }
    }

    #[test]
    fn a_revision_that_goes_back_is_a_registry_that_began_anew() {
        let now = Instant::now();
        let mut roster = Roster::default();
        let at = |revision| RegistryCursor { epoch: 7, revision };
        roster.handle(now, ServicesReply { at: at(9), news: ServiceNews::All(vec![instance(1, 1)]) });
        let changes = roster.handle(now, ServicesReply { at: at(2), news: ServiceNews::All(Vec::new()) });
        assert!(changes.is_empty() && roster.instances().len() == 1);
        assert_eq!(roster.expire(now + Duration::from_secs(1)).len(), 1);
    }
}
