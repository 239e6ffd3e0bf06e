//! Egress endpoints.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarmmq_node::config::SecurityConfig;
use swarmmq_node::security::Gate;
use swarmmq_node::zeromq::{Acknowledge, EndpointKind, Limits, Reason};
use swarmmq_protocol::response::Delivery;
use swarmmq_protocol::zeromq::ingest::to_message;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply};
use tokio::io::AsyncWriteExt;

use crate::plain::{enter_as, gate, plain_endpoint, rules};
use crate::raw::{Endpoint, Item, Raw, until};

const PREFETCH: u32 = 100;

fn start(acknowledge: Acknowledge, limits: Limits) -> Endpoint {
    let queue = DestinationName::new("jobs").unwrap();
    Endpoint::start(EndpointKind::Egress { queue, acknowledge, prefetch: PREFETCH }, limits)
}

fn endpoint(acknowledge: Acknowledge) -> Endpoint {
    start(acknowledge, Limits::default())
}

/// A worker that has subscribed.
async fn worker(endpoint: &Endpoint) -> Raw {
    let before = endpoint.model.with(|state| state.subscribers.len());
    let peer = endpoint.peer("PULL").await;
    until("it subscribes", || endpoint.model.with(|state| state.subscribers.len() > before)).await;
    peer
}

/// Stores messages of these frames, and delivers them to the last subscriber as far as it has credit.
fn deliver(endpoint: &Endpoint, messages: &[&[&str]]) {
    let (peer, subscription, deliveries) = endpoint.model.with(|state| {
        for frames in messages {
            let frames: Vec<Bytes> =
                frames.iter().map(|frame| Bytes::copy_from_slice(frame.as_bytes())).collect();
            state.stored.push(to_message(&frames).unwrap());
            state.ready.push_back(state.stored.len() as u64);
        }
        let mut deliveries: Vec<Delivery> = Vec::new();
        while state.credit > 0
            && let Some(delivery) = state.lease()
        {
            state.credit -= 1;
            deliveries.push(delivery);
        }
        let (peer, subscription) = state.subscribers.last().unwrap().clone();
        (peer, subscription, deliveries)
    });
    peer.deliver(subscription, deliveries);
}

fn leased(endpoint: &Endpoint) -> usize {
    endpoint.model.with(|state| state.leased.len())
}

fn credit(endpoint: &Endpoint) -> u32 {
    endpoint.model.with(|state| state.credit)
}

#[tokio::test]
async fn what_was_written_is_acknowledged_and_its_credit_comes_back() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    assert_eq!(credit(&endpoint), PREFETCH);
    deliver(&endpoint, &[&["alone"], &["topic", "", "body"]]);
    assert_eq!(worker.receive().await, ["alone"]);
    assert_eq!(worker.receive().await, ["topic", "", "body"]);
    until("both are acknowledged", || leased(&endpoint) == 0).await;
    until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    let bytes = endpoint.model.with(|state| state.stored.iter().map(|message| message.len()).sum::<usize>());
    assert_eq!(endpoint.model.with(|state| state.written), bytes);
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn messages_come_in_order_and_are_acknowledged_in_batches() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    for turn in 0..50 {
        let numbers: Vec<String> = (0..PREFETCH).map(|number| format!("{turn}-{number}")).collect();
        let frames: Vec<[&str; 1]> = numbers.iter().map(|number| [number.as_str()]).collect();
        let messages: Vec<&[&str]> = frames.iter().map(|frames| &frames[..]).collect();
        deliver(&endpoint, &messages);
        for number in &numbers {
            assert_eq!(&worker.receive().await[0], number);
        }
        until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    }
    assert_eq!(leased(&endpoint), 0);
    let submitted = endpoint.model.with(|state| state.submitted);
    assert!(submitted < 2_500, "{submitted} requests for 5,000 messages");
}

#[tokio::test]
async fn a_worker_gets_the_receipt_and_the_node_acknowledges_nothing() {
    let endpoint = endpoint(Acknowledge::ByWorker);
    let mut worker = worker(&endpoint).await;
    deliver(&endpoint, &[&["a", "b"], &["c"]]);
    let receipts = endpoint.model.with(|state| state.leased.clone());
    for (frames, (sequence, token)) in [&["a", "b"][..], &["c"]].into_iter().zip(receipts) {
        let received = worker.receive().await;
        assert_eq!(received[0], format!("{sequence}-{token}"));
        assert_eq!(received[1..], *frames);
    }
    until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    assert_eq!(leased(&endpoint), 2);
    endpoint.stop.cancel();
    endpoint.listening.stopped().await;
    assert_eq!(leased(&endpoint), 2);
    assert_eq!(endpoint.model.with(|state| state.submitted), 1, "the subscription and nothing else");
}

#[tokio::test]
async fn credit_comes_back_when_the_acknowledgement_is_stored() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    endpoint.model.with(|state| state.holds = true);
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
    until("it is under way", || endpoint.model.with(|state| state.held.len() == 1)).await;
    deliver(&endpoint, &[&["b"], &["c"]]);
    assert_eq!(worker.receive().await, ["b"]);
    assert_eq!(worker.receive().await, ["c"]);
    assert_eq!(credit(&endpoint), PREFETCH - 3);
    assert_eq!(endpoint.model.with(|state| state.held.len()), 1, "one settlement at a time");
    endpoint.model.release();
    until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    assert_eq!(leased(&endpoint), 0);
}

#[tokio::test]
async fn an_acknowledgement_that_cannot_be_stored_now_is_tried_again() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    endpoint.model.with(|state| state.holds = true);
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
    until("it is under way", || endpoint.model.with(|state| state.held.len() == 1)).await;
    let (peer, correlation, _) = endpoint.model.with(|state| state.held.pop().unwrap());
    peer.reply(correlation, ErrorReply::new(ErrorCode::Unavailable, "the test says so").into());
    until("it is tried again", || endpoint.model.with(|state| state.held.len() == 1)).await;
    endpoint.model.release();
    until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    assert_eq!(leased(&endpoint), 0);
}

#[tokio::test]
async fn what_was_not_written_to_a_worker_that_went_stays_leased() {
    let mut limits = Limits::default();
    limits.send_queue_bytes = 64 << 10;
    let endpoint = start(Acknowledge::OnWrite, limits);
    let stalled = worker(&endpoint).await;
    let body = "x".repeat(1 << 20);
    let messages = vec![[body.as_str()]; 50];
    deliver(&endpoint, &messages.iter().map(|frames| &frames[..]).collect::<Vec<_>>());
    until("some is written", || leased(&endpoint) < 50).await;
    drop(stalled);
    until("the session ends", || endpoint.model.with(|state| state.ties == 0)).await;
    assert!(leased(&endpoint) > 10, "50 MB do not fit in a connection: {}", leased(&endpoint));
}

#[tokio::test]
async fn nothing_is_written_to_a_worker_that_has_said_its_last() {
    let mut limits = Limits::default();
    // Longer than the test has patience.
    limits.drain_timeout = Duration::from_secs(60);
    let endpoint = start(Acknowledge::OnWrite, limits);
    let mut worker = worker(&endpoint).await;
    let body = "x".repeat(1 << 20);
    let messages = vec![[body.as_str()]; 50];
    deliver(&endpoint, &messages.iter().map(|frames| &frames[..]).collect::<Vec<_>>());
    until("some is written", || leased(&endpoint) < 50).await;
    worker.stream.shutdown().await.unwrap();
    until("the session ends", || endpoint.model.with(|state| state.ties == 0)).await;
    // It would read all that it was sent.
    let mut whole = 0;
    while let Some(Item::Message(_)) = worker.item().await {
        whole += 1;
    }
    assert!(whole < 40, "{whole} of 50 messages came although the worker had gone");
    assert!(leased(&endpoint) > 10);
}

#[tokio::test]
async fn a_subscription_that_ends_is_made_again_for_what_is_left_of_the_credit() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    endpoint.model.with(|state| state.holds = true);
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
    until("its settlement is held", || endpoint.model.with(|state| state.held.len() == 1)).await;
    let (peer, subscription) = endpoint.model.with(|state| {
        state.credit = 0;
        state.subscribers[0].clone()
    });
    peer.ended(subscription, ErrorReply::new(ErrorCode::Unavailable, "the leader has changed"));
    until("it subscribes again", || endpoint.model.with(|state| state.subscribers.len() == 2)).await;
    assert_eq!(credit(&endpoint), PREFETCH - 1);
    endpoint.model.release();
    until("the credit is back", || credit(&endpoint) == PREFETCH).await;
    deliver(&endpoint, &[&["b"]]);
    assert_eq!(worker.receive().await, ["b"]);
    until("it is acknowledged", || leased(&endpoint) == 0).await;
}

#[tokio::test]
async fn what_waits_of_a_subscription_that_has_ended_is_left_to_others() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    let body = "x".repeat(1 << 20);
    let messages = vec![[body.as_str()]; 50];
    deliver(&endpoint, &messages.iter().map(|frames| &frames[..]).collect::<Vec<_>>());
    until("some is written", || leased(&endpoint) < 50).await;
    let (peer, subscription) = endpoint.model.with(|state| state.subscribers[0].clone());
    peer.ended(subscription, ErrorReply::new(ErrorCode::Unavailable, "the leader has changed"));
    until("it subscribes again", || endpoint.model.with(|state| state.subscribers.len() == 2)).await;
    deliver(&endpoint, &[&["end"]]);
    let mut before = 0;
    while worker.receive().await != ["end"] {
        before += 1;
    }
    assert!(before < 40, "{before} of 50 messages came although they were ready for others");
}

#[tokio::test]
async fn a_node_that_stops_acknowledges_what_it_has_written() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    endpoint.model.with(|state| state.holds = true);
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
    until("it is under way", || endpoint.model.with(|state| state.held.len() == 1)).await;
    // Written, and to be acknowledged after the other.
    deliver(&endpoint, &[&["b"]]);
    assert_eq!(worker.receive().await, ["b"]);
    endpoint.stop.cancel();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(endpoint.model.with(|state| state.ties), 1, "it waits for what is under way");
    endpoint.model.release();
    endpoint.listening.stopped().await;
    assert_eq!(leased(&endpoint), 0);
}

#[tokio::test]
async fn what_a_pull_socket_sends_is_counted_and_read_no_further() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    let mut worker = worker(&endpoint).await;
    worker.send(&["hello"]).await;
    endpoint.dropped(Reason::Malformed, 1).await;
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
}

#[tokio::test]
async fn a_worker_that_answers_no_ping_is_slow_and_not_gone() {
    let mut limits = Limits::default();
    limits.heartbeat_interval = Duration::from_millis(5);
    limits.heartbeat_timeout = Duration::from_millis(20);
    let endpoint = start(Acknowledge::OnWrite, limits);
    let mut worker = worker(&endpoint).await;
    // sleep: it is to be silent for long.
    tokio::time::sleep(Duration::from_millis(200)).await;
    deliver(&endpoint, &[&["a"]]);
    assert_eq!(worker.receive().await, ["a"]);
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn only_pull_sockets_may_connect() {
    let endpoint = endpoint(Acknowledge::OnWrite);
    for (nth, socket_type) in ["DEALER", "SUB", "PUSH"].into_iter().enumerate() {
        let mut peer = endpoint.peer(socket_type).await;
        let Some(Item::Command(error)) = peer.item().await else { panic!("no ERROR for {socket_type}") };
        assert!(error.starts_with(b"\x05ERROR"));
        peer.closed().await;
        endpoint.dropped(Reason::SocketType, nth as u64 + 1).await;
    }
    assert_eq!(endpoint.model.with(|state| state.submitted), 0);
}

/// An endpoint that acknowledges what it has written, and Ada, who has subscribed.
async fn ada_pulls() -> (Arc<Gate>, Endpoint, Raw) {
    let gate = gate("");
    let queue = DestinationName::new("jobs").unwrap();
    let kind = EndpointKind::Egress { queue, acknowledge: Acknowledge::OnWrite, prefetch: PREFETCH };
    let endpoint = plain_endpoint(kind, &gate);
    let ada = enter_as(&endpoint, "PULL", "ada", "secret").await.unwrap();
    until("it subscribes", || credit(&endpoint) == PREFETCH).await;
    (gate, endpoint, ada)
}

#[tokio::test]
async fn whoever_may_not_consume_any_more_is_cut_off_and_gets_nothing_more() {
    for (after, reason) in [
        (rules("{ who: ada, destinations: other, allow: [consume] }"), Reason::Forbidden),
        (SecurityConfig::default(), Reason::Revoked),
    ] {
        let (gate, endpoint, mut ada) = ada_pulls().await;
        deliver(&endpoint, &[&["before"]]);
        assert_eq!(ada.receive().await, ["before"]);
        until("it is acknowledged", || leased(&endpoint) == 0).await;
        gate.replace(rules("{ who: ada, destinations: jobs, allow: [consume] }"));
        deliver(&endpoint, &[&["still"]]);
        assert_eq!(ada.receive().await, ["still"]);
        gate.replace(after);
        // Delivered before or after its session has heard of it.
        deliver(&endpoint, &[&["after"]]);
        assert_eq!(ada.item().await, None, "it gets nothing more");
        endpoint.dropped(reason, 1).await;
        match enter_as(&endpoint, "PULL", "ada", "secret").await {
            Some(mut again) => {
                again.closed().await;
                endpoint.dropped(Reason::Forbidden, 2).await;
            }
            None => endpoint.dropped(Reason::Credentials, 1).await,
        }
        until("its subscription is gone", || endpoint.model.with(|state| state.ties == 0)).await;
    }
}

#[tokio::test]
async fn what_was_written_before_its_worker_was_cut_off_is_acknowledged() {
    for after in [rules("{ who: ada, destinations: other, allow: [consume] }"), SecurityConfig::default()] {
        let (gate, endpoint, mut ada) = ada_pulls().await;
        endpoint.model.with(|state| state.holds = true);
        // The second is acknowledged when the first is.
        for word in ["one", "two"] {
            deliver(&endpoint, &[&[word]]);
            assert_eq!(ada.receive().await, [word]);
            until("the first is under way", || endpoint.model.with(|state| state.held.len() == 1)).await;
        }
        gate.replace(after);
        let is_cut_off = || endpoint.listening.drops.snapshot().len() == 1;
        until("it is cut off", is_cut_off).await;
        endpoint.model.release();
        ada.closed().await;
        until("its subscription is gone", || endpoint.model.with(|state| state.ties == 0)).await;
        assert_eq!(
            endpoint.model.with(|state| (state.leased.len(), state.ready.len())),
            (0, 0),
            "both are done"
        );
    }
}
