//! A link to a node: connected, and connected again, until it is closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::limits::{BATCH_MAX, MESSAGE_BYTES_MAX};
use swarmmq_protocol::native::Welcome;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::connection::calls::Calls;
use crate::connection::endpoint::Endpoint;
use crate::connection::session::Session;
use crate::connection::transport::{Transport, Welcomed};
use crate::error::Error;
use crate::options::ClientOptions;

/// The credit of a consumer until a node has said what it is, which is before anything is asked of it.
const CREDIT_UNTIL_WELCOME: u32 = 100;

/// Whom a link connects to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Any of the client's addresses, in turn, for ever.
    Home,
    /// The node that leads some shard. Where it cannot be reached the link is closed: the home link
    /// will tell who leads now.
    Leader(String),
}

/// Where a link stands.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    /// There is no stream; the last one, or the last attempt, ended like this.
    Down(Option<Error>),
    /// There is a stream.
    Up {
        /// The node's address.
        address: String,
        /// What it said of itself.
        welcome: Arc<Welcome>,
    },
    /// There will be none any more.
    Closed,
}

/// What all links of a client count.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    pub(crate) connections: AtomicU64,
    pub(crate) failed_attempts: AtomicU64,
}

/// A link, shared by its endpoints and its task.
pub(crate) struct Link {
    target: Target,
    options: Arc<ClientOptions>,
    /// Endpoints with something to send. Each is in here at most once; it keeps count itself.
    ready: Mutex<VecDeque<Arc<dyn Endpoint>>>,
    calls: Arc<Calls>,
    wake: Notify,
    status: watch::Sender<Status>,
    closing: CancellationToken,
    counters: Arc<LinkCounters>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Link {
    /// Starts a link and its task.
    pub(super) fn start(
        target: Target,
        options: Arc<ClientOptions>,
        transport: Arc<Transport>,
        closing: CancellationToken,
        counters: Arc<LinkCounters>,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            target,
            options,
            ready: Mutex::new(VecDeque::new()),
            calls: Arc::default(),
            wake: Notify::new(),
            status: watch::Sender::new(Status::Down(None)),
            closing,
            counters,
        });
        tokio::spawn(run(link.clone(), transport));
        link
    }

    /// Says that `endpoint` has something to send. It must not say so again before it was asked.
    pub(crate) fn mark_ready(&self, endpoint: Arc<dyn Endpoint>) {
        {
            let mut ready = self.ready.lock();
            // Looked at under the lock that `finish` empties the queue under: nobody is left behind.
            if !self.is_closed() {
                ready.push_back(endpoint);
                drop(ready);
                self.wake.notify_one();
                return;
            }
        }
        endpoint.handle_closed();
    }

    pub(super) fn take_ready(&self) -> VecDeque<Arc<dyn Endpoint>> {
        std::mem::take(&mut *self.ready.lock())
    }

    /// Puts endpoints back that had no room, ahead of those that came since.
    pub(super) fn put_back(&self, endpoints: Vec<Arc<dyn Endpoint>>) {
        if !endpoints.is_empty() {
            let mut ready = self.ready.lock();
            for endpoint in endpoints.into_iter().rev() {
                ready.push_front(endpoint);
            }
        }
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The single requests of this link.
    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.status.borrow(), Status::Closed)
    }

    /// What the node said of itself, while there is a stream.
    pub(crate) fn welcome(&self) -> Option<Arc<Welcome>> {
        match &*self.status.borrow() {
            Status::Up { welcome, .. } => Some(welcome.clone()),
            _ => None,
        }
    }

    /// Why there is no stream, as far as is known.
    pub(crate) fn trouble(&self) -> Option<Error> {
        match &*self.status.borrow() {
            Status::Down(trouble) => trouble.clone(),
            _ => None,
        }
    }

    /// Largest encoded message that may be sent, as far as is known.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.welcome().map_or(MESSAGE_BYTES_MAX, |welcome| welcome.message_bytes_max as usize)
    }

    /// The credit of consumers that were given none, messages: what the node says, 1 to 4,096.
    pub(crate) fn credit_default(&self) -> u32 {
        let said = self.welcome().map_or(CREDIT_UNTIL_WELCOME, |welcome| welcome.credit_default);
        said.clamp(1, BATCH_MAX as u32)
    }

    /// Whether the link's node has this address.
    pub(super) fn leads_to(&self, address: &str) -> bool {
        match (&self.target, &*self.status.borrow()) {
            (Target::Leader(leader), _) => leader == address,
            (Target::Home, Status::Up { address: current, .. }) => current == address,
            _ => false,
        }
    }

    fn finish(&self) {
        let ready = {
            let mut ready = self.ready.lock();
            self.status.send_replace(Status::Closed);
            std::mem::take(&mut *ready)
        };
        for endpoint in ready {
            endpoint.handle_closed();
        }
    }
}

/// Connects until the link is closed.
async fn run(link: Arc<Link>, transport: Arc<Transport>) {
    let options = link.options.clone();
    let mut backoff = Backoff::new(options.reconnect_delay_min, options.reconnect_delay_max);
    let mut addresses = Addresses::new(&link.target, &options);
    let closing = link.closing.clone();
    while !closing.is_cancelled() {
        let (address, is_last) = addresses.next_address();
        let opened = tokio::select! {
            () = closing.cancelled() => break,
            opened = transport.open(&address) => opened,
        };
        let pause = match opened {
            Ok(welcomed) => {
                // A node that welcomes and hangs up at once must not be asked again at once.
                if serve(&link, &address, welcomed).await >= options.reconnect_delay_max {
                    backoff.reset();
                }
                true
            }
            Err(error) => {
                tracing::debug!(%address, %error, "no connection");
                link.counters.failed_attempts.fetch_add(1, Ordering::Relaxed);
                if matches!(link.target, Target::Leader(_)) {
                    break;
                }
                link.status.send_replace(Status::Down(Some(error)));
                is_last
            }
        };
        if pause {
            tokio::select! {
                () = closing.cancelled() => break,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }
    link.finish();
}

/// Serves one stream and says how long it lasted.
async fn serve(link: &Arc<Link>, address: &str, welcomed: Welcomed) -> Duration {
    let begun = Instant::now();
    link.counters.connections.fetch_add(1, Ordering::Relaxed);
    let welcome = Arc::new(welcomed.welcome.clone());
    tracing::debug!(address, node = welcome.node, "connected");
    let mut session = Session::new(welcomed, link.options.keep_alive);
    link.status.send_replace(Status::Up { address: address.to_owned(), welcome });
    let why = tokio::select! {
        why = session.run(link) => why,
        () = link.closing.cancelled() => {
            session.say_goodbye(ErrorReply::new(ErrorCode::ShuttingDown, "the client closes")).await;
            Error::Closed
        }
    };
    tracing::debug!(address, %why, "disconnected");
    link.status.send_replace(Status::Down(Some(why.clone())));
    session.end(&why);
    begun.elapsed()
}

/// The addresses of a link, one after the other.
struct Addresses {
    addresses: Vec<String>,
    next: usize,
}

impl Addresses {
    fn new(target: &Target, options: &ClientOptions) -> Self {
        let addresses = match target {
            Target::Home => options.addresses.clone(),
            Target::Leader(address) => vec![address.clone()],
        };
        Self { addresses, next: 0 }
    }

    /// The next address, and whether all have had their turn with it.
    fn next_address(&mut self) -> (String, bool) {
        let address = self.addresses.get(self.next).cloned().unwrap_or_default();
        self.next = (self.next + 1) % self.addresses.len().max(1);
        (address, self.next == 0)
    }
}
