//! Subscribers, and publishers that lose messages and are late.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use omq_tokio::SocketType;
use swarmmq::zeromq::{
    Continuity, OmqConnector, SocketError, SubscribeError, Subscriber, SubscriberOptions, TimestampFormat,
    Update,
};

use crate::peer::{Peer, frames};
use crate::soon;

async fn subscriber(publisher: &Peer, options: SubscriberOptions) -> Subscriber<OmqConnector> {
    let connector = OmqConnector::subscriber([publisher.address()]).unwrap();
    Subscriber::connect(connector, options).await.unwrap()
}

async fn publisher() -> Peer {
    Peer::bind(SocketType::XPub, "tcp://127.0.0.1:0").await
}

/// Waits until the publisher knows of a subscription to `prefix`, or of its end.
async fn told(publisher: &Peer, what: u8, prefix: &[u8]) {
    let message = publisher.recv("a subscription").await;
    assert_eq!(message, frames(&[&[&[what], prefix].concat()]));
}

async fn next(subscriber: &mut Subscriber<OmqConnector>) -> Update {
    soon("a message", subscriber.recv()).await.unwrap()
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test]
async fn a_subscriber_tells_what_it_missed_and_keeps_what_came_last() {
    let publisher = publisher().await;
    let mut subscriber = subscriber(&publisher, SubscriberOptions::default().numbered()).await;
    subscriber.subscribe("price.").await.unwrap();
    told(&publisher, 1, b"price.").await;
    for (sequence, value) in [(4_u64, "a"), (5, "b"), (5, "b"), (9, "c"), (1, "d")] {
        publisher.send(frames(&[b"price.tea", &sequence.to_be_bytes(), value.as_bytes()])).await;
    }
    publisher.send(frames(&[b"price.bad", b"no number"])).await;
    publisher.send(frames(&[b"price.end", &1_u64.to_be_bytes()])).await;
    for (sequence, value, continuity) in [
        (4, "a", Continuity::First),
        (5, "b", Continuity::Next),
        (9, "c", Continuity::Gap { missing: 3 }),
        (1, "d", Continuity::Restarted),
    ] {
        let update = next(&mut subscriber).await;
        assert_eq!(update.topic, "price.tea");
        assert_eq!((update.sequence, update.continuity), (Some(sequence), continuity));
        assert_eq!(update.payload, frames(&[value.as_bytes()]));
    }
    let malformed = soon("an error", subscriber.recv()).await.unwrap_err();
    assert_eq!(malformed.to_string(), "a message of the topic price.bad has no sequence of eight bytes");
    assert_eq!(next(&mut subscriber).await.topic, "price.end");
    assert_eq!(subscriber.last_value("price.tea"), Some(&frames(&[b"d"])[..]));
    let empty: &[Bytes] = &[];
    let known: Vec<_> = subscriber.last_values().map(|(topic, value)| (topic.clone(), value)).collect();
    assert_eq!(known, [(Bytes::from("price.end"), empty), (Bytes::from("price.tea"), &frames(&[b"d"])[..]),]);
}

#[tokio::test]
async fn a_prefix_that_was_asked_for_twice_is_taken_back_twice() {
    let publisher = publisher().await;
    let mut subscriber = subscriber(&publisher, SubscriberOptions::default()).await;
    subscriber.subscribe("a").await.unwrap();
    subscriber.subscribe("a").await.unwrap();
    told(&publisher, 1, b"a").await;
    publisher.send(frames(&[b"ab", b"1"])).await;
    assert_eq!(next(&mut subscriber).await.continuity, Continuity::Unknown);
    subscriber.unsubscribe("a").await.unwrap();
    publisher.send(frames(&[b"ab", b"2"])).await;
    assert_eq!(next(&mut subscriber).await.payload, frames(&[b"2"]));
    assert!(subscriber.last_value("ab").is_some());
    subscriber.unsubscribe("a").await.unwrap();
    told(&publisher, 0, b"a").await;
    assert_eq!(subscriber.last_value("ab"), None);
    subscriber.unsubscribe("never").await.unwrap();
}

#[tokio::test]
async fn a_subscriber_ends_itself_with_the_first_message_that_is_too_old() {
    let publisher = publisher().await;
    let limit = Duration::from_secs(60);
    let options = SubscriberOptions::default().age_max(limit, TimestampFormat::BinaryMillis);
    let mut subscriber = subscriber(&publisher, options).await;
    subscriber.subscribe("").await.unwrap();
    told(&publisher, 1, b"").await;
    let made_ms = wall_ms();
    publisher.send(frames(&[b"a", &made_ms.to_be_bytes(), b"new"])).await;
    publisher.send(frames(&[b"a", &(made_ms + 999_999).to_be_bytes(), b"of a clock that is ahead"])).await;
    publisher.send(frames(&[b"a", &(made_ms - 61_000).to_be_bytes(), b"old"])).await;
    publisher.send(frames(&[b"a", &made_ms.to_be_bytes(), b"new again"])).await;
    let update = next(&mut subscriber).await;
    assert_eq!((update.made_ms, update.payload), (Some(made_ms), frames(&[b"new"])));
    next(&mut subscriber).await;
    for _ in 0..2 {
        let SubscribeError::TooOld(too_old) = soon("the end", subscriber.recv()).await.unwrap_err() else {
            panic!()
        };
        assert_eq!(too_old.limit_ms, 60_000);
        assert!((61_000..81_000).contains(&too_old.age_ms));
    }
    assert!(matches!(subscriber.subscribe("b").await, Err(SubscribeError::TooOld(_))));
    publisher.deserted().await;
}

#[tokio::test]
async fn the_publisher_of_the_guide_is_understood() {
    let publisher = publisher().await;
    let options = SubscriberOptions::default()
        .age_max(Duration::from_secs(60), TimestampFormat::TextMillis)
        .timestamp_is_topic();
    let mut subscriber = subscriber(&publisher, options).await;
    subscriber.subscribe("").await.unwrap();
    told(&publisher, 1, b"").await;
    publisher.send(frames(&[wall_ms().to_string().as_bytes()])).await;
    publisher.send(frames(&[b"17"])).await;
    assert!(next(&mut subscriber).await.made_ms.is_some());
    assert_eq!(subscriber.last_values().count(), 0);
    assert!(matches!(soon("the end", subscriber.recv()).await, Err(SubscribeError::TooOld(_))));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    for bad in [&[][..], &["localhost:5555"], &["tcp://"], &["smoke://signals"]] {
        let error = OmqConnector::dealer(bad).unwrap_err();
        assert!(matches!(error, SocketError::Configuration(_)), "{error}");
    }
}
