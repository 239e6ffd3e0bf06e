//! A ZMTP 3.1 peer written from RFC 37, byte for byte, so that it can also be wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarmmq_node::security::Gate;
use swarmmq_node::shards::Shards;
use swarmmq_node::telemetry::metrics::Metrics;
use swarmmq_node::zeromq::{Bind, Bound, EndpointKind, EndpointOptions, Limits, Listening, Reason, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::model::{Model, State};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint that listens, beside its shards.
pub(crate) struct Endpoint {
    pub(crate) model: Model,
    pub(crate) listening: Listening,
    pub(crate) stop: CancellationToken,
    /// How often something was to be dropped for a reason.
    expected: Mutex<BTreeMap<Reason, u64>>,
}

impl Endpoint {
    pub(crate) fn start(kind: EndpointKind, limits: Limits) -> Self {
        let bind = Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self::start_with(EndpointOptions::new("test", kind, bind).limits(limits))
    }

    pub(crate) fn start_with(options: EndpointOptions) -> Self {
        Self::guarded(options, &Arc::default())
    }

    pub(crate) fn guarded(options: EndpointOptions, gate: &Arc<Gate>) -> Self {
        Self::beside(Model::default(), options, gate)
    }

    /// An endpoint beside shards that behave as they are told before it starts.
    pub(crate) fn with_model(options: EndpointOptions, prepare: impl FnOnce(&mut State)) -> Self {
        let model = Model::default();
        model.with(prepare);
        Self::beside(model, options, &Arc::default())
    }

    fn beside(model: Model, options: EndpointOptions, gate: &Arc<Gate>) -> Self {
        let stop = CancellationToken::new();
        let shards: Arc<dyn Shards> = Arc::new(model.clone());
        let listening = start(vec![options], &shards, gate, &Metrics::new(0), &stop).unwrap().pop().unwrap();
        Self { model, listening, stop, expected: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self.listening.addr {
            Some(Bound::Tcp(address)) => address,
            _ => panic!("not TCP"),
        }
    }

    /// An endpoint with two addresses.
    pub(crate) fn two_sided(kind: EndpointKind, limits: Limits) -> Self {
        let bind = Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options = EndpointOptions::new("test", kind, bind.clone()).backend(bind).limits(limits);
        Self::start_with(options)
    }

    /// A peer of the other side.
    pub(crate) async fn back_peer(&self, socket_type: &str, routing_id: &[u8]) -> Raw {
        let Some(Bound::Tcp(address)) = &self.listening.backend else { panic!("it has one address") };
        Raw::connect(TcpStream::connect(address).await.unwrap(), socket_type, routing_id).await
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    pub(crate) async fn peer(&self, socket_type: &str) -> Raw {
        Raw::connect(self.tcp().await, socket_type, b"").await
    }

    /// Waits until something has been dropped for this reason so often. It is not more often then, nor when the test ends,
    /// unless it waits for more.
    pub(crate) async fn dropped(&self, reason: Reason, count: u64) {
        until(reason.as_str(), || self.listening.drops.of(reason) >= count).await;
        assert_eq!(self.listening.drops.of(reason), count, "{}", reason.as_str());
        self.expected.lock().unwrap().insert(reason, count);
    }

    /// Waits until something has been dropped for this reason so often, or more often: how often is left to chance.
    pub(crate) async fn dropped_at_least(&self, reason: Reason, count: u64) {
        until(reason.as_str(), || self.listening.drops.of(reason) >= count).await;
        self.expected.lock().unwrap().remove(&reason);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (reason, count) in self.expected.lock().unwrap().iter() {
            assert_eq!(self.listening.drops.of(*reason), *count, "{}, at the end", reason.as_str());
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            // sleep: between two looks at the condition, with a deadline.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it never came to: {what}"));
}

/// signature | version 3.1 | mechanism, padded | as-server 0 | filler
pub(crate) fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1];
    bytes.extend(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

pub(crate) fn ready(socket_type: &str, routing_id: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", socket_type.as_bytes()), ("Identity", routing_id)] {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name.as_bytes());
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
    }
    command(&body)
}

pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![4, u8::try_from(body.len()).unwrap()];
    bytes.extend(body);
    bytes
}

pub(crate) fn frame(body: &[u8], more: bool) -> Vec<u8> {
    let mut bytes = match u8::try_from(body.len()) {
        Ok(length) => vec![u8::from(more), length],
        Err(_) => [&[2 | u8::from(more)][..], &(body.len() as u64).to_be_bytes()].concat(),
    };
    bytes.extend(body);
    bytes
}

pub(crate) fn message(frames: &[&[u8]]) -> Vec<u8> {
    frames.iter().enumerate().flat_map(|(nth, body)| frame(body, nth + 1 < frames.len())).collect()
}

/// What a peer was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Message(Vec<Vec<u8>>),
    Command(Vec<u8>),
}

/// A peer after its handshake.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(mut stream: TcpStream, socket_type: &str, routing_id: &[u8]) -> Self {
        stream.write_all(&greeting("NULL")).await.unwrap();
        let mut theirs = [0; 64];
        stream.read_exact(&mut theirs).await.unwrap();
        assert_eq!(theirs[10..], greeting("NULL")[10..], "ZMTP 3.1, NULL, not as a server");
        stream.write_all(&ready(socket_type, routing_id)).await.unwrap();
        let mut peer = Self { stream };
        let Some(Item::Command(ready)) = peer.item().await else { panic!("READY is missing") };
        assert!(ready.starts_with(b"\x05READY"));
        peer
    }

    pub(crate) async fn send(&mut self, frames: &[&str]) {
        let frames: Vec<&[u8]> = frames.iter().map(|frame| frame.as_bytes()).collect();
        self.stream.write_all(&message(&frames)).await.unwrap();
    }

    /// What comes next, or nothing where the connection is closed.
    pub(crate) async fn item(&mut self) -> Option<Item> {
        let mut frames = Vec::new();
        loop {
            let flags = timeout(PATIENCE, self.stream.read_u8()).await.unwrap().ok()?;
            let length = match flags & 2 {
                0 => usize::from(self.stream.read_u8().await.ok()?),
                _ => usize::try_from(self.stream.read_u64().await.ok()?).unwrap(),
            };
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            if flags & 4 != 0 {
                return Some(Item::Command(body));
            }
            frames.push(body);
            if flags & 1 == 0 {
                return Some(Item::Message(frames));
            }
        }
    }

    /// The next message, as words.
    pub(crate) async fn receive(&mut self) -> Vec<String> {
        match self.item().await {
            Some(Item::Message(frames)) => {
                frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
            }
            other => panic!("{other:?} is no message"),
        }
    }

    pub(crate) async fn ask(&mut self, frames: &[&str]) -> Vec<String> {
        self.send(frames).await;
        self.receive().await
    }

    /// Waits until the node has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("it stays open");
    }
}
