//! Requests and answers: order, correlation, and what is malformed.

use bytes::BufMut;
use swarmmq_node::native::NativeOptions;
use swarmmq_protocol::native::{Frame, FrameKind};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::{ErrorCode, ErrorReply, Request};

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, delivery, encoded, hello, message, put, subscribe};

#[tokio::test]
async fn requests_reach_the_shards_in_order_and_answers_go_back_in_any() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let (mut client, welcome) = Client::welcome(node.connect(1 << 16)).await;
    assert_eq!((welcome.node.as_str(), welcome.cluster.as_str()), ("node-1", "test"));
    for correlation in 1..=100 {
        client.request(correlation, put(100)).await;
    }
    let submitted = node.shards.submitted(100).await;
    assert!(submitted.iter().map(|one| one.correlation).eq(1..=100));
    for one in submitted.iter().rev() {
        one.answer();
    }
    for correlation in (1..=100).rev() {
        assert_eq!(client.reply().await, (correlation, Response::Done { index: correlation }));
    }
}

#[tokio::test]
async fn requests_sent_together_with_the_hello_are_served() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let mut client = Client::new(node.connect(1 << 16));
    let mut bytes = encoded(0, &Frame::Hello(hello()));
    for correlation in 1..=10 {
        bytes.extend_from_slice(&encoded(correlation, &Frame::Request(put(100))));
    }
    client.send_bytes(&bytes).await;
    assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
    for correlation in 1..=10 {
        assert_eq!(client.reply().await.0, correlation);
    }
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_one_request() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1)).await;
    client.send_bytes(&encoded(7, &Frame::Request(put(1_000)))).await;
    assert_eq!(client.reply().await.0, 7);
    assert_eq!(node.shards.submitted(1).await[0].request, put(1_000));
}

#[tokio::test]
async fn a_malformed_body_is_answered_and_the_connection_stays() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    let mut bytes = encoded(3, &Frame::Request(put(100)));
    let last = bytes.len() - 1;
    bytes[16] = 0xee; // The tag of a request there is not.
    client.send_bytes(&bytes).await;
    assert_eq!(client.error(3).await.code, ErrorCode::Malformed);
    bytes[16] = 1;
    bytes.truncate(last);
    bytes[3] -= 1; // One byte less than the message needs.
    client.send_bytes(&bytes).await;
    assert_eq!(client.error(3).await.code, ErrorCode::Malformed);
    client.request(4, put(100)).await;
    assert_eq!(client.reply().await.0, 4);
    assert_eq!(node.shards.submitted_now(), 1);
}

#[tokio::test]
async fn broken_framing_ends_the_connection_with_a_reason() {
    let frame = |length: u32, kind: u8, flags: u8| {
        let mut bytes = bytes::BytesMut::new();
        bytes.put_u32(length);
        bytes.put_u8(kind);
        bytes.put_u8(flags);
        bytes.put_u16(0);
        bytes.put_u64(1);
        bytes
    };
    let ping = FrameKind::Ping as u8;
    let cases = [
        ("too short", frame(11, ping, 0)),
        ("too long", frame(u32::MAX, ping, 0)),
        ("unknown kind", frame(12, 0x7f, 0)),
        ("unknown flags", frame(12, ping, 1)),
        ("a large ping", frame(1 << 20, ping, 0)),
        ("a credit without a number", frame(12, FrameKind::Credit as u8, 0)),
        ("a second hello", encoded(0, &Frame::Hello(hello()))),
        ("what a node says", encoded(1, &Frame::Reply(Response::Subscribed))),
    ];
    for (case, bytes) in cases {
        let node = Node::new(NativeOptions::default(), FakeShards::answering());
        let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
        client.request(1, put(100)).await;
        client.send_bytes(&bytes).await;
        client.send_bytes(&[0; 100]).await;
        assert_eq!(client.reply().await.0, 1, "{case}: what came before is answered");
        assert_eq!(client.goodbye().await.code, ErrorCode::Malformed, "{case}");
        drop(client);
        node.shared.emptied().await;
        assert_eq!(node.shared.counters().ended_total("broken"), 1, "{case}");
    }
}

#[tokio::test]
async fn a_correlation_id_under_way_is_not_taken_twice() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.request(1, put(100)).await;
    client.request(1, put(200)).await;
    assert_eq!(client.error(1).await.code, ErrorCode::Malformed);
    let submitted = node.shards.submitted(1).await;
    assert_eq!(submitted.len(), 1, "the second did not take effect");
    submitted[0].answer();
    assert_eq!(client.reply().await, (1, Response::Done { index: 1 }));
    client.request(1, put(300)).await;
    node.shards.submitted(2).await[1].answer();
    assert_eq!(client.reply().await.0, 1, "once answered, the id is free");
}

#[tokio::test]
async fn a_subscription_keeps_its_id_until_it_ends() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.request(1, subscribe()).await;
    assert_eq!(client.reply().await, (1, Response::Subscribed));
    client.request(1, subscribe()).await;
    assert_eq!(client.error(1).await.code, ErrorCode::Malformed);
    client.request(2, Request::Unsubscribe { subscription: 1 }).await;
    assert_eq!(client.reply().await.0, 2);
    client.request(1, subscribe()).await;
    assert_eq!(client.reply().await, (1, Response::Subscribed));
    node.shards.submitted(3).await[0]
        .peer
        .ended(1, ErrorReply::new(ErrorCode::UnknownDestination, "deleted"));
    assert!(matches!(client.receive().await, Some((1, Frame::Ended(_)))));
    client.request(1, subscribe()).await;
    assert_eq!(client.reply().await, (1, Response::Subscribed));
}

#[tokio::test]
async fn deliveries_arrive_whole_whatever_their_size() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    client.request(9, subscribe()).await;
    client.reply().await;
    let peer = node.shards.submitted(1).await[0].peer.clone();
    let sizes = [20, 100, 16_383, 16_384, 16_385, 300_000, 21, 900_000, 900_000, 22];
    let sent: Vec<_> = (1..).zip(sizes).map(|(sequence, bytes)| delivery(sequence, bytes)).collect();
    peer.deliver(9, sent.clone());
    let mut received = Vec::new();
    while received.len() < sent.len() {
        match client.receive().await {
            Some((9, Frame::Delivery(deliveries))) => received.extend(deliveries),
            other => panic!("{other:?}"),
        }
    }
    assert!(received == sent);
    node.shards.written(sizes.iter().sum()).await;
    assert_eq!(node.shards.written_now(), sizes.iter().sum::<usize>(), "the window is given back exactly");
    client.send(9, Frame::Credit(10)).await;
    assert_eq!(node.shards.credits(1).await, [(9, 10)]);
}

#[tokio::test]
async fn pulled_messages_are_answered_in_one_frame() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    client.request(5, crate::peer::pull()).await;
    let pulled = node.shards.submitted(1).await.remove(0);
    let messages: Vec<_> = [50, 40_000, 60].into_iter().map(|bytes| delivery(1, bytes)).collect();
    pulled.peer.reply(5, Response::Messages(messages.clone()));
    assert!(client.reply().await == (5, Response::Messages(messages)));
}

#[tokio::test]
async fn a_message_larger_than_configured_is_refused_with_both_sizes() {
    let node = Node::with(|options| options.message_bytes_max = 1_000);
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.request(1, put(1_001)).await;
    let error = client.error(1).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(
        error.explanation.contains("1001") && error.explanation.contains("1000"),
        "{}",
        error.explanation
    );
    client.request(2, put(1_000)).await;
    assert_eq!(node.shards.submitted(1).await[0].correlation, 2);
}

#[tokio::test]
async fn a_request_larger_than_any_frame_is_skipped_and_answered() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    let large = encoded(1, &Frame::Request(put(3 << 20)));
    client.send_bytes(&large).await;
    let error = client.error(1).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    client.request(2, put(100)).await;
    assert_eq!(client.reply().await.0, 2, "the connection goes on behind it");
    assert_eq!(node.shards.submitted_now(), 1);
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_number() {
    let node = Node::new(NativeOptions::default(), FakeShards::answering());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.send(77, Frame::Ping).await;
    assert_eq!(client.receive().await, Some((77, Frame::Pong)));
}

#[tokio::test]
async fn a_client_that_leaves_is_detached() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.request(1, put(100)).await;
    let submitted = node.shards.submitted(1).await.remove(0);
    node.shards.attached(1).await;
    assert!(node.shared.request_bytes() > 0);
    drop(client);
    node.shards.attached(0).await;
    submitted.answer();
    assert_eq!(node.shared.request_bytes(), 0, "the memory is given back when the answer comes");
    let (mut client, _) = Client::welcome(node.connect(1 << 16)).await;
    client.request(1, subscribe()).await;
    client.send(0, Frame::Goodbye(ErrorReply::new(ErrorCode::ShuttingDown, "done"))).await;
    assert!(client.receive().await.is_none());
    node.shared.emptied().await;
    assert_eq!(node.shared.counters().ended_total("goodbye"), 1);
    let _ = message(20);
}
