//! etcd as a registry.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::de::IgnoredAny;
use swarmmq_protocol::ServiceType;
use swarmmq_protocol::service::{Instance, InstanceKey, RegistryCursor};

use super::super::error::DiscoveryError;
use super::super::registry::{Discovery, Pending, Watching};
use super::gateway::{CallError, Gateway};
use super::messages::{DeleteRequest, GrantRequest, Lease, LeaseRequest, PutRequest};
use super::options::EtcdOptions;
use super::record::{key_of, value_of};
use super::watch::EtcdWatching;

/// A registry in etcd v3. See `docs/discovery.md`.
#[derive(Clone)]
pub struct EtcdDiscovery {
    gateway: Arc<Gateway>,
    /// What was registered from here: bounded by how many registrations the program has.
    held: Arc<Mutex<HashMap<InstanceKey, Held>>>,
}

/// What etcd has of an instance of ours.
#[derive(Clone)]
struct Held {
    lease: i64,
    instance: Instance,
}

impl std::fmt::Debug for EtcdDiscovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdDiscovery").finish_non_exhaustive()
    }
}

impl EtcdDiscovery {
    /// A registry as `options` say. Nothing is sent yet.
    ///
    /// # Errors
    /// [`DiscoveryError::Options`].
    pub fn new(options: &EtcdOptions) -> Result<Self, DiscoveryError> {
        Ok(Self { gateway: Arc::new(Gateway::new(options)?), held: Arc::default() })
    }

    /// Renews the lease of an instance, and tells etcd what is different about it. Says whether it still is registered.
    async fn renew(&self, held: &Held, instance: &Instance) -> Result<bool, DiscoveryError> {
        let request = LeaseRequest { id: held.lease };
        let lease: Lease = match self.gateway.call_streaming("/v3/lease/keepalive", &request).await {
            Err(CallError::Trouble(trouble)) if trouble.is_not_found() => return Ok(false),
            answer => answer?,
        };
        if lease.ttl <= 0 {
            return Ok(false);
        }
        if held.instance == *instance {
            return Ok(true);
        }
        self.put(held.lease, instance).await
    }

    /// Says whether there was such a lease.
    async fn put(&self, lease: i64, instance: &Instance) -> Result<bool, DiscoveryError> {
        let request = PutRequest { key: key_of(&instance.key), value: value_of(instance), lease };
        match self.gateway.call::<IgnoredAny>("/v3/kv/put", &request).await {
            Ok(_) => Ok(true),
            Err(CallError::Trouble(trouble)) if trouble.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn register(&self, instance: &Instance) -> Result<i64, DiscoveryError> {
        let ttl = u64::from(instance.ttl_ms).div_ceil(1000);
        let lease: Lease = self.gateway.call("/v3/lease/grant", &GrantRequest { ttl }).await?;
        if lease.id == 0 {
            return Err(DiscoveryError::Protocol("etcd granted a lease without an id".into()));
        }
        if !self.put(lease.id, instance).await? {
            return Err(DiscoveryError::Away("the lease was gone before it was used".into()));
        }
        Ok(lease.id)
    }
}

impl Discovery for EtcdDiscovery {
    fn announce<'a>(&'a self, instance: &'a Instance) -> Pending<'a, ()> {
        Box::pin(async move {
            instance.validate()?;
            let held = self.held.lock().get(&instance.key).cloned();
            let kept = match &held {
                // With another lease time it is another lease.
                Some(held) if held.instance.ttl_ms == instance.ttl_ms => {
                    self.renew(held, instance).await?.then_some(held.lease)
                }
                _ => None,
            };
            let lease = match kept {
                Some(lease) => lease,
                None => self.register(instance).await?,
            };
            self.held.lock().insert(instance.key.clone(), Held { lease, instance: instance.clone() });
            Ok(())
        })
    }

    fn withdraw<'a>(&'a self, key: &'a InstanceKey) -> Pending<'a, ()> {
        Box::pin(async move {
            let lease = self.held.lock().get(key).map(|held| held.lease);
            let Some(id) = lease else {
                let request = DeleteRequest { key: key_of(key) };
                self.gateway.call::<IgnoredAny>("/v3/kv/deleterange", &request).await?;
                return Ok(());
            };
            // With the lease goes what hangs on it, and not the key of a successor that has announced itself since.
            let revoked = self.gateway.call::<IgnoredAny>("/v3/lease/revoke", &LeaseRequest { id }).await;
            match revoked {
                Err(CallError::Trouble(trouble)) if !trouble.is_not_found() => {
                    return Err(CallError::Trouble(trouble).into());
                }
                Err(CallError::Failed(error)) => return Err(error),
                _ => {}
            }
            self.held.lock().remove(key);
            Ok(())
        })
    }

    fn watch<'a>(
        &'a self,
        service: Option<&'a ServiceType>,
        after: Option<RegistryCursor>,
    ) -> Pending<'a, Box<dyn Watching>> {
        let watching = EtcdWatching::new(self.gateway.clone(), service.cloned(), after);
        Box::pin(async move { Ok(Box::new(watching) as Box<dyn Watching>) })
    }
}
