//! Servers of plain requests, and publishers.

use std::time::Duration;

use omq_tokio::SocketType;
use swarmmq::zeromq::{LazyPirateClient, OmqConnector, Publisher, Replier, RequestOptions, SocketError};

use crate::peer::{Peer, frames};
use crate::soon;

#[tokio::test]
async fn a_replier_behind_a_proxy_answers_each_client_by_its_envelope() {
    let proxy = Peer::bind(SocketType::Dealer, "tcp://127.0.0.1:0").await;
    let connector = OmqConnector::replier([proxy.address()]).unwrap().heartbeats(Duration::from_secs(5));
    let mut server = Replier::connect(connector).await.unwrap();
    for client in [b"ada", b"bob"] {
        proxy.send(frames(&[client, b"hop", b"", b"question", b""])).await;
    }
    for client in [b"ada", b"bob"] {
        let request = soon("a request", server.next_request()).await.unwrap();
        assert_eq!(request.body(), frames(&[b"question", b""]));
        request.reply(["answer"]).unwrap();
        assert_eq!(proxy.recv("a reply").await, frames(&[client, b"hop", b"", b"answer"]));
    }
    assert_eq!(server.bound_to(), None);
}

#[tokio::test]
async fn a_replier_that_is_bound_serves_its_clients_and_survives_requests_that_it_drops() {
    let connector = OmqConnector::replier(["tcp://127.0.0.1:0"]).unwrap().bound();
    let mut server = Replier::connect(connector).await.unwrap();
    let address = server.bound_to().unwrap();
    let options = RequestOptions::default()
        .timeout(Duration::from_millis(300))
        .attempts(100)
        .pauses(Duration::from_millis(1), Duration::from_millis(1));
    let mut client = LazyPirateClient::new(OmqConnector::dealer([&address]).unwrap(), options).unwrap();
    let asking = tokio::spawn(async move { client.request(["hello"]).await });
    drop(soon("the first attempt", server.next_request()).await.unwrap());
    let again = soon("the second attempt", server.next_request()).await.unwrap();
    again.reply(["world"]).unwrap();
    assert_eq!(soon("the reply", asking).await.unwrap().unwrap(), frames(&[b"world"]));

    let taken = OmqConnector::replier([&address]).unwrap().bound();
    assert!(Replier::connect(taken).await.is_err(), "the address is in use");
    let closed =
        OmqConnector::replier(["tcp://127.0.0.1:0"]).unwrap().bound().plain("user", "secret").unwrap();
    assert!(matches!(Replier::connect(closed).await.err(), Some(SocketError::Configuration(_))));
}

#[tokio::test]
async fn a_publisher_reaches_those_who_subscribed_and_sends_what_is_queued_before_it_closes() {
    let proxy = Peer::bind(SocketType::XSub, "tcp://127.0.0.1:0").await;
    let mut publisher =
        Publisher::connect(OmqConnector::publisher([proxy.address()]).unwrap()).await.unwrap();
    proxy.send(frames(&[b"\x01news"])).await;
    // A publisher is not told of subscriptions: the first that comes shows that this one has arrived.
    let first = async {
        loop {
            publisher.publish("news.first", ["0"]).unwrap();
            if let Ok(message) =
                tokio::time::timeout(Duration::from_millis(20), proxy.recv("a publication")).await
            {
                break message;
            }
        }
    };
    assert_eq!(soon("the first publication", first).await, frames(&[b"news.first", b"0"]));
    publisher.publish("weather", ["rain"]).unwrap();
    publisher.publish("news.last", ["a", ""]).unwrap();
    let empty: [&str; 0] = [];
    publisher.publish("news", empty).unwrap();
    publisher.close().await;
    let mut message = proxy.recv("a publication").await;
    while message == frames(&[b"news.first", b"0"]) {
        message = proxy.recv("a publication").await;
    }
    assert_eq!(message, frames(&[b"news.last", b"a", b""]));
    assert_eq!(proxy.recv("the last").await, frames(&[b"news"]));
}

#[tokio::test]
async fn a_peer_that_is_silent_is_taken_for_lost_and_connected_to_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    // It shakes hands as NULL does, and says nothing ever after.
    let greeting: Vec<u8> = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1][..], b"NULL", &[0; 48]].concat();
    let ready: &[u8] = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER";
    let connector = OmqConnector::replier([address]).unwrap().heartbeats(Duration::from_millis(50));
    let _server = Replier::connect(connector).await.unwrap();
    let mut held = Vec::new();
    for what in ["the first connection", "a second one"] {
        let (mut stream, _) = soon(what, listener.accept()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &[&greeting[..], ready].concat()).await.unwrap();
        held.push(stream);
    }
}

#[test]
fn what_needs_an_address_says_so() {
    let none: [&str; 0] = [];
    assert!(matches!(OmqConnector::publisher(none), Err(SocketError::Configuration(_))));
    assert!(matches!(OmqConnector::replier(["nowhere"]), Err(SocketError::Configuration(_))));
}
