//! The registry, with a clock and somebody to wake.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_broker::registry::{Registry, RegistryLimits};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::service::{Instance, InstanceKey, RegistryCursor, ServiceNews, ServicesReply, Watch};
use swarmmq_protocol::{ErrorCode, ErrorReply, ServiceType};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// Most watches of a node that wait at once; each costs a small task.
const WATCHES_MAX: usize = 16_384;

/// The services that are registered at this node.
pub struct Services {
    registry: Mutex<Registry>,
    began: Instant,
    /// How far the registry has come, for those who wait.
    news: watch::Sender<RegistryCursor>,
    /// A lease may end before the one that was the next to end.
    leases: Notify,
    watches: Semaphore,
}

impl Services {
    /// An empty registry. `epoch` is drawn by chance. Its leases end while `stop` is not cancelled.
    #[must_use]
    pub fn start(epoch: u64, stop: CancellationToken) -> Arc<Self> {
        let registry = Registry::new(epoch, RegistryLimits::default());
        let services = Arc::new(Self {
            news: watch::Sender::new(registry.at()),
            registry: Mutex::new(registry),
            began: Instant::now(),
            leases: Notify::new(),
            watches: Semaphore::new(WATCHES_MAX),
        });
        let expiring = services.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = expiring.expire() => {}
                () = stop.cancelled() => {}
            }
        });
        services
    }

    /// All instances of a service, or of all services.
    #[must_use]
    pub fn list(&self, service: Option<&ServiceType>) -> ServicesReply {
        self.registry.lock().list(service)
    }

    /// Registers an instance, or begins its lease anew.
    pub(super) fn announce(&self, instance: Instance) -> Response {
        let (key, now_ms) = (instance.key.clone(), self.now_ms());
        let announced = {
            let mut registry = self.registry.lock();
            let (size, next) = (registry.len(), registry.next_expiry());
            let announced = registry.announce(now_ms, instance).map(|()| registry.len() > size);
            if registry.next_expiry() != next {
                self.leases.notify_one();
            }
            self.tell(&registry);
            announced
        };
        match announced {
            Ok(is_new) => {
                if is_new {
                    tracing::debug!(instance = %key, "a service instance is registered");
                }
                Response::Done { index: 0 }
            }
            Err(full) => ErrorReply::new(ErrorCode::LimitReached, full.to_string()).into(),
        }
    }

    /// Takes an instance out.
    pub(super) fn withdraw(&self, key: &InstanceKey) -> Response {
        let mut registry = self.registry.lock();
        let was_there = registry.withdraw(key);
        self.tell(&registry);
        drop(registry);
        if was_there {
            tracing::debug!(instance = %key, "a service instance has left");
        }
        Response::Done { index: 0 }
    }

    /// What is new; nothing, if it is not worth an answer and the watch can wait.
    pub(super) fn look(&self, watch: &Watch) -> Option<Response> {
        let reply = self.registry.lock().since(watch.service.as_ref(), watch.after);
        let is_nothing = matches!(&reply.news, ServiceNews::Changes(changes) if changes.is_empty());
        (!is_nothing || watch.wait_ms == 0).then_some(Response::Services(reply))
    }

    /// Waits for what is new, as long as the watch wants.
    pub(super) async fn wait(&self, mut watch: Watch) -> Response {
        let Ok(_place) = self.watches.try_acquire() else {
            let text = format!("{WATCHES_MAX} watches wait at this node already: try again later");
            return ErrorReply::new(ErrorCode::Overloaded, text).into();
        };
        let deadline = Instant::now() + Duration::from_millis(u64::from(watch.wait_ms));
        let mut news = self.news.subscribe();
        loop {
            // What comes between this look and the wait below is seen by that wait.
            news.mark_unchanged();
            if let Some(response) = self.look(&watch) {
                return response;
            }
            if !matches!(timeout_at(deadline, news.changed()).await, Ok(Ok(()))) {
                watch.wait_ms = 0;
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tell(&self, registry: &Registry) {
        let at = registry.at();
        self.news.send_if_modified(|known| std::mem::replace(known, at) != at);
    }

    async fn expire(&self) {
        loop {
            let next = {
                let mut registry = self.registry.lock();
                let ended = registry.expire(self.now_ms());
                if ended > 0 {
                    tracing::info!(ended, "leases of service instances have run out");
                    self.tell(&registry);
                }
                registry.next_expiry()
            };
            match next {
                Some(end_ms) => {
                    tokio::select! {
                        () = sleep_until(self.began + Duration::from_millis(end_ms)) => {}
                        () = self.leases.notified() => {}
                    }
                }
                None => self.leases.notified().await,
            }
        }
    }
}
