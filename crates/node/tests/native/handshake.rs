//! Before a peer is welcome.

use std::time::Duration;

use swarmmq_node::native::NativeOptions;
use swarmmq_protocol::ErrorCode;
use swarmmq_protocol::native::{Credential, Frame, Hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, destination, encoded, hello, hello_with, put};

/// The digest of "key".
const KEYS: &str =
    "api_keys: [{ name: ada, sha256: 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683 }]";

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_told_what_it_looks_like() {
    let cases: [(&[u8], &str, &str); 5] = [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "http", "looks like HTTP"),
        (&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f], "zmtp", "looks like ZeroMQ"),
        (&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc], "tls", "looks like TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "unknown_protocol", "begins with a Hello"),
        (&[0, 0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "first_frame", "must be a Hello"),
    ];
    for (bytes, reason, text) in cases {
        let node = Node::new(NativeOptions::default(), FakeShards::default());
        let mut client = Client::new(node.connect(1 << 12));
        client.send_bytes(bytes).await;
        let error = client.goodbye().await;
        assert_eq!(error.code, ErrorCode::Malformed, "{reason}");
        assert!(error.explanation.contains(text), "{reason}: {}", error.explanation);
        drop(client);
        node.shared.emptied().await;
        assert_eq!(node.shared.counters().refused_total(reason), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_hello_with_a_wrong_magic_or_that_is_too_long_is_refused() {
    let mut wrong = encoded(0, &Frame::Hello(hello()));
    wrong[16] = b'X';
    let mut long = encoded(0, &Frame::Hello(hello()));
    long[2..4].copy_from_slice(&4093_u16.to_be_bytes());
    for (bytes, reason) in [(wrong, "malformed_hello"), (long, "native")] {
        let node = Node::new(NativeOptions::default(), FakeShards::default());
        let mut client = Client::new(node.connect(1 << 12));
        client.send_bytes(&bytes).await;
        assert_eq!(client.goodbye().await.code, ErrorCode::Malformed);
        drop(client);
        node.shared.emptied().await;
        assert_eq!(node.shared.counters().refused_total(reason), 1, "{reason}");
    }
}

#[tokio::test]
async fn versions_are_negotiated() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let say = |version_min, version_max| Frame::Hello(Hello { version_min, version_max, ..hello() });
    let mut newer = Client::new(node.connect(1 << 12));
    newer.send(0, say(1, 9)).await;
    assert!(matches!(newer.receive().await, Some((0, Frame::Welcome(welcome))) if welcome.version == 1));
    for (min, max) in [(2, 9), (0, 0), (9, 1)] {
        let mut client = Client::new(node.connect(1 << 12));
        client.send(0, say(min, max)).await;
        assert_eq!(client.goodbye().await.code, ErrorCode::UnsupportedVersion, "{min} to {max}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_slow_to_say_hello_is_closed_in_time() {
    for said in [0, 3, 16, 20] {
        let node = Node::with(|options| options.handshake = Duration::from_secs(5));
        let mut client = node.connect(1 << 12);
        let start = Instant::now();
        client.write_all(&encoded(0, &Frame::Hello(hello()))[..said]).await.unwrap();
        assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 0, "closed without a word after {said} bytes");
        assert_eq!(start.elapsed().as_secs(), 5);
        node.shared.emptied().await;
        assert_eq!(node.shared.counters().refused_total("handshake_timeout"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_its_goodbye_is_closed_in_time() {
    let node = Node::new(NativeOptions::default(), FakeShards::default());
    let mut client = node.connect(8);
    client.write_all(b"GET / HT").await.unwrap();
    let start = Instant::now();
    node.shared.emptied().await;
    assert!(start.elapsed() <= Duration::from_secs(5));
    drop(client);
}

#[tokio::test]
async fn a_key_that_is_taken_out_ends_its_sessions_and_no_others() {
    let text = |keys: &str| {
        format!(
            "security: {{ {KEYS}, permissions: [{{ who: {keys}, destinations: '*', allow: [produce] }}] }}"
        )
    };
    let node = Node::configured(&text("'*'"));
    let mut client = Client::new(node.connect_from("127.0.0.1:1", 1 << 12));
    client.send(0, hello_with("key")).await;
    assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
    let same = swarmmq_node::config::parse(&text("'*'")).unwrap().security;
    assert!(!node.gate.replace(same), "nothing has changed");
    client.request(1, put(100)).await;
    assert_eq!(client.reply().await.0, 1);
    node.gate.replace(swarmmq_node::config::parse("").unwrap().security);
    assert_eq!(client.goodbye().await.code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn only_who_has_a_key_is_welcome_where_keys_are_configured() {
    let all = "permissions: [{ who: '*', destinations: '*', allow: [produce] }]";
    let node = Node::configured(&format!("security: {{ {KEYS}, {all} }}"));
    for peer in ["127.0.0.1:1", "10.0.0.1:1"] {
        let mut client = Client::new(node.connect_from(peer, 1 << 12));
        client.send(0, hello_with("key")).await;
        assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
        client.request(1, put(100)).await;
        assert_eq!(client.reply().await.0, 1);
        for wrong in [hello_with("kez"), hello_with(""), Frame::Hello(hello())] {
            let mut client = Client::new(node.connect_from(peer, 1 << 12));
            client.send(0, wrong).await;
            client.request(1, put(100)).await;
            let error = client.goodbye().await;
            assert_eq!(error.code, ErrorCode::Unauthenticated);
            assert!(!error.explanation.contains("kez"));
        }
    }
    assert_eq!(node.gate.refusals().total(), 6);
    assert_eq!(node.shards.submitted_now(), 2, "nobody else's request reached the shards");
}

#[tokio::test]
async fn off_loopback_nobody_is_welcome_without_showing_who_it_is() {
    let node = Node::configured("{}");
    let mut client = Client::new(node.connect_from("10.0.0.1:1", 1 << 12));
    client.send(0, Frame::Hello(hello())).await;
    assert_eq!(client.goodbye().await.code, ErrorCode::Unauthenticated);
    Client::welcome(node.connect_from("[::1]:1", 1 << 12)).await;
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_the_connection_stays() {
    let node = Node::configured(&format!(
        "security: {{ {KEYS}, permissions: [{{ who: ada, destinations: 'b*', allow: [produce] }}] }}"
    ));
    let mut client = Client::new(node.connect(1 << 12));
    client.send(0, hello_with("key")).await;
    client.receive().await;
    client.request(1, put(100)).await;
    let error = client.error(1).await;
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert_eq!(error.explanation, "user ada may not produce to a");
    let mut allowed = put(100);
    if let swarmmq_protocol::Request::Put(put) = &mut allowed {
        put.destination = destination("bills");
    }
    client.request(2, allowed).await;
    assert_eq!(client.reply().await.0, 2);
    client.request(3, crate::peer::subscribe()).await;
    assert_eq!(client.error(3).await.code, ErrorCode::Forbidden);
    assert_eq!(node.shards.submitted_now(), 1);
}

#[tokio::test]
async fn nobody_puts_a_message_in_the_name_of_another() {
    let node = Node::configured(&format!("security: {{ {KEYS} }}"));
    let mut client = Client::new(node.connect(1 << 12));
    client.send(0, hello_with("key")).await;
    client.receive().await;
    let named = |user: &str| {
        let message = swarmmq_protocol::Message::new("x").header("swarmmq-user", user.to_owned());
        let mut request = put(100);
        if let swarmmq_protocol::Request::Put(put) = &mut request {
            put.messages.push(message.encode().unwrap());
        }
        request
    };
    client.request(1, named("bob")).await;
    let error = client.error(1).await;
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert!(error.explanation.contains("ada may not name bob"), "{}", error.explanation);
    client.request(2, named("ada")).await;
    assert_eq!(client.reply().await.0, 2);
    assert_eq!(node.shards.submitted_now(), 1, "all of the first put was refused");
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let node = Node::with(|options| options.connections_max = 2);
    let _standing =
        [Client::welcome(node.connect(1 << 12)).await, Client::welcome(node.connect(1 << 12)).await];
    let mut third = Client::new(node.connect(1 << 12));
    assert_eq!(crate::peer::code(third.receive().await), Some(ErrorCode::LimitReached));
    assert_eq!(node.shared.counters().refused_total("limit"), 1);
}

#[test]
fn a_key_is_not_in_the_debug_text_of_a_hello() {
    let hello = Hello { credential: Credential::ApiKey("hunter2".into()), ..hello() };
    assert!(!format!("{hello:?}").contains("hunter2"));
}
