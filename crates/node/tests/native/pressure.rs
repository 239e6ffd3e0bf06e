//! What a peer can make grow, and what happens when it has grown enough.

use std::time::Duration;

use swarmmq_node::native::NativeOptions;
use swarmmq_protocol::native::{Frame, decode_frame};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::{ErrorCode, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, delivery, encoded, pull, put, subscribe};

/// Lets everything that can happen happen, in paused time.
async fn settle() {
    // sleep: shows that nothing more happens; a run that is too slow passes, and never fails.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_stops_reading_at_its_bound_of_requests_and_goes_on_below() {
    let node = Node::with(|options| options.in_flight_max = 8);
    let (mut client, welcome) = Client::welcome(node.connect(1 << 20)).await;
    assert_eq!(welcome.in_flight_max, 8);
    for correlation in 1..=100 {
        client.request(correlation, put(100)).await;
    }
    settle().await;
    let submitted = node.shards.submitted(8).await;
    assert_eq!(submitted.len(), 8, "the ninth is not read");
    for (answered, one) in submitted.iter().enumerate() {
        one.answer();
        settle().await;
        let expected = if answered < 1 { 8 } else { 8 + answered + 1 };
        assert!(node.shards.submitted_now() <= expected, "never more than 8 under way");
    }
    let mut answered = 8;
    while answered < 100 {
        let submitted = node.shards.submitted(answered + 1).await;
        for one in &submitted[answered..] {
            one.answer();
        }
        assert!(submitted.len() - answered <= 8);
        answered = submitted.len();
    }
    for _ in 0..100 {
        client.reply().await;
    }
    let order: Vec<u64> = node.shards.submitted(100).await.iter().map(|one| one.correlation).collect();
    assert!(order.into_iter().eq(1..=100), "nothing was lost or passed by another");
}

#[tokio::test(start_paused = true)]
async fn a_session_stops_reading_at_its_bound_of_bytes() {
    let node = Node::with(|options| options.in_flight_bytes_max = 100_000);
    let (mut client, _) = Client::welcome(node.connect(1 << 24)).await;
    for correlation in 1..=20 {
        client.request(correlation, put(40_000)).await;
    }
    settle().await;
    let submitted = node.shards.submitted(3).await;
    assert_eq!(submitted.len(), 3, "two fit, and the third goes beyond");
    client.request(21, put(500_000)).await;
    let mut answered = 0;
    while answered < 21 {
        let submitted = node.shards.submitted(answered + 1).await;
        assert!(submitted.len() - answered <= 3);
        for one in &submitted[answered..] {
            one.answer();
        }
        answered = submitted.len();
    }
    assert_eq!(node.shared.request_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answers_is_not_read_from() {
    let options = NativeOptions { outbound_bytes_max: 64 * 1024, ..NativeOptions::default() };
    let node = Node::new(options, FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(4096)).await;
    let request = encoded(1, &Frame::Ping);
    let mut sent = 0_u64;
    while let Ok(written) = timeout(Duration::from_millis(50), client.stream.write_all(&request)).await {
        written.unwrap();
        sent += 1;
        assert!(sent < 100_000, "the node reads without end");
    }
    // What the queue may hold, at 64 bytes each, what the stream holds in both directions, and one batch.
    assert!(sent < 4_000, "{sent} pings were read");
    // Reading the answers sets everything going again.
    let mut received = 0;
    let mut buffer = bytes::BytesMut::new();
    while received < sent {
        client.stream.read_buf(&mut buffer).await.unwrap();
        while let Some((_, frame)) = decode_frame(&mut buffer, 1 << 20).unwrap() {
            assert_eq!(frame, Frame::Pong);
            received += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_stops_reading_gets_no_more_than_its_window() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(4096)).await;
    client.request(1, subscribe()).await;
    client.reply().await;
    let peer = node.shards.submitted(1).await[0].peer.clone();
    for sequence in 1..=100 {
        peer.deliver(1, vec![delivery(sequence, 10_000)]);
    }
    settle().await;
    let flushed = node.shards.written_now();
    assert!(flushed <= 300_000, "{flushed} bytes are said to be written, and the client has read nothing");
    for _ in 0..100 {
        assert!(matches!(client.receive().await, Some((1, Frame::Delivery(_)))));
    }
    node.shards.written(1_000_000).await;
    assert_eq!(node.shards.written_now(), 1_000_000);
}

#[tokio::test]
async fn puts_beyond_the_nodes_memory_are_refused_and_acknowledgements_are_not() {
    let node = Node::with(|options| options.request_memory_bytes_max = 5_000);
    let (mut one, _) = Client::welcome(node.connect(1 << 16)).await;
    let (mut two, _) = Client::welcome(node.connect(1 << 16)).await;
    one.request(1, put(4_000)).await;
    let first = node.shards.submitted(1).await.remove(0);
    two.request(1, put(4_000)).await;
    let error = two.error(1).await;
    assert_eq!(error.code, ErrorCode::Overloaded);
    assert!(error.code.is_retryable());
    two.request(2, Request::Unsubscribe { subscription: 9 }).await;
    assert_eq!(node.shards.submitted(2).await[1].correlation, 2);
    first.answer();
    one.reply().await;
    assert_eq!(node.shared.request_bytes(), 0);
    two.request(3, put(9_000)).await;
    assert_eq!(
        node.shards.submitted(3).await[2].correlation,
        3,
        "one that is alone is taken whatever its size"
    );
}

#[tokio::test]
async fn pulls_and_subscriptions_of_a_connection_are_bounded() {
    let node = Node::with(|options| {
        options.pulls_max = 2;
        options.subscriptions_max = 2;
    });
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    for correlation in 1..=3 {
        client.request(correlation, pull()).await;
    }
    assert_eq!(client.error(3).await.code, ErrorCode::LimitReached);
    for correlation in 4..=6 {
        client.request(correlation, subscribe()).await;
    }
    assert_eq!(client.error(6).await.code, ErrorCode::LimitReached);
    let submitted = node.shards.submitted(4).await;
    submitted[0].peer.reply(1, Response::Messages(Vec::new()));
    client.reply().await;
    client.request(7, pull()).await;
    assert_eq!(node.shards.submitted(5).await[4].correlation, 7);
    // A subscription that was refused takes no place.
    submitted[2]
        .peer
        .reply(4, Response::Error(swarmmq_protocol::ErrorReply::new(ErrorCode::UnknownDestination, "")));
    client.error(4).await;
    client.request(8, subscribe()).await;
    assert_eq!(node.shards.submitted(6).await[5].correlation, 8);
}

#[tokio::test]
async fn waiting_pulls_never_keep_acknowledgements_from_being_read() {
    let node = Node::with(|options| options.in_flight_max = 4);
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    for correlation in 1..=10 {
        client.request(correlation, pull()).await;
    }
    for correlation in 3..=10 {
        assert_eq!(client.error(correlation).await.code, ErrorCode::LimitReached);
    }
    client.request(11, put(100)).await;
    assert_eq!(node.shards.submitted(3).await[2].correlation, 11);
}

#[tokio::test(start_paused = true)]
async fn memory_is_taken_for_what_has_come_and_not_for_what_is_announced() {
    let node = Node::with(|options| options.message_bytes_max = 32 << 20);
    let (mut client, _) = Client::welcome(node.connect(1 << 20)).await;
    let mut announced = encoded(1, &Frame::Request(put(100)));
    announced[..4].copy_from_slice(&(30_u32 << 20).to_be_bytes());
    announced.truncate(100);
    let before = allocated();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let (mut client, _) = Client::welcome(node.connect(1 << 10)).await;
        client.send_bytes(&announced).await;
        clients.push(client);
    }
    client.send_bytes(&announced).await;
    settle().await;
    let grown = allocated().saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes were taken for 50 frames of 30 MiB that are not there");
}

/// Bytes of memory the process has asked for, by the system's count of its data.
fn allocated() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
