//! Shards that do as a test says, and a node around them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use swarmmq_cluster::Peer;
use swarmmq_node::config::{Config, parse};
use swarmmq_node::native::{Greeting, Listener, NativeOptions, Phase, Shared, serve};
use swarmmq_node::security::{Gate, Tls};
use swarmmq_node::shards::{Shards, Tie};
use swarmmq_node::telemetry::metrics::Metrics;
use swarmmq_protocol::Request;
use swarmmq_protocol::response::Response;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

/// A request that reached the shards.
#[derive(Clone)]
pub(crate) struct Submitted {
    pub(crate) peer: Arc<dyn Peer>,
    pub(crate) correlation: u64,
    pub(crate) request: Request,
}

#[derive(Default)]
struct State {
    submitted: Mutex<Vec<Submitted>>,
    credits: Mutex<Vec<(u64, u32)>>,
    written: AtomicUsize,
    answers_at_once: AtomicBool,
    attached: AtomicUsize,
    changed: Notify,
}

#[derive(Clone, Default)]
pub(crate) struct FakeShards(Arc<State>);

impl FakeShards {
    /// Shards that answer each request with its correlation id as the log index.
    pub(crate) fn answering() -> Self {
        let shards = Self::default();
        shards.0.answers_at_once.store(true, Ordering::SeqCst);
        shards
    }

    async fn until(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.0) {
                return;
            }
            changed.await;
        }
    }

    /// Waits for so many requests, and returns all.
    pub(crate) async fn submitted(&self, count: usize) -> Vec<Submitted> {
        self.until(|state| state.submitted.lock().len() >= count).await;
        self.0.submitted.lock().clone()
    }

    pub(crate) fn submitted_now(&self) -> usize {
        self.0.submitted.lock().len()
    }

    pub(crate) async fn attached(&self, count: usize) {
        self.until(|state| state.attached.load(Ordering::SeqCst) == count).await;
    }

    pub(crate) async fn credits(&self, count: usize) -> Vec<(u64, u32)> {
        self.until(|state| state.credits.lock().len() >= count).await;
        self.0.credits.lock().clone()
    }

    pub(crate) async fn written(&self, bytes: usize) {
        self.until(|state| state.written.load(Ordering::SeqCst) >= bytes).await;
    }

    pub(crate) fn written_now(&self) -> usize {
        self.0.written.load(Ordering::SeqCst)
    }
}

impl Shards for FakeShards {
    fn attach(&self, peer: Arc<dyn Peer>) -> Box<dyn Tie> {
        self.0.attached.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
        Box::new(FakeTie { peer, state: self.0.clone() })
    }
}

struct FakeTie {
    peer: Arc<dyn Peer>,
    state: Arc<State>,
}

impl Tie for FakeTie {
    fn submit(&self, correlation: u64, request: Request) {
        let submitted = Submitted { peer: self.peer.clone(), correlation, request };
        if self.state.answers_at_once.load(Ordering::SeqCst) {
            submitted.answer();
        }
        self.state.submitted.lock().push(submitted);
        self.state.changed.notify_waiters();
    }

    fn credit(&self, subscription: u64, messages: u32) {
        self.state.credits.lock().push((subscription, messages));
        self.state.changed.notify_waiters();
    }

    fn written(&self, _subscription: u64, bytes: usize) {
        self.state.written.fetch_add(bytes, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }
}

impl Drop for FakeTie {
    fn drop(&mut self) {
        self.state.attached.fetch_sub(1, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }
}

impl Submitted {
    /// Answers with the correlation id as the log index.
    pub(crate) fn answer(&self) {
        let response = match self.request {
            Request::Subscribe(_) => Response::Subscribed,
            _ => Response::Done { index: self.correlation },
        };
        self.peer.reply(self.correlation, response);
    }
}

/// A node's native part, over TCP or over streams in memory.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shards: FakeShards,
    pub(crate) gate: Arc<Gate>,
}

impl Node {
    pub(crate) fn new(options: NativeOptions, shards: FakeShards) -> Self {
        Self::secure(options, shards, &Config::default(), None)
    }

    pub(crate) fn with(change: impl FnOnce(&mut NativeOptions)) -> Self {
        let mut options = NativeOptions::default();
        change(&mut options);
        Self::new(options, FakeShards::default())
    }

    pub(crate) fn secure(
        options: NativeOptions,
        shards: FakeShards,
        config: &Config,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let greeting = Greeting { node: "node-1".into(), cluster: "test".into() };
        let gate = Arc::new(Gate::new(config.security.clone()));
        let shared =
            Shared::new(options, greeting, Arc::new(shards.clone()), gate.clone(), tls, Metrics::new(0));
        Self { shared, shards, gate }
    }

    pub(crate) fn configured(text: &str) -> Self {
        Self::secure(NativeOptions::default(), FakeShards::answering(), &parse(text).unwrap(), None)
    }

    /// A connection over memory, from loopback, whose two directions hold so many bytes each.
    pub(crate) fn connect(&self, bytes: usize) -> DuplexStream {
        self.connect_from("127.0.0.1:40000", bytes)
    }

    pub(crate) fn connect_from(&self, peer: &str, bytes: usize) -> DuplexStream {
        let (client, server) = tokio::io::duplex(bytes);
        tokio::spawn(serve(server, peer.parse().unwrap(), self.shared.clone()));
        client
    }

    /// Listens on a free port of loopback.
    pub(crate) fn listen(&self) -> SocketAddr {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen().unwrap();
        let address = listener.address();
        tokio::spawn(listener.run(self.shared.clone()));
        address
    }

    pub(crate) fn stop(&self) {
        self.shared.advance(Phase::Draining);
    }
}
