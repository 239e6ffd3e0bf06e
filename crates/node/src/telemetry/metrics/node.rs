//! The handles of a node, and the page that shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use swarmmq_protocol::info::DestinationInfo;

use super::definitions::{Definition, Kind, names};
use super::destinations::Labelled;
use super::exposition::Exposition;
use super::journal::JournalMetrics;
use super::listener::ListenerMetrics;
use super::process::Process;
use super::requests::{DeliveryMetrics, PutMetrics, RequestMetrics, SettlementMetrics};

/// Where handles come from.
pub(super) struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Registry {
    fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        for Definition { name, kind, help, .. } in names::ALL {
            let name = KeyName::from_const_str(name);
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, (*help).into()),
                Kind::Gauge => recorder.describe_gauge(name, None, (*help).into()),
                Kind::Histogram => {}
            }
        }
        Self { recorder, handle }
    }

    pub(super) fn counter(&self, definition: &Definition, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(definition, labels), &METADATA)
    }

    pub(super) fn gauge(&self, definition: &Definition, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(definition, labels), &METADATA)
    }
}

const METADATA: Metadata<'static> = Metadata::new("swarmmq_node", Level::INFO, None);

fn key(definition: &Definition, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, text)| Label::new(*name, (*text).to_owned())).collect();
    Key::from_parts(definition.name, labels)
}

/// What is looked up when somebody reads the metrics, instead of being counted all the time.
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct NodeSample {
    /// The destinations there are.
    pub destinations: Vec<DestinationInfo>,
    /// What the journal says of itself.
    pub journal: Option<swarmmq_journal::Stats>,
}

impl NodeSample {
    /// A sample with destinations, and the journal's figures if they are known.
    #[must_use]
    pub fn new(destinations: Vec<DestinationInfo>, journal: Option<swarmmq_journal::Stats>) -> Self {
        Self { destinations, journal }
    }
}

/// Everything a node counts. Made once, shared by all.
pub struct Metrics {
    registry: Registry,
    listeners: Mutex<BTreeMap<String, Arc<ListenerMetrics>>>,
    labelled: Labelled,
    process: Process,
    /// Requests read and refused.
    pub requests: RequestMetrics,
    /// Messages stored.
    pub puts: PutMetrics,
    /// Messages delivered.
    pub deliveries: DeliveryMetrics,
    /// Receipts settled.
    pub settlements: SettlementMetrics,
    /// The journal's syncs: hand it to the journal as its observer.
    pub journal: Arc<JournalMetrics>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics at 0, of which at most `max_destinations` destinations get series of their own.
    #[must_use]
    pub fn new(max_destinations: u32) -> Arc<Self> {
        let registry = Registry::new();
        let journal = JournalMetrics::new(
            registry.counter(&names::JOURNAL_WRITTEN_BYTES, &[]),
            registry.counter(&names::JOURNAL_MOVED_BYTES, &[]),
        );
        Arc::new(Self {
            requests: RequestMetrics::new(&registry),
            puts: PutMetrics::new(&registry),
            deliveries: DeliveryMetrics::new(&registry),
            settlements: SettlementMetrics::new(&registry),
            journal: Arc::new(journal),
            listeners: Mutex::default(),
            labelled: Labelled::new(max_destinations as usize),
            process: Process::new(),
            registry,
        })
    }

    /// The handles of a listener: `native`, `http`, or the name of a ZeroMQ endpoint.
    ///
    /// Call it once when the listener starts; what peers send must never become a name here.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(ListenerMetrics::new(&self.registry, name));
        Arc::clone(listeners.entry(name.to_owned()).or_insert_with(make))
    }

    /// What a ZeroMQ endpoint counts for one of its reasons to drop. Call it once when the endpoint starts.
    pub(crate) fn zeromq_drops(&self, endpoint: &str, reason: &str) -> Counter {
        self.registry.counter(&names::ZEROMQ_DROPS, &[("endpoint", endpoint), ("reason", reason)])
    }

    /// How long ago the metrics were made.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.process.uptime()
    }

    /// The page, without what the node's health adds; without a sample, also without what it would have said.
    #[must_use]
    pub fn render(&self, sample: Option<&NodeSample>) -> Exposition {
        let mut page = Exposition::after(self.registry.handle.render());
        page.histogram(&names::PUT_DURATION, &self.puts.duration);
        page.histogram(&names::SETTLE_DURATION, &self.settlements.duration);
        page.histogram(&names::JOURNAL_SYNC_DURATION, &self.journal.sync_duration);
        page.histogram(&names::JOURNAL_SYNC_RECORDS, &self.journal.sync_records);
        if let Some(sample) = sample {
            if let Some(stats) = &sample.journal {
                journal_stats(&mut page, stats);
            }
            self.labelled.render(&mut page, &sample.destinations);
        }
        page.series(&names::BUILD_INFO, [(env!("CARGO_PKG_VERSION"), 1.0)].into_iter());
        self.process.render(&mut page);
        page
    }
}

fn journal_stats(page: &mut Exposition, stats: &swarmmq_journal::Stats) {
    page.value(&names::JOURNAL_SIZE_BYTES, stats.bytes as f64);
    page.value(&names::JOURNAL_LIVE_BYTES, stats.live_bytes as f64);
    page.value(&names::JOURNAL_SEGMENTS, stats.segments as f64);
    page.value(&names::JOURNAL_QUEUE_BYTES, stats.queue_bytes as f64);
    page.value(&names::JOURNAL_HOT_READS, stats.hot_hits as f64);
    page.value(&names::JOURNAL_COLD_READS, stats.hot_misses as f64);
}
