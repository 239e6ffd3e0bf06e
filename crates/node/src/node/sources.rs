//! Where HTTP's answers come from, and where the shards' work is counted.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_cluster::{Cluster, Observer};
use swarmmq_journal::Journal;
use swarmmq_protocol::service::ServicesReply;

use crate::http::{
    EndpointSource, Health, HealthSource, KeyCheck, KeyVerdict, Operation, SampleSource, ServiceSource,
};
use crate::security::Gate;
use crate::services::Services;
use crate::telemetry::metrics::{Metrics, NodeSample};
use crate::zeromq::{Listening, Registry};

/// How the node is, known before there is anything to ask.
#[derive(Default)]
pub(super) struct Status {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: Option<(Cluster, Journal)>,
    endpoints: Weak<Registry>,
    services: Weak<Services>,
    shards: u32,
    is_ready: bool,
    is_stopping: bool,
    failure: Option<String>,
}

impl Status {
    pub(super) fn new(shards: u32) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { shards, ..State::default() }) })
    }

    /// The shards and the journal are there.
    pub(super) fn has(&self, cluster: Cluster, journal: Journal) {
        self.state.lock().parts = Some((cluster, journal));
    }

    /// The ZeroMQ endpoints listen.
    pub(super) fn has_endpoints(&self, endpoints: &Arc<Registry>) {
        self.state.lock().endpoints = Arc::downgrade(endpoints);
    }

    /// The registry of services is there.
    pub(super) fn has_services(&self, services: &Arc<Services>) {
        self.state.lock().services = Arc::downgrade(services);
    }

    pub(super) fn ready(&self) {
        self.state.lock().is_ready = true;
    }

    pub(super) fn stopping(&self) {
        self.state.lock().is_stopping = true;
    }

    /// Lets go of the shards and the journal, which end with their last handle.
    pub(super) fn gone(&self) {
        self.state.lock().parts = None;
    }

    pub(super) fn failed(&self, why: String) {
        self.state.lock().failure = Some(why);
    }

    fn parts(&self) -> Option<(Cluster, Journal)> {
        self.state.lock().parts.clone()
    }
}

impl EndpointSource for Status {
    fn endpoints(&self) -> Vec<Arc<Listening>> {
        let registry = self.state.lock().endpoints.upgrade();
        registry.map(|registry| registry.list()).unwrap_or_default()
    }
}

impl ServiceSource for Status {
    fn services(&self) -> Option<ServicesReply> {
        let services = self.state.lock().services.upgrade();
        services.map(|services| services.list(None))
    }
}

impl HealthSource for Status {
    fn health(&self) -> Health {
        let mut health = Health::default();
        let parts = {
            let state = self.state.lock();
            health.is_starting = !state.is_ready && !state.is_stopping;
            health.is_stopping = state.is_stopping;
            health.journal_failure.clone_from(&state.failure);
            health.shards = state.shards;
            state.parts.clone()
        };
        if let Some((cluster, journal)) = parts {
            health.is_disk_full = journal.space().full;
            health.shards_without_leader =
                cluster.health().unavailable.into_iter().map(|(shard, _)| shard).collect();
        }
        health
    }
}

/// Most destinations that the metrics look at.
const DESTINATIONS_MAX: u32 = 100_000;

impl SampleSource for Status {
    fn sample(&self) -> Pin<Box<dyn Future<Output = NodeSample> + Send + '_>> {
        Box::pin(async {
            let Some((cluster, journal)) = self.parts() else { return NodeSample::default() };
            let sampled = tokio::task::spawn_blocking(move || {
                NodeSample::new(cluster.destinations(DESTINATIONS_MAX), Some(journal.stats()))
            });
            sampled.await.unwrap_or_default()
        })
    }
}

/// The API keys, as HTTP asks for them.
pub(super) struct HttpKeys(pub(super) Arc<Gate>);

impl KeyCheck for HttpKeys {
    fn lets_in(&self) -> Option<(bool, bool)> {
        Some(self.0.lets_in())
    }

    fn check(&self, peer: SocketAddr, key: &[u8], operation: Operation) -> KeyVerdict {
        match self.0.api_key(key, peer.ip().to_canonical().is_loopback()) {
            Err(_) => KeyVerdict::Unknown,
            Ok(principal) if operation == Operation::Manage && !principal.may_manage_node() => {
                KeyVerdict::Forbidden
            }
            Ok(_) => KeyVerdict::Allowed,
        }
    }
}

/// Counts what the shards do.
pub(super) struct ShardMetrics(pub(super) Arc<Metrics>);

impl Observer for ShardMetrics {
    fn put(&self, messages: u64, took: Duration) {
        self.0.puts.stored(messages, 0, 0, took);
    }

    fn delivered(&self, messages: u64, bytes: u64, redelivered: u64) {
        self.0.deliveries.delivered(messages, bytes, redelivered);
    }

    fn settled(&self, _receipts: u64) {}

    fn proposed(&self, _commands: u64, _bytes: u64) {}
}
