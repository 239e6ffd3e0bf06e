//! A node that stops.

use std::time::Duration;

use swarmmq_node::native::Phase;
use swarmmq_protocol::ErrorCode;
use swarmmq_protocol::native::Frame;
use swarmmq_protocol::request::{Request, Settle, Verdict};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::{GroupName, Receipt, Sequence};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, destination, hello, pull, put};

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_answered_and_nothing_new_is_taken_on() {
    let node = Node::with(|_| {});
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    client.request(1, put(100)).await;
    let submitted = node.shards.submitted(1).await.remove(0);
    node.stop();
    // sleep: the runtime's clock is paused, so no time passes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.request(2, put(100)).await;
    assert_eq!(client.error(2).await.code, ErrorCode::ShuttingDown);
    let settle = Settle {
        destination: destination("a"),
        group: GroupName::default_group(),
        verdict: Verdict::Ack,
        receipts: vec![Receipt { sequence: Sequence(1), token: 1 }],
    };
    client.request(3, Request::Settle(settle)).await;
    let settled = node.shards.submitted(2).await.remove(1);
    submitted.answer();
    assert_eq!(client.reply().await, (1, Response::Done { index: 1 }));
    settled.answer();
    assert_eq!(client.reply().await.0, 3, "whoever has messages may still settle them");
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);
    drop(client);
    node.shared.emptied().await;
    assert_eq!(node.shared.counters().ended_total("stopping"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_pull_does_not_hold_a_stop_up() {
    let node = Node::with(|_| {});
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    client.request(1, pull()).await;
    let submitted = node.shards.submitted(1).await.remove(0);
    node.stop();
    assert_eq!(client.error(1).await.code, ErrorCode::ShuttingDown);
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);
    node.shards.attached(0).await;
    submitted.answer();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_hears_goodbye_at_once() {
    let node = Node::with(|_| {});
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    let start = tokio::time::Instant::now();
    node.stop();
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_nothing_is_waited_for() {
    let node = Node::with(|_| {});
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    client.request(1, put(100)).await;
    node.shards.submitted(1).await;
    node.stop();
    node.shared.advance(Phase::Closing);
    assert_eq!(client.goodbye().await.code, ErrorCode::ShuttingDown);
    drop(client);
    node.shared.emptied().await;
    assert_eq!(node.shared.counters().ended_total("aborted"), 1);
}

#[tokio::test]
async fn a_stopping_node_lets_nobody_in() {
    let node = Node::new(swarmmq_node::native::NativeOptions::default(), FakeShards::default());
    let address = node.listen();
    let (_standing, _) = Client::welcome(TcpStream::connect(address).await.unwrap()).await;
    let mut late = Client::new(TcpStream::connect(address).await.unwrap());
    // Until it is accepted it is the kernel's.
    let half_open = timeout(Duration::from_secs(5), async {
        while node.shared.connections() < 2 {
            tokio::task::yield_now().await;
        }
    });
    half_open.await.unwrap();
    node.stop();
    late.send(0, Frame::Hello(hello())).await;
    assert_eq!(late.goodbye().await.code, ErrorCode::ShuttingDown);
    let refused = timeout(Duration::from_secs(5), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await.expect("the port is closed");
}
