//! A proxy between publishers and subscribers.

use std::collections::BTreeSet;

use swarmmq_broker::exchange::PubSubLimits;
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Endpoint, Item, Raw, command, greeting, message, ready, until};

fn proxy(last_values: bool) -> Endpoint {
    limited(PubSubLimits { last_values, ..PubSubLimits::default() }, Limits::default())
}

fn limited(limits: PubSubLimits, common: Limits) -> Endpoint {
    Endpoint::two_sided(EndpointKind::PubSub { limits }, common)
}

fn subscription(name: &str, prefix: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[length], name.as_bytes(), prefix.as_bytes()].concat()
}

/// A subscriber whose subscription has arrived: the publisher was told of it.
async fn subscriber(endpoint: &Endpoint, publisher: &mut Raw, prefix: &str) -> Raw {
    let mut subscriber = endpoint.back_peer("SUB", b"").await;
    subscriber.stream.write_all(&command(&subscription("SUBSCRIBE", prefix))).await.unwrap();
    assert_eq!(publisher.item().await, Some(Item::Command(subscription("SUBSCRIBE", prefix))));
    subscriber
}

#[tokio::test]
async fn publications_reach_who_subscribed_and_publishers_hear_of_subscriptions() {
    let endpoint = proxy(false);
    let mut publisher = endpoint.peer("XPUB").await;
    let mut one = subscriber(&endpoint, &mut publisher, "news.").await;
    let mut other = subscriber(&endpoint, &mut publisher, "").await;
    publisher.send(&["weather", "rain"]).await;
    publisher.send(&["news.", "a", "b"]).await;
    assert_eq!(other.receive().await, ["weather", "rain"]);
    assert_eq!(other.receive().await, ["news.", "a", "b"]);
    assert_eq!(one.receive().await, ["news.", "a", "b"]);
    one.stream.write_all(&command(&subscription("CANCEL", "news."))).await.unwrap();
    assert_eq!(publisher.item().await, Some(Item::Command(subscription("CANCEL", "news."))));
    drop(other);
    assert_eq!(publisher.item().await, Some(Item::Command(subscription("CANCEL", ""))));
    publisher.send(&["news.", "c"]).await;
    endpoint.dropped(Reason::Unwanted, 1).await;
}

/// A peer of ZMTP 3.0.
async fn old_peer(mut stream: tokio::net::TcpStream, socket_type: &str) -> Raw {
    let mut hello = greeting("NULL");
    hello[11] = 0;
    stream.write_all(&hello).await.unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream.write_all(&ready(socket_type, b"")).await.unwrap();
    let mut peer = Raw { stream };
    assert!(matches!(peer.item().await, Some(Item::Command(_))));
    peer
}

#[tokio::test]
async fn peers_of_zmtp_3_0_subscribe_and_are_told_by_messages() {
    let endpoint = proxy(false);
    let mut old = old_peer(endpoint.tcp().await, "PUB").await;
    let mut new = endpoint.peer("PUB").await;
    let mut subscriber = endpoint.back_peer("XSUB", b"").await;
    subscriber.stream.write_all(&message(&[b"\x01a"])).await.unwrap();
    assert_eq!(old.item().await, Some(Item::Message(vec![b"\x01a".to_vec()])));
    assert_eq!(new.item().await, Some(Item::Command(subscription("SUBSCRIBE", "a"))));
    old.send(&["ab", "1"]).await;
    assert_eq!(subscriber.receive().await, ["ab", "1"]);
    // Anything else is for the publishers.
    subscriber.send(&["to you", "all"]).await;
    assert_eq!(old.receive().await, ["to you", "all"]);
    assert_eq!(new.receive().await, ["to you", "all"]);
    subscriber.stream.write_all(&message(&[b"\0a"])).await.unwrap();
    assert_eq!(old.item().await, Some(Item::Message(vec![b"\0a".to_vec()])));
}

#[tokio::test]
async fn a_late_subscriber_gets_last_values_and_then_updates() {
    let endpoint = proxy(true);
    let mut publisher = endpoint.peer("PUB").await;
    assert_eq!(publisher.item().await, Some(Item::Command(subscription("SUBSCRIBE", ""))));
    for (topic, value) in [("a.x", "1"), ("b", "1"), ("a.y", "1"), ("a.x", "2")] {
        publisher.send(&[topic, value]).await;
    }
    // What it subscribes to may arrive before what was published does.
    let mut witness = endpoint.back_peer("SUB", b"").await;
    witness.stream.write_all(&command(&subscription("SUBSCRIBE", ""))).await.unwrap();
    while witness.receive().await != ["a.x", "2"] {}
    // Two of the same prefix, and one of a topic.
    for _ in 0..2 {
        let mut late = endpoint.back_peer("SUB", b"").await;
        late.stream.write_all(&command(&subscription("SUBSCRIBE", "a."))).await.unwrap();
        assert_eq!(late.receive().await, ["a.y", "1"]);
        assert_eq!(late.receive().await, ["a.x", "2"]);
        for update in [["a.y", "1"], ["a.x", "2"]] {
            publisher.send(&update).await;
            assert_eq!(late.receive().await, update);
        }
    }
    let mut exact = endpoint.back_peer("SUB", b"").await;
    exact.stream.write_all(&command(&subscription("SUBSCRIBE", "b"))).await.unwrap();
    assert_eq!(exact.receive().await, ["b", "1"]);
}

#[tokio::test]
async fn last_values_that_do_not_fit_in_the_queue_are_all_sent() {
    const TOPICS: usize = 20_000;
    let mut common = Limits::default();
    common.peer_queue_messages_max = 100;
    let limits = PubSubLimits { last_values: true, ..PubSubLimits::default() };
    let endpoint = limited(limits, common);
    let mut publisher = endpoint.peer("PUB").await;
    for topic in 0..TOPICS {
        publisher.send(&[&format!("t{topic}"), "1"]).await;
    }
    publisher.send(&["last", "1"]).await;
    let mut witness = endpoint.back_peer("SUB", b"").await;
    witness.stream.write_all(&command(&subscription("SUBSCRIBE", "last"))).await.unwrap();
    witness.receive().await;
    let mut late = endpoint.back_peer("SUB", b"").await;
    late.stream.write_all(&command(&subscription("SUBSCRIBE", "t"))).await.unwrap();
    for topic in 0..TOPICS {
        assert_eq!(late.receive().await, [format!("t{topic}"), "1".to_owned()]);
    }
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_slows_nobody() {
    let mut common = Limits::default();
    common.peer_queue_messages_max = 100;
    common.send_queue_bytes = 1 << 20;
    let endpoint = limited(PubSubLimits::default(), common);
    let mut publisher = endpoint.peer("PUB").await;
    let _stalled = subscriber(&endpoint, &mut publisher, "").await;
    let mut quick = subscriber(&endpoint, &mut publisher, "a").await;
    let body = "x".repeat(100_000);
    for turn in 0..300 {
        publisher.send(&[&format!("a{turn}"), &body]).await;
        assert_eq!(quick.receive().await[0], format!("a{turn}"));
    }
    endpoint.dropped_at_least(Reason::QueueFull, 100).await;
}

#[tokio::test]
async fn a_burst_larger_than_a_queue_reaches_a_subscriber_that_reads() {
    const COUNT: usize = 50_000;
    let mut common = Limits::default();
    common.peer_queue_messages_max = 1_000;
    let endpoint = limited(PubSubLimits::default(), common);
    let mut publisher = endpoint.peer("PUB").await;
    let mut one = subscriber(&endpoint, &mut publisher, "").await;
    let mut other = subscriber(&endpoint, &mut publisher, "a").await;
    let burst: Vec<u8> =
        (0..COUNT).flat_map(|number| message(&[b"a", number.to_string().as_bytes()])).collect();
    publisher.stream.write_all(&burst).await.unwrap();
    for number in 0..COUNT {
        assert_eq!(one.receive().await[1], number.to_string());
        assert_eq!(other.receive().await[1], number.to_string());
    }
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn a_subscriber_beyond_its_limit_is_disconnected() {
    let limits = PubSubLimits { subscriptions_max: 2, ..PubSubLimits::default() };
    let endpoint = limited(limits, Limits::default());
    let mut publisher = endpoint.peer("PUB").await;
    let mut subscriber = subscriber(&endpoint, &mut publisher, "a").await;
    for prefix in ["b", "c"] {
        subscriber.stream.write_all(&command(&subscription("SUBSCRIBE", prefix))).await.unwrap();
    }
    subscriber.closed().await;
    endpoint.dropped(Reason::LimitReached, 1).await;
    endpoint.dropped(Reason::Disconnected, 1).await;
    assert_eq!(publisher.item().await, Some(Item::Command(subscription("SUBSCRIBE", "b"))));
    for _ in ["a", "b"] {
        let Some(Item::Command(told)) = publisher.item().await else { panic!("it was told nothing") };
        assert!(told.starts_with(b"\x06CANCEL"));
    }
}

#[tokio::test]
async fn each_side_has_its_socket_types() {
    let endpoint = proxy(false);
    for socket_type in ["SUB", "DEALER"] {
        let mut stream = endpoint.tcp().await;
        stream.write_all(&[greeting("NULL"), ready(socket_type, b"")].concat()).await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    }
    endpoint.dropped(Reason::SocketType, 2).await;
}

/// What a publisher takes to be subscribed to, once it has been told of `last`, which sorts behind all others.
async fn hear_of(wanted: &mut BTreeSet<Vec<u8>>, publisher: &mut Raw, last: &str) {
    while !wanted.contains(last.as_bytes()) {
        let Some(Item::Command(body)) = publisher.item().await else { panic!("no subscription") };
        match (body.strip_prefix(b"\x09SUBSCRIBE"), body.strip_prefix(b"\x06CANCEL")) {
            (Some(prefix), _) => assert!(wanted.insert(prefix.to_vec()), "it is told twice"),
            (_, Some(prefix)) => assert!(wanted.remove(prefix), "it is cancelled twice"),
            _ => panic!("{} is neither", body.escape_ascii()),
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_comes_back_with_thousands_of_subscriptions_misses_nothing_then() {
    let topics: Vec<String> = (0..5_000).map(|nth| format!("topic.{nth:04}")).collect();
    let endpoint = proxy(false);
    let mut publisher = endpoint.peer("XPUB").await;
    let mut wanted = BTreeSet::new();
    let mut before = None;
    for last in ["z.once", "z.gone before it comes", "z.gone after"] {
        if last == "z.gone before it comes" {
            drop(before.take());
            until("it is gone", || endpoint.listening.peers.count() == 1).await;
        }
        let mut subscriber = endpoint.back_peer("SUB", b"").await;
        let prefixes = topics.iter().map(String::as_str).chain([last]);
        let all: Vec<u8> = prefixes.flat_map(|prefix| command(&subscription("SUBSCRIBE", prefix))).collect();
        subscriber.stream.write_all(&all).await.unwrap();
        drop(before.take());
        hear_of(&mut wanted, &mut publisher, last).await;
        assert!(topics.iter().all(|topic| wanted.contains(topic.as_bytes())));
        until("the other is gone", || endpoint.listening.peers.count() == 2).await;
        for topic in &topics {
            publisher.send(&[topic, "x"]).await;
        }
        for topic in &topics {
            assert_eq!(subscriber.receive().await, [topic.as_str(), "x"]);
        }
        before = Some(subscriber);
    }
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}
