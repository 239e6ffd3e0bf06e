//! The registry's state, and what changes it.

use std::collections::BTreeMap;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::limits::SERVICES_MAX;
use swarmmq_protocol::service::{
    Instance, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply,
};

use super::history::History;
use super::leases::Leases;

/// How much a registry keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Most instances. Default and most 4,096, as they all fit in one answer.
    pub instances_max: usize,
    /// How many of the last changes are kept. A watcher that was away for more gets everything again. Default
    /// 1,024, at most 4,096.
    pub changes_max: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self { instances_max: SERVICES_MAX, changes_max: 1024 }
    }
}

/// There are as many instances as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registry has {0} instances already, which is the limit")]
pub struct RegistryFull(pub usize);

/// Which instances of services there are.
///
/// Times are ms on any clock that does not run backwards.
#[derive(Debug)]
pub struct Registry {
    epoch: u64,
    instances_max: usize,
    instances: BTreeMap<InstanceKey, Instance>,
    leases: Leases,
    history: History,
}

impl Registry {
    /// An empty registry. `epoch` is drawn by chance: no other life of it has had the same.
    #[must_use]
    pub fn new(epoch: u64, limits: RegistryLimits) -> Self {
        Self {
            epoch,
            instances_max: limits.instances_max.min(SERVICES_MAX),
            instances: BTreeMap::new(),
            leases: Leases::default(),
            history: History::new(limits.changes_max.min(SERVICES_MAX)),
        }
    }

    /// How many instances are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// How far the history goes.
    #[must_use]
    pub fn at(&self) -> RegistryCursor {
        RegistryCursor { epoch: self.epoch, revision: self.history.revision() }
    }

    /// When the next lease ends: [`expire`](Self::expire) then.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.leases.next_end()
    }

    /// Registers an instance, or begins its lease anew. Who announces last is believed: an instance that
    /// was started again takes the place of what it was.
    ///
    /// # Errors
    /// [`RegistryFull`]; whoever is registered can still renew.
    pub fn announce(&mut self, now_ms: u64, instance: Instance) -> Result<(), RegistryFull> {
        self.expire(now_ms);
        let before = self.instances.get(&instance.key);
        if before.is_none() && self.instances.len() >= self.instances_max {
            return Err(RegistryFull(self.instances_max));
        }
        // A heartbeat is no change, or it would push the changes out of the history.
        if before.is_none_or(|before| before.differs_from(&instance)) {
            self.history.push(ServiceChange::Registered(instance.clone()));
        }
        self.leases.renew(&instance.key, now_ms.saturating_add(u64::from(instance.ttl_ms)));
        self.instances.insert(instance.key.clone(), instance);
        Ok(())
    }

    /// Takes an instance out. Says whether it was there.
    pub fn withdraw(&mut self, key: &InstanceKey) -> bool {
        self.leases.remove(key);
        let was_there = self.instances.remove(key).is_some();
        if was_there {
            self.history.push(ServiceChange::Gone(key.clone()));
        }
        was_there
    }

    /// Takes out whose lease has ended by `now_ms`. Says how many.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let mut count = 0;
        while let Some(key) = self.leases.take_ended(now_ms) {
            self.instances.remove(&key);
            self.history.push(ServiceChange::Gone(key));
            count += 1;
        }
        count
    }

    /// All instances of a service, or of all services.
    #[must_use]
    pub fn list(&self, service: Option<&ServiceType>) -> ServicesReply {
        let is_meant = |one: &&Instance| service.is_none_or(|service| one.key.service == *service);
        let news = ServiceNews::All(self.instances.values().filter(is_meant).cloned().collect());
        ServicesReply { at: self.at(), news }
    }

    /// What came behind `after`: changes, perhaps none, or everything where not all of them are kept.
    #[must_use]
    pub fn since(&self, service: Option<&ServiceType>, after: Option<RegistryCursor>) -> ServicesReply {
        let known = after.filter(|after| after.epoch == self.epoch);
        match known.and_then(|after| self.history.since(after.revision, service)) {
            Some(changes) => ServicesReply { at: self.at(), news: ServiceNews::Changes(changes) },
            None => self.list(service),
        }
    }
}
