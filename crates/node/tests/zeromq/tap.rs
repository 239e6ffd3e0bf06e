//! The messages of an endpoint, for those who watch.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::Value;
use swarmmq_node::security::Gate;
use swarmmq_node::telemetry::metrics::Metrics;
use swarmmq_node::zeromq::{Bind, Bound, EndpointKind, EndpointOptions, Limits, Listening, Reason, Registry};
use swarmmq_protocol::DestinationName;
use swarmmq_protocol::zeromq::ingest::to_frames;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::model::Model;
use crate::raw::{Item, Raw, command, until};

/// Endpoints that may tap each other.
struct Node {
    model: Model,
    metrics: Arc<Metrics>,
    registry: Registry,
}

impl Node {
    async fn start(wanted: Vec<EndpointOptions>) -> Self {
        let model = Model::default();
        let (gate, metrics) = (Arc::new(Gate::default()), Metrics::new(0));
        let stop = CancellationToken::new();
        let registry = Registry::new(Arc::new(model.clone()), gate, metrics.clone(), stop);
        registry.reconcile(wanted).await.unwrap();
        Self { model, metrics, registry }
    }

    fn endpoint(&self, name: &str) -> Arc<Listening> {
        self.registry.list().into_iter().find(|one| one.name == name).unwrap()
    }

    async fn peer(bound: Option<&Bound>, socket_type: &str) -> Raw {
        let Some(Bound::Tcp(address)) = bound else { panic!("it has no address") };
        Raw::connect(TcpStream::connect(address).await.unwrap(), socket_type, b"").await
    }

    async fn front(&self, name: &str, socket_type: &str) -> Raw {
        Self::peer(self.endpoint(name).addr.as_ref(), socket_type).await
    }

    async fn back(&self, name: &str, socket_type: &str) -> Raw {
        Self::peer(self.endpoint(name).backend.as_ref(), socket_type).await
    }

    /// A subscriber to everything of a tap, whose subscription has arrived.
    async fn watcher(&self, tap: &str) -> Raw {
        let mut watcher = self.front(tap, "SUB").await;
        watcher.stream.write_all(&command(b"\x09SUBSCRIBE")).await.unwrap();
        // What was sent before the PING was handed over before it is answered.
        watcher.stream.write_all(&command(b"\x04PING\x00\x00")).await.unwrap();
        assert!(matches!(watcher.item().await, Some(Item::Command(pong)) if pong.starts_with(b"\x04PONG")));
        watcher
    }
}

fn anywhere() -> Bind {
    Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn rpc() -> EndpointOptions {
    EndpointOptions::new("rpc", EndpointKind::RequestReply, anywhere()).backend(anywhere())
}

fn kind(sample: u32, into: Option<&str>) -> EndpointKind {
    EndpointKind::Tap {
        of: "rpc".to_owned(),
        sample: NonZeroU32::new(sample).unwrap(),
        into: into.map(|name| DestinationName::new(name).unwrap()),
    }
}

fn tap(sample: u32) -> EndpointOptions {
    EndpointOptions::new("watch", kind(sample, None), anywhere())
}

/// One request and its reply.
async fn round(client: &mut Raw, worker: &mut Raw, body: &str) {
    client.send(&["", body]).await;
    let request = worker.receive().await;
    worker.send(&[&request[0], "", "done"]).await;
    assert_eq!(client.receive().await, ["", "done"]);
}

#[tokio::test]
async fn a_watcher_sees_what_each_peer_sent_and_who_it_is() {
    let node = Node::start(vec![rpc(), tap(1)]).await;
    let mut watcher = node.watcher("watch").await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    round(&mut client, &mut worker, "question").await;
    let seen = watcher.receive().await;
    assert_eq!((seen[0].as_str(), &seen[2..]), ("rpc in", &[String::new(), "question".to_owned()][..]));
    let about: Value = serde_json::from_str(&seen[1]).unwrap();
    assert_eq!((&about["number"], &about["socket_type"]), (&1.into(), &"REQ".into()));
    assert_eq!(about["peer"], client.stream.local_addr().unwrap().to_string());
    let seen = watcher.receive().await;
    assert_eq!((seen[0].as_str(), seen.last().map(String::as_str)), ("rpc in", Some("done")));
    let about: Value = serde_json::from_str(&seen[1]).unwrap();
    assert_eq!((&about["number"], &about["socket_type"]), (&2.into(), &"REP".into()));
}

#[tokio::test]
async fn a_sample_is_one_message_of_so_many() {
    let node = Node::start(vec![rpc(), tap(3)]).await;
    let mut watcher = node.watcher("watch").await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    for _ in 0..300 {
        round(&mut client, &mut worker, "question").await;
    }
    // Of 600 messages about a third, of which about as many are requests as replies, although these take turns.
    let (mut requests, mut replies) = (0, 0);
    loop {
        let seen = watcher.receive().await;
        let number = serde_json::from_str::<Value>(&seen[1]).unwrap()["number"].as_u64().unwrap();
        match seen.last().map(String::as_str) {
            Some("question") => requests += 1,
            _ => replies += 1,
        }
        if number > 590 {
            break;
        }
    }
    assert!((60..=140).contains(&requests) && (60..=140).contains(&replies), "{requests}, {replies}");
}

#[tokio::test]
async fn a_destination_keeps_what_was_mirrored() {
    let into = EndpointOptions::unbound("audit", kind(1, Some("audit")));
    let node = Node::start(vec![rpc(), into]).await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    round(&mut client, &mut worker, "question").await;
    until("both are stored", || node.model.with(|state| state.stored.len() == 2)).await;
    let stored = node.model.with(|state| to_frames(&state.stored[0].decode().unwrap()).unwrap());
    assert_eq!((&stored[0][..], &stored[3][..]), (&b"rpc in"[..], &b"question"[..]));
}

#[tokio::test]
async fn a_watcher_that_does_not_read_slows_nobody() {
    let mut limits = Limits::default();
    limits.peer_queue_messages_max = 4;
    let node = Node::start(vec![rpc(), tap(1).limits(limits)]).await;
    let watcher = node.watcher("watch").await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    let body = "x".repeat(200_000);
    // More than the sockets between hold.
    for _ in 0..100 {
        round(&mut client, &mut worker, &body).await;
    }
    let drops = &node.endpoint("watch").drops;
    until("some were dropped", || drops.of(Reason::QueueFull) + drops.of(Reason::TapBehind) > 0).await;
    assert!(node.endpoint("rpc").drops.snapshot().is_empty());
    drop(watcher);
}

#[tokio::test]
async fn a_tap_comes_and_goes_and_its_endpoint_keeps_its_peers() {
    let rpc = rpc();
    let node = Node::start(vec![rpc.clone()]).await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    round(&mut client, &mut worker, "unseen").await;
    for _ in 0..2 {
        node.registry.reconcile(vec![rpc.clone(), tap(1)]).await.unwrap();
        let mut watcher = node.watcher("watch").await;
        round(&mut client, &mut worker, "seen").await;
        assert_eq!(watcher.receive().await.last().unwrap(), "seen");
        node.registry.reconcile(vec![rpc.clone()]).await.unwrap();
        round(&mut client, &mut worker, "unseen").await;
        assert_eq!(watcher.receive().await.last().unwrap(), "done");
        watcher.closed().await;
    }
    let page = node.metrics.render(None).finish();
    let line = "swarmmq_zeromq_drops_total{endpoint=\"watch\",reason=\"tap-behind\"} 0";
    assert!(page.contains(line), "one that has gone is offered nothing any more");
}

#[tokio::test]
async fn what_the_node_sends_itself_is_seen_on_its_way_out() {
    let api = EndpointOptions::new("rpc", EndpointKind::Durable, anywhere());
    let node = Node::start(vec![api, tap(1)]).await;
    let mut watcher = node.watcher("watch").await;
    let mut client = node.front("rpc", "DEALER").await;
    let answer = client.ask(&["SWMQ1", "1", "PING"]).await;
    let (request, reply) = (watcher.receive().await, watcher.receive().await);
    assert_eq!(
        (request[0].as_str(), &request[2..]),
        ("rpc in", &["SWMQ1", "1", "PING"].map(str::to_owned)[..])
    );
    assert_eq!((reply[0].as_str(), &reply[2..]), ("rpc out", &answer[..]));
}

#[tokio::test]
async fn what_a_tap_has_mirrored_is_stored_before_it_goes() {
    let rpc = rpc();
    let into = EndpointOptions::unbound("audit", kind(1, Some("audit")));
    let node = Node::start(vec![rpc.clone(), into]).await;
    let (mut client, mut worker) = (node.front("rpc", "REQ").await, node.back("rpc", "REP").await);
    node.model.with(|state| state.holds = true);
    round(&mut client, &mut worker, "question").await;
    until("the first put is under way", || node.model.with(|state| !state.held.is_empty())).await;
    round(&mut client, &mut worker, "another").await;
    let goes = node.registry.reconcile(vec![rpc]);
    let released = async {
        tokio::task::yield_now().await;
        node.model.release();
    };
    let (done, ()) = tokio::join!(goes, released);
    done.unwrap();
    assert_eq!(node.model.with(|state| state.stored.len()), 4);
}
