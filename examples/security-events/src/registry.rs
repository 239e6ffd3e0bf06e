//! The registry that the command line names, and how an instance is kept in it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use swarmmq::discovery::{
    Discovery, EtcdDiscovery, EtcdOptions, Health, Instance, InstanceKey, NodeDiscovery, Registration,
    RegistrationOptions, ServiceType,
};
use swarmmq::{Client, TlsOptions};
use tracing::info;

use crate::options::{Identity, Place, Registry};

/// Says in its metadata whether producers are to connect to a consumer (`consumer`), or consumers to a producer. A
/// producer that says `consumer` connects by itself.
pub(crate) const DIAL: &str = "dial";
/// Value of [`DIAL`] where consumers listen and producers connect.
pub(crate) const DIAL_CONSUMER: &str = "consumer";

pub(crate) fn producers() -> Result<ServiceType> {
    Ok(ServiceType::new("producer")?)
}

pub(crate) fn consumers() -> Result<ServiceType> {
    Ok(ServiceType::new("consumer")?)
}

impl Place {
    /// A client of the node.
    pub(crate) async fn client(&self) -> Result<Client> {
        let mut options = Client::builder().name("security-events");
        for node in &self.node {
            options = options.address(node);
        }
        options
            .connect()
            .await
            .with_context(|| format!("cannot connect to the node at {}", self.node.join(", ")))
    }

    /// The registry, if there is to be one.
    pub(crate) async fn registry(&self) -> Result<Option<Arc<dyn Discovery>>> {
        Ok(match self.discovery {
            Registry::None => None,
            Registry::Node => {
                let client = self.client().await?;
                info!("Connected to the registry of the node at {}", self.node.join(", "));
                Some(Arc::new(NodeDiscovery::new(client)))
            }
            Registry::Etcd => {
                let registry: Arc<dyn Discovery> = Arc::new(EtcdDiscovery::new(&self.etcd_options()?)?);
                info!("Connecting to etcd cluster at {}", self.etcd.join(", "));
                Some(registry)
            }
        })
    }

    fn etcd_options(&self) -> Result<EtcdOptions> {
        let mut options = self.etcd.iter().fold(EtcdOptions::default(), EtcdOptions::endpoint);
        if let Some(ca) = &self.etcd_ca {
            let mut tls = TlsOptions::ca_file(ca);
            if let (Some(certificate), Some(key)) = (&self.etcd_cert, &self.etcd_key) {
                tls = tls.client_certificate(certificate, key);
            }
            options = options.tls(tls);
        }
        if let Some(user) = &self.etcd_user {
            let Some((name, password)) = user.split_once(':') else {
                bail!("--etcd-user is NAME:PASSWORD");
            };
            options = options.user(name, password);
        }
        Ok(options)
    }
}

impl Identity {
    /// The key of this instance.
    pub(crate) fn key(&self, service: ServiceType) -> Result<InstanceKey> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => format!("{service}-{}", uuid::Uuid::new_v4().simple()),
        };
        Ok(InstanceKey::new(service, id.parse().context("--id")?))
    }

    /// Registers the instance, and keeps it registered.
    pub(crate) fn register(
        &self,
        registry: &Arc<dyn Discovery>,
        mut instance: Instance,
    ) -> Result<Registration> {
        instance.ttl_ms = u32::try_from(self.ttl.as_millis()).context("--ttl")?;
        let drain_file = self.drain_file.clone();
        let options = RegistrationOptions::default()
            .health_interval(self.health_interval)
            .health_check(move || health(drain_file.clone()));
        Ok(Registration::start(registry.clone(), instance, options)?)
    }
}

/// Unhealthy while the file exists.
async fn health(drain_file: Option<PathBuf>) -> Health {
    if drain_file.is_some_and(|file| file.exists()) { Health::Unhealthy } else { Health::Healthy }
}

/// Where others reach what was bound: as it was said, or on this machine.
pub(crate) fn advertised(said: Option<&String>, bound: &str) -> String {
    match said {
        Some(said) => said.clone(),
        None => bound.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:"),
    }
}
