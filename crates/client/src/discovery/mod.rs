//! Service discovery: who is there, where, and how they are.
//!
//! An [`Instance`] of a service registers under a lease that it renews, and is gone when its lease is. Two registries
//! stand behind [`Discovery`]: the one in every node ([`NodeDiscovery`]), and etcd v3 (`EtcdDiscovery`, with the feature
//! `etcd`). What is built on them is the same for both:
//!
//! - a [`Registration`] keeps an instance registered: it renews the lease, looks after its health, and registers
//!   again what the registry has forgotten;
//! - a [`View`] is who is registered as a service, as it changes. While the registry is away it goes on with what it
//!   knew last, and says so;
//! - a [`Balancer`] spreads work over the healthy instances of a view.
//!
//! What decides is apart from what does I/O: `lease` says when to renew, `roster` what is known, `shares` whose turn it
//! is. None of them has a clock or a socket.
//!
//! ```no_run
//! use std::sync::Arc;
//! use swarmmq::discovery::{Balancer, Instance, NodeDiscovery, Registration, RegistrationOptions, View};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = swarmmq::Client::connect("localhost:9001").await?;
//! let registry = Arc::new(NodeDiscovery::new(client));
//! let me = Instance::new("worker/worker-7".parse()?, "tcp://10.0.0.7:5556");
//! let registration = Registration::start(registry.clone(), me, RegistrationOptions::default())?;
//!
//! let workers = View::start(registry, "worker".parse()?);
//! let balancer = Balancer::new(&workers);
//! let pick = balancer.ready().await;
//! println!("it is the turn of {}", pick.instance().endpoint);
//! registration.deregister().await;
//! # Ok(())
//! # }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/discovery.md")]
mod guide {}

mod balance;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod lease;
mod node;
mod registration;
mod registry;
mod roster;
mod shares;
mod view;

pub use balance::{Balancer, Pick};
pub use error::DiscoveryError;
#[cfg(feature = "etcd")]
pub use etcd::{EtcdDiscovery, EtcdOptions};
pub use node::NodeDiscovery;
pub use registration::{HealthCheck, Registration, RegistrationOptions, RegistrationState};
pub use registry::{Discovery, Pending, Watching};
pub use swarmmq_protocol::service::{
    Health, Instance, InstanceError, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply,
};
pub use swarmmq_protocol::{InstanceId, ServiceType};
pub use view::{Snapshot, View, ViewState};
