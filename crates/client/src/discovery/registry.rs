//! What a registry can do.

use std::future::Future;
use std::pin::Pin;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::service::{Instance, InstanceKey, RegistryCursor, ServiceNews, ServicesReply};

use super::error::DiscoveryError;

/// An answer of a registry that is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, DiscoveryError>> + Send + 'a>>;

/// A registry of services: see the [module](super).
///
/// No method waits for ever, and none tries again by itself for long: [`Registration`](super::Registration) and
/// [`View`](super::View) do. Dropping a future gives the attempt up; it may have taken effect.
pub trait Discovery: Send + Sync + 'static {
    /// Registers an instance, or begins its lease anew; what it says of itself is taken as it is now.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    fn announce<'a>(&'a self, instance: &'a Instance) -> Pending<'a, ()>;

    /// Takes an instance out before its lease ends. One that is not there is as good as taken out.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    fn withdraw<'a>(&'a self, key: &'a InstanceKey) -> Pending<'a, ()>;

    /// Begins to tell what changes of a service, or of all services: behind `after`, or from all there is.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    fn watch<'a>(
        &'a self,
        service: Option<&'a ServiceType>,
        after: Option<RegistryCursor>,
    ) -> Pending<'a, Box<dyn Watching>>;

    /// All instances of a service, or of all services, in the order of their keys.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    fn list<'a>(&'a self, service: Option<&'a ServiceType>) -> Pending<'a, Vec<Instance>> {
        Box::pin(async move {
            match self.watch(service, None).await?.next().await?.news {
                ServiceNews::All(instances) => Ok(instances),
                _ => Err(DiscoveryError::Protocol("it told changes where it was asked for all".into())),
            }
        })
    }
}

/// What a registry tells, one piece after the other.
///
/// After an error it is of no use any more: begin another, behind what the last piece said.
pub trait Watching: Send {
    /// Waits for what is new. A piece without changes says that there was nothing up to its cursor; a piece with all
    /// there is comes first where the watch began with nothing, and wherever the registry does not remember far enough. The
    /// first piece comes soon, so that it is known whether the registry is there.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    fn next(&mut self) -> Pending<'_, ServicesReply>;
}
