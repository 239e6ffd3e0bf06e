//! RFC 24/ZMTP-PLAIN, byte for byte.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_node::config::{SecurityConfig, parse};
use swarmmq_node::security::Gate;
use swarmmq_node::zeromq::{Bind, EndpointKind, EndpointOptions, Limits, Multipart, Reason, Security};
use swarmmq_protocol::DestinationName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::{Endpoint, Item, Raw, command, greeting, ready, until};

/// The digest of "secret".
const DIGEST: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

pub(crate) fn gate(more: &str) -> Arc<Gate> {
    let text = format!("security: {{ users: [{{ name: ada, password_sha256: {DIGEST} }}] {more} }}");
    Arc::new(Gate::new(parse(&text).unwrap().security))
}

/// Ada, with these permissions.
pub(crate) fn rules(permissions: &str) -> SecurityConfig {
    let text = format!(
        "security: {{ users: [{{ name: ada, password_sha256: {DIGEST} }}], permissions: [{permissions}] }}"
    );
    parse(&text).unwrap().security
}

/// An endpoint for users with a password alone.
pub(crate) fn plain_endpoint(kind: EndpointKind, gate: &Arc<Gate>) -> Endpoint {
    let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
    let security = Security { null: false, plain: true, ..Security::default() };
    Endpoint::guarded(EndpointOptions::new("test", kind, bind).security(security), gate)
}

fn endpoint(gate: &Arc<Gate>, null: bool) -> Endpoint {
    let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
    let security = Security { null, plain: true, ..Security::default() };
    // Who is cut off is not waited for.
    let mut limits = Limits::default();
    limits.drain_timeout = Duration::from_secs(3600);
    let options = EndpointOptions::new("test", EndpointKind::Durable, bind).security(security).limits(limits);
    Endpoint::guarded(options, gate)
}

fn hello(name: &str, password: &str) -> Vec<u8> {
    let mut body = b"\x05HELLO".to_vec();
    for text in [name, password] {
        body.push(u8::try_from(text.len()).unwrap());
        body.extend(text.as_bytes());
    }
    command(&body)
}

async fn greet(endpoint: &Endpoint) -> Raw {
    let mut stream: TcpStream = endpoint.tcp().await;
    let mut mine = greeting("PLAIN");
    stream.write_all(&mine).await.unwrap();
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await.unwrap();
    mine[32] = 1;
    assert_eq!(theirs[10..], mine[10..], "PLAIN, as a server");
    Raw { stream }
}

async fn enter(endpoint: &Endpoint, name: &str, password: &str) -> Option<Raw> {
    enter_as(endpoint, "DEALER", name, password).await
}

pub(crate) async fn enter_as(
    endpoint: &Endpoint,
    socket_type: &str,
    name: &str,
    password: &str,
) -> Option<Raw> {
    let mut peer = greet(endpoint).await;
    peer.stream.write_all(&hello(name, password)).await.unwrap();
    match peer.item().await? {
        Item::Command(welcome) if welcome == b"\x07WELCOME" => {}
        Item::Command(error) => {
            assert!(error.starts_with(b"\x05ERROR\x03400"), "{}", error.escape_ascii());
            return None;
        }
        Item::Message(_) => panic!("a message in a handshake"),
    }
    let initiate = ready(socket_type, b"");
    let body = [&b"\x08INITIATE"[..], &initiate[2 + 6..]].concat();
    peer.stream.write_all(&command(&body)).await.unwrap();
    let Some(Item::Command(ready)) = peer.item().await else { panic!("READY is missing") };
    assert!(ready.starts_with(b"\x05READY"));
    Some(peer)
}

#[tokio::test]
async fn a_user_with_its_password_is_let_in_and_nobody_else() {
    for null in [false, true] {
        let endpoint = endpoint(&gate(""), null);
        let mut ada = enter(&endpoint, "ada", "secret").await.expect("ada is let in");
        assert_eq!(ada.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
        assert!(enter(&endpoint, "ada", "guess").await.is_none());
        assert!(enter(&endpoint, "eve", "secret").await.is_none());
        endpoint.dropped(Reason::Credentials, 2).await;
    }
}

#[tokio::test]
async fn what_is_stored_says_who_put_it_and_nobody_says_so_of_another() {
    let users = |endpoint: &Endpoint| {
        endpoint.model.with(|state| {
            let last = state.stored.last().unwrap().decode().unwrap();
            last.header_value("swarmmq-user").map(|user| String::from_utf8_lossy(user).into_owned())
        })
    };
    let endpoint = endpoint(&gate(""), true);
    let mut ada = enter(&endpoint, "ada", "secret").await.unwrap();
    assert_eq!(ada.ask(&["SWMQ1", "1", "PUT", "orders", "x"]).await[2], "OK");
    assert_eq!(users(&endpoint).as_deref(), Some("ada"));
    let mut anybody = endpoint.peer("DEALER").await;
    assert_eq!(anybody.ask(&["SWMQ1", "1", "PUT", "orders", "x"]).await[2], "OK");
    assert_eq!(users(&endpoint), None);
    for (peer, name) in [(&mut ada, "eve"), (&mut anybody, "ada")] {
        let forged = format!("header:swarmmq-user={name}");
        assert_eq!(peer.ask(&["SWMQ1", "2", "PUT", "orders", "x", &forged]).await[3], "FORBIDDEN");
    }

    let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
    let kind =
        EndpointKind::Ingest { queue: DestinationName::new("events").unwrap(), multipart: Multipart::Keep };
    let security = Security { plain: true, ..Security::default() };
    let endpoint = Endpoint::guarded(EndpointOptions::new("test", kind, bind).security(security), &gate(""));
    let mut ada = enter_as(&endpoint, "PUSH", "ada", "secret").await.unwrap();
    ada.send(&["one", "two"]).await;
    until("it is stored", || endpoint.model.with(|state| !state.stored.is_empty())).await;
    assert_eq!(users(&endpoint).as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_peer_chooses_one_of_the_mechanisms_that_are_offered() {
    let both = endpoint(&gate(""), true);
    let mut peer = both.peer("DEALER").await;
    assert_eq!(peer.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
    let plain = endpoint(&gate(""), false);
    let mut stream = plain.tcp().await;
    stream.write_all(&greeting("NULL")).await.unwrap();
    plain.dropped(Reason::Mechanism, 1).await;
}

#[tokio::test]
async fn a_user_that_is_taken_out_is_cut_off_and_others_are_not() {
    let gate = gate("");
    let endpoint = endpoint(&gate, true);
    let mut ada = enter(&endpoint, "ada", "secret").await.unwrap();
    let mut anybody = endpoint.peer("DEALER").await;
    assert_eq!(ada.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
    gate.replace(parse("").unwrap().security);
    ada.closed().await;
    endpoint.dropped(Reason::Revoked, 1).await;
    assert_eq!(anybody.ask(&["SWMQ1", "2", "PING"]).await[2], "OK");
}

#[tokio::test]
async fn a_user_that_is_taken_out_is_cut_off_whatever_it_sends() {
    let gate = gate("");
    let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
    let limits = swarmmq_broker::exchange::PubSubLimits::default();
    let options = EndpointOptions::new("test", EndpointKind::PubSub { limits }, bind).security(Security {
        null: false,
        plain: true,
        ..Security::default()
    });
    let endpoint = Endpoint::guarded(options, &gate);
    let ada = enter_as(&endpoint, "PUB", "ada", "secret").await.unwrap();
    let (mut reader, mut writer) = ada.stream.into_split();
    // The subscriptions of the node go the other way.
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let flood = crate::raw::message(&[b"x"]).repeat(1 << 18);
    let flooding = tokio::spawn(async move { while writer.write_all(&flood).await.is_ok() {} });
    until("it floods", || endpoint.listening.peers.first(1).iter().any(|peer| peer.received() > 1000)).await;
    gate.replace(parse("").unwrap().security);
    tokio::time::timeout(crate::raw::PATIENCE, flooding).await.expect("it is cut off").unwrap();
    endpoint.dropped(Reason::Revoked, 1).await;
}

#[tokio::test]
async fn new_permissions_count_at_once() {
    let gate = gate("");
    let endpoint = endpoint(&gate, false);
    let mut ada = enter(&endpoint, "ada", "secret").await.unwrap();
    assert_eq!(ada.ask(&["SWMQ1", "1", "PUT", "orders", "x"]).await[2], "OK");
    gate.replace(rules("{ who: ada, destinations: orders, allow: [consume] }"));
    // The session is told by its own task: it is so soon, and stays so.
    let mut refused = false;
    for number in 0..1000 {
        let answer = ada.ask(&["SWMQ1", &number.to_string(), "PUT", "orders", "x"]).await;
        assert!(!refused || answer[2] == "ERROR", "allowed again");
        refused |= answer[2] == "ERROR";
        if refused {
            assert_eq!(answer[3], "FORBIDDEN");
        }
    }
    assert!(refused);
}

#[tokio::test]
async fn truncated_and_oversized_hellos_end_the_connection_alone() {
    let endpoint = endpoint(&gate(""), false);
    for body in [
        &b"\x05HELLO"[..],
        b"\x05HELLO\x03ad",
        b"\x05HELLO\xFFa\x00",
        b"\x05HELLO\x00\x00trailing",
        b"\x08INITIATE",
    ] {
        let mut peer = greet(&endpoint).await;
        peer.stream.write_all(&command(body)).await.unwrap();
        peer.closed().await;
    }
    assert!(enter(&endpoint, "ada", "secret").await.is_some());
}

#[tokio::test]
async fn an_address_that_guesses_without_end_has_to_wait() {
    let endpoint = endpoint(&gate(""), false);
    for _ in 0..200 {
        assert!(enter(&endpoint, "ada", "guess").await.is_none());
    }
    endpoint.dropped(Reason::Credentials, 200).await;
    let mut stream = endpoint.tcp().await;
    let mut nothing = Vec::new();
    let _ = stream.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty(), "it is closed at once");
    endpoint.dropped(Reason::FailedTooOften, 1).await;
}
