//! The client: one connection, and what is made from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::native::Welcome;
use swarmmq_protocol::{DestinationName, GroupName};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::connection::{LinkCounters, Router, Status, Transport};
use crate::consumer::{ConsumerBuilder, Delivered};
use crate::error::Error;
use crate::options::ClientOptions;
use crate::producer::ProducerBuilder;
use crate::settle::Settler;

/// A connection to a cluster. Cheap to clone; all clones are the same connection.
///
/// The connection comes back by itself, for as long as the client is not closed. When the last clone
/// and all producers, consumers and delivered messages made from it are dropped, it is closed; what
/// was sent and not answered by then may or may not have taken effect.
///
/// Where a node names the leader of a destination's shard, the client connects to that node as well
/// and speaks with it about that destination.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) options: Arc<ClientOptions>,
    pub(crate) router: Router,
    pub(crate) closing: CancellationToken,
    /// One permit for each request under way.
    pub(crate) requests: Semaphore,
    pub(crate) counters: Counters,
    links: Arc<LinkCounters>,
    settlers: Mutex<HashMap<(DestinationName, GroupName), Weak<Settler>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) failed_settlements: AtomicU64,
    pub(crate) discarded_deliveries: AtomicU64,
}

/// What a client has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections made, the first included.
    pub connections: u64,
    /// Attempts to connect that failed.
    pub failed_attempts: u64,
    /// Settlements that nobody waited for and that did not take effect.
    pub failed_settlements: u64,
    /// Messages that a node sent beyond its credit and that were left to their leases.
    pub discarded_deliveries: u64,
}

impl Client {
    /// The options to connect with.
    #[must_use]
    pub fn builder() -> ClientOptions {
        ClientOptions::default()
    }

    /// Connects to the node at `address` (`host:port`) with default options.
    ///
    /// # Errors
    /// As [`ClientOptions::connect`].
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        Self::connect_with(ClientOptions::default().address(address)).await
    }

    /// Connects with `options`.
    ///
    /// # Errors
    /// As [`ClientOptions::connect`].
    pub async fn connect_with(options: ClientOptions) -> Result<Self, Error> {
        options.validate()?;
        let options = Arc::new(options);
        let transport = Transport::new(options.clone())?;
        let closing = CancellationToken::new();
        let links = Arc::new(LinkCounters::default());
        let router = Router::start(options.clone(), transport, closing.clone(), links.clone());
        let client = Self {
            shared: Arc::new(Shared {
                requests: Semaphore::new(options.requests_max.min(Semaphore::MAX_PERMITS)),
                options,
                router,
                closing,
                counters: Counters::default(),
                links,
                settlers: Mutex::default(),
            }),
        };
        client.welcomed().await?;
        Ok(client)
    }

    /// Waits until a node has welcomed the client, or all addresses have been tried.
    async fn welcomed(&self) -> Result<(), Error> {
        let mut status = self.shared.router.home().status();
        loop {
            let current = status.borrow_and_update().clone();
            match current {
                Status::Up { .. } => return Ok(()),
                Status::Closed => return Err(Error::Closed),
                Status::Down(Some(error)) => {
                    let tried = self.shared.links.failed_attempts.load(Ordering::Relaxed);
                    let all_tried = tried >= self.shared.options.addresses.len() as u64;
                    if all_tried || !matches!(error, Error::Connect { .. }) {
                        return Err(error);
                    }
                }
                Status::Down(None) => {}
            }
            if status.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    /// What the node said of itself when it welcomed the client, or `None` while there is no
    /// connection.
    #[must_use]
    pub fn welcome(&self) -> Option<Welcome> {
        self.shared.router.home().welcome().map(|welcome| (*welcome).clone())
    }

    /// What the client has counted.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            connections: read(&self.shared.links.connections),
            failed_attempts: read(&self.shared.links.failed_attempts),
            failed_settlements: read(&self.shared.counters.failed_settlements),
            discarded_deliveries: read(&self.shared.counters.discarded_deliveries),
        }
    }

    /// A producer for `destination`.
    pub fn producer(&self, destination: &DestinationName) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), destination.clone())
    }

    /// A consumer of `destination`.
    pub fn consumer(&self, destination: &DestinationName) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), destination.clone())
    }

    /// Leases up to `messages_max` messages (1 to 4,096) once, and waits for the first for at most
    /// `wait`. The lease is the group's; [`ConsumerBuilder::pull`] can be told another.
    ///
    /// # Errors
    /// As [`ConsumerBuilder::pull`].
    pub async fn pull(
        &self,
        destination: &DestinationName,
        group: &GroupName,
        messages_max: u32,
        wait: Duration,
    ) -> Result<Vec<Delivered>, Error> {
        self.consumer(destination).group(group).pull(messages_max, wait).await
    }

    /// Closes the connections. What waits for an answer is told that the client is closed; what was
    /// not sent is not sent any more. Close or flush producers before.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        let mut status = self.shared.router.home().status();
        let _ = status.wait_for(|status| matches!(status, Status::Closed)).await;
    }

    /// The settler of a group, shared by all its consumers and pulls.
    pub(crate) fn settler(&self, destination: &DestinationName, group: &GroupName) -> Arc<Settler> {
        let mut settlers = self.shared.settlers.lock();
        let key = (destination.clone(), group.clone());
        if let Some(settler) = settlers.get(&key).and_then(Weak::upgrade) {
            return settler;
        }
        settlers.retain(|_, settler| settler.strong_count() > 0);
        let settler = Settler::start(self, destination.clone(), group.clone());
        settlers.insert(key, Arc::downgrade(&settler));
        settler
    }

    /// How long a request may take when nothing else is said.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}
