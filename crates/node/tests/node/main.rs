//! A node as a whole: started, used, stopped and started again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../native/peer.rs"]
#[allow(dead_code, reason = "helpers of other tests")]
mod peer;
mod reload;
mod settings;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use swarmmq_node::config::{Bind, Config, parse};
use swarmmq_node::node::{Node, NodeOptions, Running, StartError};
use swarmmq_node::telemetry::OperatorCode;
use swarmmq_protocol::native::Frame;
use swarmmq_protocol::request::{Pull, Settle, Verdict};
use swarmmq_protocol::response::{PutOutcome, Response};
use swarmmq_protocol::service::{Instance, ServiceChange, ServiceNews, Watch};
use swarmmq_protocol::{ErrorCode, GroupName, Request, Sequence};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::peer::{Client, destination, put};

fn config(folder: &Path, more: &str) -> Config {
    let text = format!(
        "node: {{ data_dir: {folder:?} }}\n\
         cluster: {{ shards: 4 }}\n\
         journal: {{ segment_size: 4MiB, reserve_size: 1MiB }}\n\
         zeromq: {{ endpoints: [{{ name: durable, kind: durable, bind: 'tcp://127.0.0.1:0' }}] }}\n\
         {more}"
    );
    let mut config = parse(&text).unwrap();
    config.listen.native = Some(swarmmq_node::config::Listen::loopback(0));
    config.listen.http = swarmmq_node::config::Listen::loopback(0);
    config
}

async fn start(folder: &Path) -> Running {
    Node::start(NodeOptions::new(config(folder, ""))).await.unwrap()
}

async fn connect(node: &Running) -> Client<TcpStream> {
    Client::welcome(TcpStream::connect(node.native_addr().unwrap()).await.unwrap()).await.0
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn pull_one() -> Request {
    Request::Pull(Pull {
        destination: destination("a"),
        group: GroupName::default_group(),
        messages_max: 1,
        wait_ms: 5_000,
        lease_ms: 0,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_when_the_node_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let mut client = connect(&node).await;
    for number in 1..=3 {
        client.request(number, put(100)).await;
        let (correlation, Response::Put(reply)) = client.reply().await else { panic!("not a put's answer") };
        assert_eq!(correlation, number);
        assert_eq!(reply.outcomes().collect::<Vec<_>>(), [PutOutcome::Stored(Sequence(number))]);
    }
    client.request(4, pull_one()).await;
    let (4, Response::Messages(first)) = client.reply().await else { panic!("not messages") };
    let settle = Settle {
        destination: destination("a"),
        group: GroupName::default_group(),
        verdict: Verdict::Ack,
        receipts: vec![first[0].receipt],
    };
    client.request(5, Request::Settle(settle)).await;
    assert!(matches!(client.reply().await, (5, Response::Settled(_))));
    let stopped = node.shutdown().await;
    assert_eq!(stopped.cut_off, 0);
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);

    let node = start(folder.path()).await;
    let mut client = connect(&node).await;
    client.request(1, pull_one()).await;
    let (1, Response::Messages(second)) = client.reply().await else { panic!("not messages") };
    assert_eq!(second[0].receipt.sequence, Sequence(2), "the first was acknowledged");
    let _stopped = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_the_pulls_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let mut client = connect(&node).await;
    client.request(1, put(100)).await;
    client.reply().await;
    for number in 2..=3 {
        client.request(number, pull_one()).await;
    }
    assert!(matches!(client.reply().await, (2, Response::Messages(_))));
    let stopped = node.shutdown().await;
    assert!(stopped.took < Duration::from_secs(5), "{:?}", stopped.took);
    assert_eq!(client.error(3).await.code, ErrorCode::ShuttingDown);
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_services_waits_for_news_and_no_longer_than_the_node_serves() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let (mut watching, mut worker) = (connect(&node).await, connect(&node).await);
    let watch = |after, wait_ms| Request::Watch(Watch { service: None, after, wait_ms });
    watching.request(1, watch(None, 60_000)).await;
    let (1, Response::Services(all)) = watching.reply().await else { panic!("not services") };
    assert_eq!(all.news, ServiceNews::All(Vec::new()));
    // A wait that ends without news.
    watching.request(2, watch(Some(all.at), 50)).await;
    let (2, Response::Services(nothing)) = watching.reply().await else { panic!("not services") };
    assert_eq!(nothing.news, ServiceNews::Changes(Vec::new()));

    watching.request(3, watch(Some(all.at), 60_000)).await;
    let instance = Instance::new("worker/one".parse().unwrap(), "tcp://one:1");
    worker.request(1, Request::Announce(instance.clone())).await;
    assert!(matches!(worker.reply().await, (1, Response::Done { .. })));
    let (3, Response::Services(news)) = watching.reply().await else { panic!("not services") };
    assert_eq!(news.news, ServiceNews::Changes(vec![ServiceChange::Registered(instance)]));
    let page = get(node.http_addr().unwrap(), "/services").await;
    assert!(page.contains(r#""endpoint":"tcp://one:1""#) && page.contains(r#""health":"healthy""#), "{page}");

    watching.request(4, watch(Some(news.at), 60_000)).await;
    // What is asked behind it is answered: the watch is with the node.
    watching.request(5, watch(None, 0)).await;
    assert!(matches!(watching.reply().await, (5, Response::Services(_))));
    let stopped = node.shutdown().await;
    assert_eq!(stopped.cut_off, 0);
    assert_eq!(watching.error(4).await.code, ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let names: Vec<String> = node.listening().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["native", "zeromq durable", "http"]);
    let mut client = connect(&node).await;
    client.request(1, put(100)).await;
    client.reply().await;
    let http = node.http_addr().unwrap();
    let health = get(http, "/health").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let metrics = get(http, "/metrics").await;
    for line in [
        "swarmmq_connections{listener=\"native\"} 1",
        "swarmmq_requests_total{request=\"put\"} 1",
        "swarmmq_requests_in_flight 0",
        "swarmmq_destination_messages{destination=\"a\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let _stopped = node.shutdown().await;
    assert!(TcpStream::connect(http).await.is_err(), "nothing listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_starting_is_named_and_nothing_is_left_running() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let error = Node::start(NodeOptions::new(config(folder.path(), ""))).await.unwrap_err();
    assert_eq!(error.code(), OperatorCode::DataDirectoryLocked, "{error}");
    let _stopped = node.shutdown().await;

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut busy = config(folder.path(), "");
    busy.listen.native = Some(swarmmq_node::config::Listen::At(taken.local_addr().unwrap()));
    let error = Node::start(NodeOptions::new(busy)).await.unwrap_err();
    assert_eq!(error.code(), OperatorCode::PortInUse);
    assert!(error.to_string().contains("is in use"), "{error}");

    let mut more_shards = config(folder.path(), "");
    more_shards.cluster.shards = 8;
    let error = Node::start(NodeOptions::new(more_shards)).await.unwrap_err();
    assert_eq!(error.code(), OperatorCode::DataDirectoryDiffers, "{error}");

    let mut open = config(folder.path(), "");
    open.listen.native = Some(swarmmq_node::config::Listen::At("0.0.0.0:0".parse().unwrap()));
    let error = Node::start(NodeOptions::new(open)).await.unwrap_err();
    assert!(matches!(error, StartError::Config(_)), "{error}");

    let node = start(folder.path()).await;
    let _stopped = node.shutdown().await;
}

/// An address at which nothing listens: loopback has more than the one that everybody takes ports of.
async fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.76:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_at_the_last_lets_go_of_its_directory_and_its_ports() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut free = config(folder.path(), "");
    free.listen.http = swarmmq_node::config::Listen::At(unused_address().await);
    let mut busy = free.clone();
    busy.zeromq.endpoints[0].bind = Some(Bind(taken.local_addr().unwrap()));
    let error = Node::start(NodeOptions::new(busy)).await.unwrap_err();
    assert_eq!(error.code(), OperatorCode::PortInUse, "{error}");
    let node = Node::start(NodeOptions::new(free)).await.unwrap();
    let _stopped = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_served_and_ends_with_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let mut producer = connect(&node).await;
    producer.request(1, put(100)).await;
    producer.reply().await;
    let mut first = connect(&node).await;
    first.request(1, peer::subscribe()).await;
    assert_eq!(first.reply().await, (1, Response::Subscribed));
    let Some((1, Frame::Delivery(deliveries))) = first.receive().await else { panic!("not a delivery") };
    assert_eq!(deliveries[0].attempt, 1);
    drop(first);
    let mut second = connect(&node).await;
    second.request(1, peer::subscribe()).await;
    assert_eq!(second.reply().await, (1, Response::Subscribed));
    let Some((1, Frame::Delivery(again))) = second.receive().await else { panic!("not a delivery") };
    assert_eq!(again[0].receipt.sequence, deliveries[0].receipt.sequence);
    let _stopped = node.shutdown().await;
}
