//! Subscriptions and topics that are long, deep, or many.

use swarmmq_broker::exchange::PubSubLimits;
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::AsyncWriteExt;

use crate::raw::{Endpoint, Item, Raw, frame, message};

fn proxy(limits: PubSubLimits) -> Endpoint {
    Endpoint::two_sided(EndpointKind::PubSub { limits }, Limits::default())
}

/// A SUBSCRIBE command, long enough for any prefix.
fn subscribe(prefix: &[u8]) -> Vec<u8> {
    let body = [b"\x09SUBSCRIBE", prefix].concat();
    let mut bytes = frame(&body, false);
    bytes[0] |= 4;
    bytes
}

/// Publications reach a subscriber of `news`.
async fn still_publishes(publisher: &mut Raw, reader: &mut Raw) {
    publisher.send(&["news", "x"]).await;
    assert_eq!(reader.receive().await, ["news", "x"]);
}

async fn reader(endpoint: &Endpoint, publisher: &mut Raw) -> Raw {
    let mut reader = endpoint.back_peer("SUB", b"").await;
    reader.stream.write_all(&subscribe(b"news")).await.unwrap();
    assert!(matches!(publisher.item().await, Some(Item::Command(_))), "the subscription has arrived");
    reader
}

#[tokio::test]
async fn a_prefix_that_is_too_long_ends_its_connection() {
    let endpoint = proxy(PubSubLimits::default());
    let mut publisher = endpoint.peer("XPUB").await;
    let mut reader = reader(&endpoint, &mut publisher).await;
    let mut deep = endpoint.back_peer("SUB", b"").await;
    let _ = deep.stream.write_all(&subscribe(&b"a/".repeat(4096))).await;
    deep.closed().await;
    endpoint.dropped(Reason::LimitReached, 1).await;
    endpoint.dropped(Reason::Disconnected, 1).await;
    still_publishes(&mut publisher, &mut reader).await;
}

#[tokio::test]
async fn prefixes_beyond_the_bytes_of_a_subscriber_or_of_all_end_the_connection_that_brings_them() {
    let one = PubSubLimits { subscription_bytes_max: 100_000, ..PubSubLimits::default() };
    let all = PubSubLimits { subscription_bytes_total_max: 100_000, ..PubSubLimits::default() };
    for limits in [one, all] {
        let endpoint = proxy(limits);
        let mut publisher = endpoint.peer("PUB").await;
        let mut reader = reader(&endpoint, &mut publisher).await;
        let mut deep = endpoint.back_peer("SUB", b"").await;
        let mut all = Vec::new();
        for nth in 0..40 {
            all.extend(subscribe(&[format!("{nth}/").as_bytes(), &b"d/".repeat(1500)].concat()));
        }
        let _ = deep.stream.write_all(&all).await;
        deep.closed().await;
        endpoint.dropped(Reason::LimitReached, 1).await;
        endpoint.dropped(Reason::Disconnected, 1).await;
        still_publishes(&mut publisher_after(&endpoint, publisher).await, &mut reader).await;
    }
}

/// The same publisher, or another: what it was told in between is of no interest.
async fn publisher_after(endpoint: &Endpoint, old: Raw) -> Raw {
    drop(old);
    endpoint.peer("PUB").await
}

#[tokio::test]
async fn a_topic_as_long_as_a_message_is_matched_without_harm() {
    let endpoint = proxy(PubSubLimits { last_values: true, ..PubSubLimits::default() });
    let mut publisher = endpoint.peer("PUB").await;
    let mut reader = endpoint.back_peer("SUB", b"").await;
    for depth in [1, 100, 2000] {
        reader.stream.write_all(&subscribe(&b"a/".repeat(depth))).await.unwrap();
    }
    let topic = b"a/".repeat(400_000);
    publisher.stream.write_all(&message(&[&topic, b"deep"])).await.unwrap();
    let Some(Item::Message(frames)) = reader.item().await else { panic!("it is not delivered") };
    assert_eq!((frames[0].len(), &frames[1][..]), (topic.len(), &b"deep"[..]));
}
