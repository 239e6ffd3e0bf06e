//! The registry against a plain model, and watchers that come and go.

use std::collections::BTreeMap;

use proptest::prelude::*;
use swarmmq_protocol::service::{
    Health, Instance, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply,
};
use swarmmq_protocol::{InstanceId, ServiceType};

use super::{Registry, RegistryFull, RegistryLimits};

fn service(number: u8) -> ServiceType {
    ServiceType::new(&format!("service-{number}")).unwrap()
}

fn key(of: u8, id: u8) -> InstanceKey {
    InstanceKey::new(service(of), InstanceId::new(&format!("i{id}")).unwrap())
}

fn instance(key: InstanceKey, ttl_ms: u32, healthy: bool) -> Instance {
    let mut instance = Instance::new(key, "tcp://host:1");
    instance.ttl_ms = ttl_ms;
    instance.health = if healthy { Health::Healthy } else { Health::Unhealthy };
    instance
}

#[derive(Debug, Clone)]
enum Step {
    Announce {
        of: u8,
        id: u8,
        ttl_ms: u32,
        healthy: bool,
    },
    Withdraw {
        of: u8,
        id: u8,
    },
    Pass {
        ms: u64,
    },
    /// A watcher asks what is new.
    Look {
        watcher: usize,
    },
    /// The registry forgets everything.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..6_u8, 100..2000_u32, any::<bool>())
            .prop_map(|(of, id, ttl_ms, healthy)| Step::Announce { of, id, ttl_ms, healthy }),
        2 => (0..3_u8, 0..6_u8).prop_map(|(of, id)| Step::Withdraw { of, id }),
        3 => (0..1500_u64).prop_map(|ms| Step::Pass { ms }),
        4 => (0..4_usize).prop_map(|watcher| Step::Look { watcher }),
        1 => Just(Step::Restart),
    ]
}

/// What somebody knows who applies every answer.
#[derive(Default)]
struct Watcher {
    service: Option<ServiceType>,
    after: Option<RegistryCursor>,
    known: BTreeMap<InstanceKey, Instance>,
}

impl Watcher {
    fn apply(&mut self, reply: ServicesReply) {
        self.after = Some(reply.at);
        match reply.news {
            ServiceNews::All(all) => {
                self.known = all.into_iter().map(|one| (one.key.clone(), one)).collect();
            }
            ServiceNews::Changes(changes) => {
                for change in changes {
                    match change {
                        ServiceChange::Registered(one) => {
                            self.known.insert(one.key.clone(), one);
                        }
                        ServiceChange::Gone(key) => {
                            self.known.remove(&key);
                        }
                        _ => unreachable!("there is no other change"),
                    }
                }
            }
            _ => unreachable!("there is no other news"),
        }
    }
}

proptest! {
    /// With a history so short that watchers often fall behind it, each of them still knows, whenever it has
    /// looked, exactly what is registered and whose lease lasts.
    #[test]
    fn whoever_looks_knows_exactly_who_has_a_lease(
        steps in proptest::collection::vec(step(), 1..200), changes_max in 0..12_usize,
    ) {
        let limits = RegistryLimits { instances_max: 10, changes_max };
        let (mut now, mut epoch) = (5_u64, 1_u64);
        let mut registry = Registry::new(epoch, limits);
        let mut model: BTreeMap<InstanceKey, (Instance, u64)> = BTreeMap::new();
        let mut watchers: Vec<Watcher> = (0..4_u8)
            .map(|number| Watcher { service: (number < 3).then(|| service(number)), ..Watcher::default() })
            .collect();
        for step in steps {
            match step {
                Step::Announce { of, id, ttl_ms, healthy } => {
                    let one = instance(key(of, id), ttl_ms, healthy);
                    let fits = model.contains_key(&one.key) || model.len() < 10;
                    prop_assert_eq!(registry.announce(now, one.clone()), fits.then_some(()).ok_or(RegistryFull(10)));
                    if fits {
                        model.insert(one.key.clone(), (one, now + u64::from(ttl_ms)));
                    }
                }
                Step::Withdraw { of, id } => {
                    let was_there = model.remove(&key(of, id)).is_some();
                    prop_assert_eq!(registry.withdraw(&key(of, id)), was_there);
                }
                Step::Pass { ms } => {
                    now += ms;
                    let before = model.len();
                    model.retain(|_, (_, end)| *end > now);
                    prop_assert_eq!(registry.expire(now), before - model.len());
                }
                Step::Look { watcher } => {
                    let watcher = &mut watchers[watcher];
                    let reply = registry.since(watcher.service.as_ref(), watcher.after);
                    watcher.apply(reply);
                    let meant = |one: &&Instance| watcher.service.as_ref().is_none_or(|of| one.key.service == *of);
                    let known: Vec<&Instance> = watcher.known.values().collect();
                    let there: Vec<&Instance> = model.values().map(|(one, _)| one).filter(meant).collect();
                    prop_assert_eq!(known, there);
                }
                Step::Restart => {
                    epoch += 1;
                    registry = Registry::new(epoch, limits);
                    model.clear();
                }
            }
            prop_assert_eq!(registry.len(), model.len());
            prop_assert_eq!(registry.next_expiry(), model.values().map(|(_, end)| *end).min());
        }
    }
}

#[test]
fn a_heartbeat_alone_is_no_change_and_renews_the_lease() {
    let mut registry = Registry::new(1, RegistryLimits::default());
    let mut one = instance(key(0, 0), 1000, true);
    registry.announce(0, one.clone()).unwrap();
    let at = registry.at();
    one.heartbeat_ms = 7;
    registry.announce(900, one.clone()).unwrap();
    assert_eq!(registry.at(), at);
    assert_eq!(registry.expire(1899), 0);
    let ServiceNews::All(all) = registry.list(None).news else { panic!("a list is all") };
    assert_eq!(all, [one], "whoever lists sees the last heartbeat");
    assert_eq!(registry.expire(1900), 1);
}

#[test]
fn who_has_seen_all_of_a_short_history_gets_nothing_and_not_everything() {
    let mut registry = Registry::new(1, RegistryLimits { instances_max: 10, changes_max: 0 });
    registry.announce(0, instance(key(0, 0), 1000, true)).unwrap();
    let reply = registry.since(None, Some(registry.at()));
    assert_eq!(reply.news, ServiceNews::Changes(Vec::new()));
    let before = RegistryCursor { epoch: 1, revision: 0 };
    assert!(matches!(registry.since(None, Some(before)).news, ServiceNews::All(all) if all.len() == 1));
    let ahead = RegistryCursor { epoch: 1, revision: 9 };
    assert!(matches!(registry.since(None, Some(ahead)).news, ServiceNews::All(_)), "nobody is ahead of it");
}
