//! Who is registered, as it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::service::{Health, Instance, InstanceKey};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::DiscoveryError;
use super::registry::{Discovery, Watching};
use super::roster::Roster;
use crate::backoff::Backoff;

/// First and longest pause before a registry that is away is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whether a view is what the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewState {
    /// The registry has not been reached yet.
    Connecting,
    /// It is what the registry knows, but for what is on the way.
    Current,
    /// The registry is away. The view is what it knew last.
    Stale {
        /// Since when.
        since: Instant,
        /// What became of the last attempt.
        reason: String,
    },
}

/// A view at one time.
#[derive(Debug, Clone)]
pub struct Snapshot {
    state: ViewState,
    instances: Arc<BTreeMap<InstanceKey, Instance>>,
    version: u64,
}

impl Snapshot {
    /// Whether it is what the registry knows.
    #[must_use]
    pub fn state(&self) -> &ViewState {
        &self.state
    }

    /// Who is registered, in the order of their keys.
    #[must_use]
    pub fn instances(&self) -> &BTreeMap<InstanceKey, Instance> {
        &self.instances
    }

    /// Those that say they are healthy.
    pub fn healthy(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|instance| instance.health == Health::Healthy)
    }

    /// Rises with every change of the instances.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// Who is registered as a service, as it changes. The last handle that is dropped ends it.
///
/// While the registry is away the view goes on with what it knew last, says so by its state and in the log, and asks again
/// with growing, random pauses. It catches up behind the last change it has seen.
#[derive(Debug, Clone)]
pub struct View {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    _stop: Arc<DropGuard>,
}

impl View {
    /// Begins to watch a service. Call it within a runtime.
    #[must_use]
    pub fn start(discovery: Arc<dyn Discovery>, service: ServiceType) -> Self {
        let first = Snapshot { state: ViewState::Connecting, instances: Arc::default(), version: 0 };
        let (sender, snapshots) = watch::channel(Arc::new(first));
        let stop = CancellationToken::new();
        let task = Task {
            discovery,
            service,
            snapshots: sender,
            roster: Roster::default(),
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            last_trouble: None,
        };
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task.run() => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { snapshots, _stop: Arc::new(stop.drop_guard()) }
    }

    /// How it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// How it is, and how it becomes. Changes that follow each other fast may be seen as one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Waits until `is_so` holds of the view, and gives it as it is then.
    pub async fn until(&self, mut is_so: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.clone();
        match snapshots.wait_for(|snapshot| is_so(snapshot)).await {
            Ok(snapshot) => snapshot.clone(),
            // The runtime ends: nothing will change any more.
            Err(_) => std::future::pending().await,
        }
    }
}

struct Task {
    discovery: Arc<dyn Discovery>,
    service: ServiceType,
    snapshots: watch::Sender<Arc<Snapshot>>,
    roster: Roster,
    backoff: Backoff,
    /// Why the registry was away when that was told last.
    last_trouble: Option<String>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let error = match self.discovery.clone().watch(Some(&self.service), self.roster.at()).await {
                Ok(watching) => self.follow(watching).await,
                Err(error) => error,
            };
            self.is_stale(&error);
            let until = Instant::now() + self.backoff.next_delay();
            self.pass(sleep_until(until)).await;
        }
    }

    /// Takes in what is told, until the registry is away.
    async fn follow(&mut self, mut watching: Box<dyn Watching>) -> DiscoveryError {
        loop {
            match self.pass(watching.next()).await {
                Ok(reply) => {
                    self.backoff.reset();
                    self.last_trouble = None;
                    let is_changed = !self.roster.handle(Instant::now(), reply).is_empty();
                    self.tell(Some(ViewState::Current), is_changed);
                }
                Err(error) => return error,
            }
        }
    }

    /// Waits for `what`, and meanwhile gives up who is missing for too long.
    async fn pass<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            let next = self.roster.next_expiry();
            let expiry = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut what => return done,
                () = expiry => {
                    let is_changed = !self.roster.expire(Instant::now()).is_empty();
                    self.tell(None, is_changed);
                }
            }
        }
    }

    fn is_stale(&mut self, error: &DiscoveryError) {
        let reason = error.to_string();
        // The same again is no news.
        if self.last_trouble.as_ref() == Some(&reason) {
            return;
        }
        self.last_trouble = Some(reason.clone());
        let state = match self.snapshots.borrow().state() {
            ViewState::Connecting => ViewState::Connecting,
            ViewState::Stale { since, .. } => ViewState::Stale { since: *since, reason: reason.clone() },
            ViewState::Current => ViewState::Stale { since: Instant::now(), reason: reason.clone() },
        };
        let known = self.roster.instances().len();
        match state {
            ViewState::Connecting => {
                tracing::warn!(service = %self.service, "the registry cannot be watched yet: {reason}");
            }
            _ => tracing::warn!(
                service = %self.service, known, "going on with the last known view, as the registry is away: {reason}"
            ),
        }
        self.tell(Some(state), false);
    }

    /// Shows the view as it is now, if anything about it is different.
    fn tell(&self, state: Option<ViewState>, is_changed: bool) {
        self.snapshots.send_if_modified(|snapshot| {
            let state = state.unwrap_or_else(|| snapshot.state.clone());
            if matches!(snapshot.state, ViewState::Stale { .. }) && state == ViewState::Current {
                tracing::info!(service = %self.service, "the registry is back, and the view is current again");
            }
            if !is_changed && snapshot.state == state {
                return false;
            }
            let (instances, version) = if is_changed {
                (Arc::new(self.roster.instances().clone()), snapshot.version + 1)
            } else {
                (snapshot.instances.clone(), snapshot.version)
            };
            *snapshot = Arc::new(Snapshot { state, instances, version });
            true
        });
    }
}
