//! A client of the simulated node: asks one thing at a time, straight at the shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use swarmmq_cluster::{Attachment, Cluster, Peer};
use swarmmq_protocol::request::Request;
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::oneshot;

/// Hands answers to those who wait for them.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Response>>>,
}

impl Peer for Inbox {
    fn reply(&self, correlation: u64, response: Response) {
        if let Some(waiting) = self.waiting.lock().remove(&correlation) {
            let _gone = waiting.send(response);
        }
    }

    // The workload pulls; it has no subscriptions.
    fn deliver(&self, _subscription: u64, _deliveries: Vec<Delivery>) {}

    fn ended(&self, _subscription: u64, _error: ErrorReply) {}
}

/// A client.
pub(crate) struct Session {
    inbox: Arc<Inbox>,
    attachment: Attachment,
    next: AtomicU64,
}

impl Session {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let inbox = Arc::new(Inbox::default());
        Self { attachment: cluster.attach(inbox.clone()), inbox, next: AtomicU64::new(1) }
    }

    /// Sends a request at once and returns the wait for its answer.
    pub(crate) fn ask(&self, request: Request) -> impl Future<Output = Response> + use<> {
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        let (tx, rx) = oneshot::channel();
        self.inbox.waiting.lock().insert(correlation, tx);
        self.attachment.submit(correlation, request);
        async move {
            let gone = || ErrorReply::new(ErrorCode::Unavailable, "the node has gone");
            rx.await.unwrap_or_else(|_| Response::Error(gone()))
        }
    }
}
