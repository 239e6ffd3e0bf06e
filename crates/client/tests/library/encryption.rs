//! End-to-end encryption through a node.

use bytes::Bytes;
use swarmmq::protocol::request::Verdict;
use swarmmq::{Error, KEY_ID_HEADER, Key, KeyRing, Message};

use crate::producer::orders;
use crate::soon;

fn key(id: &str, byte: u8) -> Key {
    Key::new(id, [byte; 32]).unwrap()
}

#[tokio::test]
async fn the_node_sees_no_plaintext_and_the_consumer_does() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).encryption(KeyRing::new(key("k1", 1))).build();
    producer.send(Message::new("top secret").header("kind", "order")).await.unwrap();
    let held = node.world().messages(&orders).remove(0);
    assert!(!held.payload.windows(6).any(|window| window == b"secret"));
    assert_eq!(held.header_value(KEY_ID_HEADER), Some(&Bytes::from("k1")));
    let rotated = KeyRing::new(key("k1", 1)).with(key("k2", 2));
    let mut consumer = client.consumer(&orders).encryption(rotated.clone()).build().await.unwrap();
    let delivered = soon("a message", consumer.next()).await.unwrap().unwrap();
    assert_eq!(delivered.message(), &Message::new("top secret").header("kind", "order"));
    soon("the answer", delivered.ack()).await.unwrap();
    let producer = client.producer(&orders).encryption(rotated).build();
    producer.send(Message::new("next")).await.unwrap();
    assert_eq!(node.world().messages(&orders)[1].header_value(KEY_ID_HEADER).unwrap(), "k2");
    let delivered = soon("a message", consumer.next()).await.unwrap().unwrap();
    assert_eq!(delivered.message().payload, "next");
}

#[tokio::test]
async fn a_message_that_cannot_be_decrypted_is_an_error_and_the_next_goes_on() {
    let (node, client, orders) = orders().await;
    let (good, bad) = (KeyRing::new(key("k1", 1)), KeyRing::new(key("k9", 9)));
    client.producer(&orders).encryption(bad).build().send(Message::new("for others")).await.unwrap();
    client.producer(&orders).build().send(Message::new("plain")).await.unwrap();
    client.producer(&orders).encryption(good.clone()).build().send(Message::new("ours")).await.unwrap();
    let builder = client.consumer(&orders).credit(1).encryption(good).reject_undecryptable(true);
    let mut consumer = builder.build().await.unwrap();
    let error = soon("an error", consumer.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Encryption(_)), "{error}");
    assert!(error.to_string().contains("k9"), "{error}");
    let error = soon("an error", consumer.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("not encrypted"), "{error}");
    let delivered = soon("a message", consumer.next()).await.unwrap().unwrap();
    assert_eq!(delivered.message().payload, "ours");
    let settled = node.world().settled(&orders);
    assert!(matches!(&settled[&1], Verdict::Reject { reason } if reason.contains("k9")));
    assert!(matches!(&settled[&2], Verdict::Reject { .. }));
}

#[tokio::test]
async fn without_being_told_so_nothing_is_rejected() {
    let (node, client, orders) = orders().await;
    client.producer(&orders).build().send(Message::new("plain")).await.unwrap();
    let builder = client.consumer(&orders).encryption(KeyRing::new(key("k1", 1)));
    let mut consumer = builder.build().await.unwrap();
    soon("an error", consumer.next()).await.unwrap().unwrap_err();
    soon("the close", consumer.close()).await;
    assert!(node.world().settled(&orders).is_empty());
}
