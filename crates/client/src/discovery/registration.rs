//! An instance that stays registered.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use swarmmq_protocol::service::{Health, Instance};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::DiscoveryError;
use super::lease::LeaseClock;
use super::registry::Discovery;

/// How long a farewell may take: who does not get through is gone with its lease anyway.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Says how an instance is.
pub type HealthCheck = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Health> + Send>> + Send + Sync>;

/// How an instance is kept registered.
#[derive(Clone)]
#[non_exhaustive]
pub struct RegistrationOptions {
    /// How often the instance's health is looked after, and its heartbeat with it. Default 30 s.
    pub health_interval: Duration,
    /// Says how the instance is; one that does not answer within the interval is unhealthy. Default none: it is as it
    /// is told to be by [`Registration::set_health`].
    pub health_check: Option<HealthCheck>,
}

impl Default for RegistrationOptions {
    fn default() -> Self {
        Self { health_interval: Duration::from_secs(30), health_check: None }
    }
}

impl RegistrationOptions {
    /// Sets how often health is looked after.
    #[must_use]
    pub fn health_interval(mut self, interval: Duration) -> Self {
        self.health_interval = interval;
        self
    }

    /// Sets who says how the instance is.
    #[must_use]
    pub fn health_check<F, C>(mut self, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Health> + Send + 'static,
    {
        self.health_check = Some(Arc::new(move || Box::pin(check())));
        self
    }
}

impl fmt::Debug for RegistrationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationOptions")
            .field("health_interval", &self.health_interval)
            .field("has_health_check", &self.health_check.is_some())
            .finish()
    }
}

/// How far a registration has come.
///
/// ```text
///               answered              an attempt fails
/// Registering ───────────▶ Registered ────────────────▶ Failing
///      └──────────────────────▲  ▲─────────────────────────┘ answered: registered again
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationState {
    /// The registry has not answered yet.
    Registering,
    /// It is registered.
    Registered,
    /// It was registered, and the last attempt to renew has failed. It is tried again and again.
    Failing {
        /// Whether the registry certainly still has the lease.
        is_held: bool,
        /// What became of the last attempt.
        reason: String,
    },
}

/// Keeps an instance registered, until it is deregistered or dropped.
///
/// The lease is renewed after a third of it, and more often while that fails; what a registry has forgotten is registered
/// again by that. When a registration is dropped without a word, the instance is gone when its lease is.
#[derive(Debug)]
pub struct Registration {
    wanted: Arc<watch::Sender<Instance>>,
    state: watch::Receiver<RegistrationState>,
    farewell: CancellationToken,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Registration {
    /// Begins to register `instance`, whose `ttl_ms` is its lease. Call it within a runtime.
    ///
    /// # Errors
    /// [`DiscoveryError::Instance`], [`DiscoveryError::Options`]. Whatever the registry says is told by
    /// [`state`](Self::state).
    pub fn start(
        discovery: Arc<dyn Discovery>,
        mut instance: Instance,
        options: RegistrationOptions,
    ) -> Result<Self, DiscoveryError> {
        instance.validate()?;
        if options.health_interval.is_zero() {
            let reason = "it must be at least a millisecond".into();
            return Err(DiscoveryError::Options { option: "health_interval", reason });
        }
        instance.heartbeat_ms = now_ms();
        let ttl = Duration::from_millis(u64::from(instance.ttl_ms));
        let wanted = Arc::new(watch::Sender::new(instance));
        let (state, states) = watch::channel(RegistrationState::Registering);
        let (stop, farewell) = (CancellationToken::new(), CancellationToken::new());
        let keeper = Keeper {
            discovery,
            wanted: wanted.clone(),
            state,
            clock: LeaseClock::new(Instant::now(), ttl),
            options: options.clone(),
            last_trouble: None,
        };
        let (stopped, asked) = (stop.clone(), farewell.clone());
        let task = tokio::spawn(async move {
            let checking = check(keeper.wanted.clone(), options);
            tokio::select! {
                () = keeper.keep(asked) => {}
                () = checking => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { wanted, state: states, farewell, task, _stop: stop.drop_guard() })
    }

    /// Says how the instance is, from now on. The registry is told at once.
    pub fn set_health(&self, health: Health) {
        set_health(&self.wanted, health);
    }

    /// The instance as it is announced.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.wanted.borrow().clone()
    }

    /// How far it has come, and how it goes on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<RegistrationState> {
        self.state.clone()
    }

    /// Waits until the instance is registered.
    pub async fn registered(&self) {
        let mut state = self.state.clone();
        if state.wait_for(|state| *state == RegistrationState::Registered).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes the instance out. A registry that cannot be reached within 2 s is left to its lease.
    pub async fn deregister(mut self) {
        self.farewell.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::debug!(%error, "the task of a registration did not end by itself");
        }
    }
}

struct Keeper {
    discovery: Arc<dyn Discovery>,
    wanted: Arc<watch::Sender<Instance>>,
    state: watch::Sender<RegistrationState>,
    clock: LeaseClock,
    options: RegistrationOptions,
    /// What failed when that was told last.
    last_trouble: Option<(bool, String)>,
}

impl Keeper {
    /// Keeps the lease, until it is asked to say goodbye, and has.
    async fn keep(mut self, farewell: CancellationToken) {
        let mut changes = self.wanted.subscribe();
        loop {
            tokio::select! {
                () = sleep_until(self.clock.due()) => {}
                changed = changes.changed() => {
                    if changed.is_ok() {
                        self.clock.handle_changed(Instant::now());
                    }
                }
                () = farewell.cancelled() => return self.say_goodbye().await,
            }
            if self.clock.due() <= Instant::now() {
                let instance = changes.borrow_and_update().clone();
                tokio::select! {
                    () = self.announce(&instance) => {}
                    () = farewell.cancelled() => return self.say_goodbye().await,
                }
            }
        }
    }

    async fn announce(&mut self, instance: &Instance) {
        let (sent, limit) = (Instant::now(), self.clock.attempt_limit());
        let answer = match timeout(limit, self.discovery.announce(instance)).await {
            Ok(answer) => answer,
            Err(_) => Err(DiscoveryError::Away(format!("it did not answer within {limit:?}"))),
        };
        match answer {
            Ok(()) => {
                self.clock.handle_announced(sent);
                self.last_trouble = None;
                self.is_registered(instance);
            }
            Err(error) => {
                let now = Instant::now();
                self.clock.handle_failed(now, &mut rand::rng());
                self.has_failed(instance, &error, self.clock.is_held(now));
            }
        }
    }

    fn is_registered(&self, instance: &Instance) {
        let before = self.state.send_replace(RegistrationState::Registered);
        let ttl_ms = instance.ttl_ms;
        let health_interval = self.options.health_interval;
        match before {
            RegistrationState::Registering => {
                tracing::info!(ttl_ms, ?health_interval, "Registered as: {}", instance.key);
            }
            RegistrationState::Failing { .. } => {
                tracing::info!(ttl_ms, "Registered again as: {}", instance.key);
            }
            RegistrationState::Registered => {
                tracing::debug!(
                    heartbeat_ms = instance.heartbeat_ms,
                    "renewed the lease of {}",
                    instance.key
                );
            }
        }
    }

    fn has_failed(&mut self, instance: &Instance, error: &DiscoveryError, is_held: bool) {
        let reason = error.to_string();
        // The same again is no news.
        if self.last_trouble.replace((is_held, reason.clone())).as_ref() == Some(&(is_held, reason.clone())) {
            return;
        }
        tracing::warn!(instance = %instance.key, is_held, "cannot register now, and will try again: {reason}");
        self.state.send_if_modified(|state| match state {
            RegistrationState::Registering => false,
            other => {
                *other = RegistrationState::Failing { is_held, reason };
                true
            }
        });
    }

    async fn say_goodbye(&self) {
        let key = self.wanted.borrow().key.clone();
        match timeout(FAREWELL_MAX, self.discovery.withdraw(&key)).await {
            Ok(Ok(())) => tracing::info!("Deregistered: {key}"),
            Ok(Err(error)) => tracing::warn!(instance = %key, "left to its lease: {error}"),
            Err(_) => tracing::warn!(instance = %key, "left to its lease: no answer within {FAREWELL_MAX:?}"),
        }
    }
}

/// Looks after the health of the instance for ever, at once and then in intervals.
async fn check(wanted: Arc<watch::Sender<Instance>>, options: RegistrationOptions) {
    let interval = options.health_interval;
    let mut is_first = true;
    loop {
        let began = Instant::now();
        let known = wanted.borrow().health;
        let health = match &options.health_check {
            // A check that panics must not end the renewals.
            Some(check) => {
                match timeout(interval, AssertUnwindSafe(async { check().await }).catch_unwind()).await {
                    Ok(Ok(health)) => health,
                    Ok(Err(_)) => {
                        tracing::warn!("the health check panicked");
                        Health::Unhealthy
                    }
                    Err(_) => {
                        tracing::warn!("the health check did not answer within {interval:?}");
                        Health::Unhealthy
                    }
                }
            }
            None => known,
        };
        // It is just being announced, with a heartbeat of now: the first look tells only what is different.
        if !is_first || health != known {
            set_health(&wanted, health);
        }
        is_first = false;
        sleep_until(began + interval).await;
    }
}

fn set_health(wanted: &watch::Sender<Instance>, health: Health) {
    wanted.send_modify(|instance| {
        instance.health = health;
        instance.heartbeat_ms = now_ms();
    });
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
