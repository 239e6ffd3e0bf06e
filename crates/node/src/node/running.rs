//! A node that serves, and how it stops.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_cluster::Cluster;
use tokio::time::{Instant, interval_at, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::native::{Phase, Shared};
use crate::node::directory::DataDirectory;
use crate::node::journal::Open;
use crate::node::sources::Status;
use crate::node::start::ConfigSource;
use crate::node::start::ServedHttp;
use crate::security::Gate;
use crate::security::{Tls, TlsError};
use crate::telemetry::OperatorCode;
use crate::telemetry::metrics::Metrics;
use crate::zeromq::{Listening, Registry};

/// How long sessions that were told to end at once have for their last words.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// What a node is made of.
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) native_address: Option<SocketAddr>,
    pub(super) http: Option<ServedHttp>,
    pub(super) http_stop: CancellationToken,
    pub(super) gate: Arc<Gate>,
    pub(super) config_source: Option<ConfigSource>,
    pub(super) reloading: tokio::sync::Mutex<()>,
    pub(super) zeromq: Arc<Registry>,
    pub(super) zeromq_stop: CancellationToken,
    pub(super) shared: Arc<Shared>,
    pub(super) cluster: Cluster,
    pub(super) open: Open,
    pub(super) directory: DataDirectory,
    pub(super) status: Arc<Status>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) halt: Halt,
}

/// Ends the tasks of a node, at once, when it is dropped: for a node that did not start, or whose
/// program lets go of it.
#[derive(Default)]
pub(super) struct Halt {
    pub(super) stop: CancellationToken,
    pub(super) sessions: Option<Arc<Shared>>,
}

impl Drop for Halt {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(sessions) = &self.sessions {
            sessions.advance(Phase::Closing);
        }
    }
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
        self.parts.native_address
    }

    /// Where HTTP is spoken.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.parts.http.as_ref().map(|http| http.address)
    }

    /// The ZeroMQ endpoints: where each is, and what it refused.
    #[must_use]
    pub fn zeromq(&self) -> Vec<Arc<Listening>> {
        self.parts.zeromq.list()
    }

    /// A handle on the shards, for programs that embed a node.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.parts.cluster
    }

    /// What the node counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// The native sessions.
    #[must_use]
    pub fn native(&self) -> &Arc<Shared> {
        &self.parts.shared
    }

    /// What listens where: a name and an address each, with the ports the system chose.
    #[must_use]
    pub fn listening(&self) -> Vec<(String, String)> {
        let mut listening = Vec::new();
        if let Some(address) = self.parts.native_address {
            let scheme = if self.parts.tls.is_some() { "swarmmq+tls" } else { "swarmmq" };
            listening.push(("native".to_owned(), format!("{scheme}://{address}")));
        }
        for one in self.parts.zeromq.list() {
            listening.extend(one.addr.iter().map(|addr| (format!("zeromq {}", one.name), addr.to_string())));
            let backend =
                one.backend.iter().map(|addr| (format!("zeromq {} backend", one.name), addr.to_string()));
            listening.extend(backend);
        }
        if let Some(http) = &self.parts.http {
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
        self.parts.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Stops: takes nothing new on, answers what is under way, says Goodbye, and closes the journal.
    ///
    /// Takes at most `node.shutdown_timeout` for what is under way, and then as long as the journal's last
    /// sync. Once a second the log says what is waited for.
    pub async fn shutdown(self) -> Stopped {
        let began = Instant::now();
        let parts = self.parts;
        let deadline = began + parts.config.node.shutdown_timeout;
        tracing::info!(code = %OperatorCode::Stopping, "stopping");
        parts.status.stopping();
        parts.stop_accepting();
        let cut_off = parts.drain(deadline).await;
        let Parts { cluster, open, status, http, http_stop, directory, halt, .. } = parts;
        say_every_second("the shards' snapshots", cluster.shutdown()).await;
        // They hold the journal.
        status.gone();
        drop(cluster);
        let closing = tokio::task::spawn_blocking(move || open.close());
        let _closed = say_every_second("the journal's last sync", closing).await;
        http_stop.cancel();
        if let Some(http) = http {
            let _ended = timeout(LAST_WORDS, http.task).await;
        }
        drop((directory, halt));
        let took = began.elapsed();
        tracing::info!(code = %OperatorCode::Stopped, took_ms = took.as_millis(), cut_off, "stopped");
        Stopped { took, cut_off }
    }
}

impl Parts {
    fn stop_accepting(&self) {
        self.shared.advance(Phase::Draining);
        // HTTP goes on, to say that the node stops.
        self.zeromq_stop.cancel();
    }

    /// Waits for what is under way, and says how many connections were cut off.
    async fn drain(&self, deadline: Instant) -> usize {
        let drained = async {
            for listening in self.zeromq.list() {
                listening.stopped().await;
            }
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

/// Waits for `work`, and says so once a second.
async fn say_every_second<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut seconds = interval_at(Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = seconds.tick() => tracing::info!("stopping: waiting for {what}"),
        }
    }
}
