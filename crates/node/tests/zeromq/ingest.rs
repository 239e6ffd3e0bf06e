//! Ingest endpoints.

use std::time::Duration;

use bytes::Bytes;
use swarmmq_node::config::SecurityConfig;
use swarmmq_node::zeromq::{EndpointKind, Limits, Multipart, Reason};
use swarmmq_protocol::zeromq::ingest::to_frames;
use swarmmq_protocol::{DestinationName, ErrorCode};
use tokio::io::AsyncWriteExt;

use crate::plain::{enter_as, gate, plain_endpoint, rules};
use crate::raw::{Endpoint, Item, message, until};

fn kind(multipart: Multipart) -> EndpointKind {
    EndpointKind::Ingest { queue: DestinationName::new("events").unwrap(), multipart }
}

fn endpoint() -> Endpoint {
    Endpoint::start(kind(Multipart::Keep), Limits::default())
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|number| Bytes::from(number.to_string())).collect()
}

#[tokio::test]
async fn what_is_pushed_is_stored_in_order_even_if_the_peer_goes_at_once() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("PUSH").await;
    let bytes: Vec<u8> =
        (0..20_000_u32).flat_map(|number| message(&[number.to_string().as_bytes()])).collect();
    peer.stream.write_all(&bytes).await.unwrap();
    peer.stream.shutdown().await.unwrap();
    until("all are stored", || endpoint.model.with(|state| state.stored.len() == 20_000)).await;
    assert_eq!(endpoint.model.payloads(), numbers(0..20_000));
    assert!(endpoint.model.with(|state| state.submitted < 2000), "messages that come together are one put");
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn what_was_read_of_a_peer_that_went_is_stored_when_the_queue_takes_it() {
    let endpoint = endpoint();
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::Unavailable));
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["x"]).await;
    until("it is tried", || endpoint.model.with(|state| state.refused >= 1)).await;
    peer.send(&["y"]).await;
    drop(peer);
    until("it is tried again", || endpoint.model.with(|state| state.refused >= 4)).await;
    endpoint.model.with(|state| state.refuses = None);
    until("both are stored", || endpoint.model.with(|state| state.stored.len() == 2)).await;
    assert_eq!(endpoint.model.payloads(), ["x", "y"]);
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn the_frames_of_a_message_are_kept() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["topic", "", "body"]).await;
    until("it is stored", || endpoint.model.with(|state| state.stored.len() == 1)).await;
    let stored = endpoint.model.with(|state| state.stored[0].decode().unwrap());
    assert_eq!(to_frames(&stored).unwrap(), ["topic", "", "body"].map(Bytes::from));
}

#[tokio::test]
async fn an_endpoint_may_refuse_messages_of_several_frames() {
    let endpoint = Endpoint::start(kind(Multipart::Refuse), Limits::default());
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["topic", "body"]).await;
    peer.send(&["alone"]).await;
    until("it is stored", || endpoint.model.with(|state| state.stored.len() == 1)).await;
    assert_eq!(endpoint.listening.drops.snapshot(), [(Reason::Multipart, 1)]);
}

#[tokio::test]
async fn what_the_queue_takes_later_is_kept_in_order_and_the_peer_waits() {
    let limits = {
        let mut limits = Limits::default();
        limits.receive_queue_bytes = 100_000;
        limits
    };
    let endpoint = Endpoint::start(kind(Multipart::Keep), limits);
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::DestinationFull));
    let mut peer = endpoint.peer("PUSH").await;
    let pushed = tokio::spawn(async move {
        for number in 0..3000_u32 {
            let padded = format!("{number:0>10000}");
            peer.stream.write_all(&message(&[padded.as_bytes()])).await.unwrap();
        }
        peer
    });
    until("it was tried again", || endpoint.model.with(|state| state.refused >= 3)).await;
    assert!(!pushed.is_finished(), "30 MB cannot be pushed into a node that holds 100 KB");
    endpoint.model.with(|state| state.refuses = None);
    let _peer = pushed.await.unwrap();
    until("all are stored", || endpoint.model.with(|state| state.stored.len() == 3000)).await;
    let stored: Vec<u32> = endpoint
        .model
        .payloads()
        .iter()
        .map(|payload| std::str::from_utf8(payload).unwrap().parse().unwrap())
        .collect();
    assert_eq!(stored, (0..3000).collect::<Vec<_>>());
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted() {
    let endpoint = endpoint();
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::TooLarge));
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["x"]).await;
    endpoint.dropped(Reason::Refused, 1).await;
}

#[tokio::test]
async fn what_is_too_large_is_counted_and_the_next_one_stored() {
    let mut limits = Limits::default();
    limits.message_bytes_max = 100;
    let endpoint = Endpoint::start(kind(Multipart::Keep), limits);
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&[&"x".repeat(101)]).await;
    peer.send(&["small"]).await;
    until("it is stored", || endpoint.model.with(|state| state.stored.len() == 1)).await;
    assert_eq!(endpoint.listening.drops.snapshot(), [(Reason::TooLarge, 1)]);
}

#[tokio::test]
async fn a_node_that_stops_counts_what_it_read_and_could_not_store() {
    let mut limits = Limits::default();
    limits.drain_timeout = Duration::from_millis(50);
    let endpoint = Endpoint::start(kind(Multipart::Keep), limits);
    endpoint.model.with(|state| state.holds = true);
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["x"]).await;
    until("it is under way", || endpoint.model.with(|state| state.submitted == 1)).await;
    endpoint.stop.cancel();
    endpoint.listening.stopped().await;
    assert_eq!(endpoint.listening.drops.snapshot(), [(Reason::Unconfirmed, 1)]);
}

#[tokio::test]
async fn a_node_that_stops_waits_for_what_is_under_way() {
    let endpoint = endpoint();
    endpoint.model.with(|state| state.holds = true);
    let mut peer = endpoint.peer("PUSH").await;
    peer.send(&["x"]).await;
    until("it is under way", || endpoint.model.with(|state| state.submitted == 1)).await;
    endpoint.stop.cancel();
    endpoint.model.release();
    endpoint.listening.stopped().await;
    assert_eq!(endpoint.listening.drops.snapshot(), []);
    assert_eq!(endpoint.model.payloads(), ["x"]);
}

#[tokio::test]
async fn only_push_sockets_may_connect() {
    let endpoint = endpoint();
    for (nth, socket_type) in ["DEALER", "PUB", "PULL"].into_iter().enumerate() {
        let mut peer = endpoint.peer(socket_type).await;
        let Some(Item::Command(error)) = peer.item().await else { panic!("no ERROR for {socket_type}") };
        assert!(error.starts_with(b"\x05ERROR"));
        peer.closed().await;
        endpoint.dropped(Reason::SocketType, nth as u64 + 1).await;
    }
}

#[tokio::test]
async fn whoever_may_not_produce_any_more_is_cut_off_and_what_it_sent_before_stays() {
    for (after, reason) in [
        (rules("{ who: ada, destinations: other, allow: [produce] }"), Reason::Forbidden),
        (SecurityConfig::default(), Reason::Revoked),
    ] {
        let gate = gate("");
        let endpoint = plain_endpoint(kind(Multipart::Keep), &gate);
        let mut ada = enter_as(&endpoint, "PUSH", "ada", "secret").await.unwrap();
        ada.send(&["before"]).await;
        until("it is stored", || endpoint.model.with(|state| state.stored.len() == 1)).await;
        gate.replace(rules("{ who: ada, destinations: events, allow: [produce] }"));
        ada.send(&["still"]).await;
        until("it is stored", || endpoint.model.with(|state| state.stored.len() == 2)).await;
        gate.replace(after);
        ada.closed().await;
        endpoint.dropped(reason, 1).await;
        let _ = ada.stream.write_all(&message(&[b"after"])).await;
        match enter_as(&endpoint, "PUSH", "ada", "secret").await {
            Some(mut again) => {
                again.closed().await;
                endpoint.dropped(Reason::Forbidden, 2).await;
            }
            None => endpoint.dropped(Reason::Credentials, 1).await,
        }
        until("its session is gone", || endpoint.model.with(|state| state.ties == 0)).await;
        assert_eq!(endpoint.model.payloads(), ["before", "still"]);
    }
}

#[tokio::test]
async fn what_was_read_before_its_sender_was_cut_off_is_stored_and_the_cut_is_counted_once() {
    for (after, reason) in [
        (rules("{ who: ada, destinations: other, allow: [produce] }"), Reason::Forbidden),
        (SecurityConfig::default(), Reason::Revoked),
    ] {
        let gate = gate("");
        let endpoint = plain_endpoint(kind(Multipart::Keep), &gate);
        endpoint.model.with(|state| state.refuses = Some(ErrorCode::Overloaded));
        let mut ada = enter_as(&endpoint, "PUSH", "ada", "secret").await.unwrap();
        ada.send(&["before"]).await;
        until("it is tried", || endpoint.model.with(|state| state.refused > 0)).await;
        gate.replace(after);
        endpoint.dropped(reason, 1).await;
        // Whatever else changes while it ends.
        gate.replace(SecurityConfig::default());
        endpoint.model.with(|state| state.refuses = None);
        ada.closed().await;
        assert_eq!(endpoint.model.payloads(), ["before"]);
        assert_eq!(endpoint.listening.drops.snapshot(), [(reason, 1)]);
    }
}
