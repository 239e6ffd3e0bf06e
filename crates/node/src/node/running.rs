//! A node that serves, and how it stops.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_cluster::Cluster;
use tokio::time::{Instant, interval_at, timeout_at};

use crate::native::{Phase, Shared};
use crate::node::base::{Base, LAST_WORDS};
use crate::node::front::Serving;
use crate::node::journal::Open;
use crate::node::start::ConfigSource;
use crate::security::TlsError;
use crate::telemetry::OperatorCode;
use crate::telemetry::metrics::Metrics;
use crate::zeromq::Listening;

/// What a node is made of.
pub(super) struct Parts {
    pub(super) base: Base,
    pub(super) open: Open,
    pub(super) cluster: Cluster,
    pub(super) serving: Serving,
    pub(super) config_source: Option<ConfigSource>,
    pub(super) reloading: tokio::sync::Mutex<()>,
}

/// A node that serves. Call [`shutdown`](Self::shutdown) before dropping it: what is under way is not
/// answered otherwise.
pub struct Running {
    parts: Parts,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("listening", &self.listening()).finish_non_exhaustive()
    }
}

/// How a node stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Stopped {
    /// How long it took.
    pub took: Duration,
    /// Connections that had to be closed before all they had under way was answered.
    pub cut_off: usize,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Where the native protocol is spoken, with the port the system chose.
    #[must_use]
    pub fn native_addr(&self) -> Option<SocketAddr> {
        self.parts.serving.native_address
    }

    /// Where HTTP is spoken.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.parts.base.http.as_ref().map(|http| http.address)
    }

    /// The ZeroMQ endpoints: where each is, and what it refused.
    #[must_use]
    pub fn zeromq(&self) -> Vec<Arc<Listening>> {
        self.parts.serving.zeromq.list()
    }

    /// A handle on the shards, for programs that embed a node.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.parts.cluster
    }

    /// What the node counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.serving.metrics
    }

    /// The native sessions.
    #[must_use]
    pub fn native(&self) -> &Arc<Shared> {
        &self.parts.serving.shared
    }

    /// What listens where: a name and an address each, with the ports the system chose.
    #[must_use]
    pub fn listening(&self) -> Vec<(String, String)> {
        let mut listening = Vec::new();
        if let Some(address) = self.parts.serving.native_address {
            let scheme = if self.parts.serving.tls.is_some() { "swarmmq+tls" } else { "swarmmq" };
            listening.push(("native".to_owned(), format!("{scheme}://{address}")));
        }
        for one in self.parts.serving.zeromq.list() {
            listening.extend(one.addr.iter().map(|addr| (format!("zeromq {}", one.name), addr.to_string())));
            let backend =
                one.backend.iter().map(|addr| (format!("zeromq {} backend", one.name), addr.to_string()));
            listening.extend(backend);
        }
        if let Some(http) = &self.parts.base.http {
            let scheme = if http.has_tls { "https" } else { "http" };
            listening.push(("http".to_owned(), format!("{scheme}://{}", http.address)));
        }
        listening
    }

    /// Reads certificate and key again, for connections that come from now on.
    ///
    /// # Errors
    /// [`TlsError`]; everything stays as it is then.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        self.parts.serving.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Stops: takes nothing new on, answers what is under way, says Goodbye, and closes the journal.
    ///
    /// Takes at most `node.shutdown_timeout` for what is under way, and then as long as the journal's last
    /// sync. Once a second the log says what is waited for.
    pub async fn shutdown(self) -> Stopped {
        let began = Instant::now();
        let parts = self.parts;
        let deadline = began + parts.serving.config.node.shutdown_timeout;
        tracing::info!(code = %OperatorCode::Stopping, "stopping");
        parts.base.status.stopping();
        parts.serving.stop_accepting();
        let cut_off = parts.serving.drain(deadline).await;
        let Parts { base, open, cluster, .. } = parts;
        base.end(Some(open), Some(cluster)).await;
        let took = began.elapsed();
        tracing::info!(code = %OperatorCode::Stopped, took_ms = took.as_millis(), cut_off, "stopped");
        Stopped { took, cut_off }
    }
}

impl Serving {
    fn stop_accepting(&self) {
        self.shared.advance(Phase::Draining);
        // HTTP goes on, to say that the node stops.
        self.zeromq_stop.cancel();
    }

    /// Waits for what is under way, and says how many connections were cut off.
    async fn drain(&self, deadline: Instant) -> usize {
        let drained = async {
            self.zeromq.stopped().await;
            self.shared.emptied().await;
        };
        tokio::pin!(drained);
        let began = Instant::now();
        let mut seconds = interval_at(began + Duration::from_secs(1), Duration::from_secs(1));
        loop {
            tokio::select! {
                () = &mut drained => return 0,
                _ = seconds.tick() => tracing::info!(
                    connections = self.shared.connections(),
                    request_bytes = self.shared.request_bytes(),
                    seconds_left = deadline.duration_since(Instant::now()).as_secs(),
                    "stopping: waiting for requests under way"
                ),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        let zeromq = self.zeromq.list();
        let cut_off =
            self.shared.connections() + zeromq.iter().map(|endpoint| endpoint.peers.count()).sum::<usize>();
        tracing::warn!(
            code = %OperatorCode::StopTimeout,
            connections = cut_off,
            "the time for stopping is over: connections are closed with requests under way"
        );
        self.shared.advance(Phase::Closing);
        let _ended = timeout_at(Instant::now() + LAST_WORDS, drained).await;
        cut_off
    }
}
