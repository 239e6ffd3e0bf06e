//! What all native sessions of a node share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::watch;

use crate::native::admission::Admission;
use crate::native::counters::{self, NativeCounters};
use crate::native::options::NativeOptions;
use crate::security::{Gate, Tls};
use crate::shards::Shards;
use crate::telemetry::metrics::Metrics;

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The node's id.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
}

/// How far a node has come in stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// It serves.
    Serving,
    /// It takes nothing new on, and finishes what is under way.
    Draining,
    /// It waits for nothing any more.
    Closing,
}

/// What all native sessions of a node share.
pub struct Shared {
    pub(crate) options: NativeOptions,
    pub(crate) greeting: Greeting,
    pub(crate) shards: Arc<dyn Shards>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<NativeCounters>,
    request_bytes: AtomicUsize,
    phase: watch::Sender<Phase>,
}

impl Shared {
    /// Sessions that speak for `greeting`, let in by `gate`, hand requests to `shards`, and count into `metrics`.
    #[must_use]
    pub fn new(
        options: NativeOptions,
        greeting: Greeting,
        shards: Arc<dyn Shards>,
        gate: Arc<Gate>,
        tls: Option<Arc<Tls>>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let counters = Arc::new(NativeCounters::new(metrics));
        Arc::new(Self {
            admission: Admission::new(&options, counters.clone()),
            options,
            greeting,
            shards,
            gate,
            tls,
            counters,
            request_bytes: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Serving),
        })
    }

    /// What the sessions count.
    #[must_use]
    pub fn counters(&self) -> &NativeCounters {
        &self.counters
    }

    /// How many connections there are, those that have not authenticated included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.admission.connections()
    }

    /// Bytes of requests that are under way.
    #[must_use]
    pub fn request_bytes(&self) -> usize {
        self.request_bytes.load(Ordering::Relaxed)
    }

    /// Goes on to a later phase; an earlier one changes nothing.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// Waits until there is no connection.
    pub async fn emptied(&self) {
        self.admission.emptied().await;
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Where connections of this listener are told apart in logs and metrics.
    pub(crate) fn listener(&self) -> &'static str {
        "native"
    }

    /// Takes memory for requests, or says that there is none.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), ErrorReply> {
        let before = self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        let limit = self.options.request_memory_bytes_max;
        // A request that is alone is taken whatever its size, or a small limit would refuse it for ever.
        if before > 0 && before.saturating_add(bytes) > limit {
            self.release(bytes);
            return Err(ErrorReply::new(
                ErrorCode::Overloaded,
                format!(
                    "requests under way take {before} of {limit} bytes: wait for answers, and try again later"
                ),
            ));
        }
        Ok(())
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.request_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes note of a connection that was not let in, in the log where it tells an operator something.
    pub(crate) fn refused(&self, peer: SocketAddr, reason: &'static str, text: &str) {
        let Some(silent) = self.counters.refused(reason) else { return };
        let code = counters::code(reason);
        match reason {
            // The gate has logged it, or there is nothing an operator could do.
            "unauthenticated" | "tls_handshake" | "left" | "io" | "stopping" => {
                tracing::debug!(%peer, reason, "connection refused: {text}");
            }
            _ => tracing::warn!(%code, %peer, reason, silent, "connection refused: {text}"),
        }
    }
}

/// What a client is told that comes while the node stops.
pub(crate) fn stopping() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the node is stopping: use another, or try again when it is back",
    )
}
