//! What a node stands on: a data directory, HTTP that tells how the node is, the journal and the shards.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_cluster::Cluster;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::native::{Phase, Shared};
use crate::node::directory::DataDirectory;
use crate::node::journal::Open;
use crate::node::sources::Status;

/// How long those that were told to end at once have for their last words.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(4);

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

/// A listener that is served by a task.
pub(super) struct ServedHttp {
    pub(super) address: std::net::SocketAddr,
    pub(super) has_tls: bool,
    pub(super) task: tokio::task::JoinHandle<()>,
}

/// What is there before the journal is open, and ends after it is closed.
pub(super) struct Base {
    pub(super) directory: DataDirectory,
    pub(super) status: Arc<Status>,
    pub(super) http: Option<ServedHttp>,
    pub(super) http_stop: CancellationToken,
    pub(super) halt: Halt,
}

impl Base {
    /// Ends the shards, closes the journal and ends HTTP, as far as they were started. When this returns, the next
    /// node may have the data directory and the ports.
    ///
    /// Takes as long as the journal's last sync. Once a second the log says what is waited for.
    pub(super) async fn end(self, open: Option<Open>, cluster: Option<Cluster>) {
        let Self { directory, status, http, http_stop, halt } = self;
        status.stopping();
        if let Some(cluster) = cluster {
            say_every_second("the shards' snapshots", cluster.shutdown()).await;
        }
        // They hold the journal.
        status.gone();
        if let Some(open) = open {
            let closing = tokio::task::spawn_blocking(move || open.close());
            let _closed = say_every_second("the journal's last sync", closing).await;
        }
        http_stop.cancel();
        if let Some(http) = http {
            let _ended = timeout(LAST_WORDS, http.task).await;
        }
        drop((directory, halt));
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
