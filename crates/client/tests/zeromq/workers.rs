//! Workers of both protocols.

use std::time::Duration;

use swarmmq::zeromq::{MdpVersion, OmqConnector, ReplyError, ServiceName, Worker, WorkerOptions};

use crate::peer::{Frames, Peer, frames, to};
use crate::soon;

fn options() -> WorkerOptions {
    WorkerOptions::default()
        .heartbeats(Duration::from_millis(50), 4)
        .pauses(Duration::from_millis(1), Duration::from_millis(20))
}

fn connector(address: &str) -> OmqConnector {
    OmqConnector::dealer([address]).unwrap()
}

fn majordomo(address: &str, version: MdpVersion) -> Worker {
    Worker::mdp(connector(address), version, ServiceName::new("echo").unwrap(), options()).unwrap()
}

/// Reads until the message with these frames comes, and returns its sender.
async fn expect(broker: &Peer, what: &str, expected: &[&[u8]]) -> bytes::Bytes {
    soon(what, async {
        loop {
            let message: Frames = broker.recv(what).await;
            if message[1..] == frames(expected) {
                return message[0].clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_worker_of_majordomo_serves_beats_and_says_goodbye() {
    let broker = Peer::router().await;
    let mut worker = majordomo(&broker.address(), MdpVersion::V01);
    let ready = broker.recv("READY").await;
    assert_eq!(ready[1..], frames(&[b"", b"MDPW01", b"\x01", b"echo"]));
    broker.send(to(&ready[0], &[b"", b"MDPW01", b"\x02", b"client", b"", b"a", b"b"])).await;
    let request = soon("a request", worker.next_request()).await.unwrap();
    assert_eq!(request.body(), frames(&[b"a", b"b"]));
    // It is alive while it works.
    expect(&broker, "a heartbeat", &[b"", b"MDPW01", b"\x04"]).await;
    request.reply(["c"]).await.unwrap();
    expect(&broker, "the reply", &[b"", b"MDPW01", b"\x03", b"client", b"", b"c"]).await;
    soon("the end", worker.stop()).await;
    let sender = expect(&broker, "a goodbye", &[b"", b"MDPW01", b"\x05"]).await;
    assert_eq!(sender, ready[0], "it was on one socket all the time");
}

#[tokio::test]
async fn a_worker_of_the_second_version_sends_parts() {
    let broker = Peer::router().await;
    let mut worker = majordomo(&broker.address(), MdpVersion::V02);
    let sender = expect(&broker, "READY", &[b"MDPW02", b"\x01", b"echo"]).await;
    broker.send(to(&sender, &[b"MDPW02", b"\x02", b"client", b"", b"a"])).await;
    let request = soon("a request", worker.next_request()).await.unwrap();
    request.partial(["1"]).await.unwrap();
    assert_eq!(request.partial(Vec::<&str>::new()).await, Err(ReplyError::EmptyReply));
    request.reply(["2"]).await.unwrap();
    expect(&broker, "a part", &[b"MDPW02", b"\x03", b"client", b"", b"1"]).await;
    expect(&broker, "the last part", &[b"MDPW02", b"\x04", b"client", b"", b"2"]).await;
}

#[tokio::test]
async fn a_worker_registers_again_on_a_fresh_socket_when_its_broker_is_silent_or_asks_for_it() {
    let broker = Peer::router().await;
    let _worker = majordomo(&broker.address(), MdpVersion::V01);
    let ready: &[&[u8]] = &[b"", b"MDPW01", b"\x01", b"echo"];
    let first = expect(&broker, "READY", ready).await;
    let second = expect(&broker, "READY after silence", ready).await;
    assert_ne!(first, second);
    broker.send(to(&second, &[b"", b"MDPW01", b"\x05"])).await;
    let third = expect(&broker, "READY after DISCONNECT", ready).await;
    assert_ne!(second, third);
}

#[tokio::test]
async fn a_worker_finds_its_broker_again_when_that_was_gone() {
    let broker = Peer::router().await;
    let address = broker.address();
    let mut worker = Worker::ppp(connector(&address), options()).unwrap();
    let sender = expect(&broker, "READY", &[b"\x01"]).await;
    broker.send(to(&sender, &[b"client", b"", b"a"])).await;
    let request = soon("a request", worker.next_request()).await.unwrap();
    request.reply(["b"]).await.unwrap();
    expect(&broker, "the reply", &[b"client", b"", b"b"]).await;
    broker.close().await;

    let broker = Peer::bind(omq_tokio::SocketType::Router, &address).await;
    let sender = expect(&broker, "READY to the new broker", &[b"\x01"]).await;
    broker.send(to(&sender, &[b"client", b"", b"c"])).await;
    let request = soon("a request", worker.next_request()).await.unwrap();
    assert_eq!(request.body(), frames(&[b"c"]));
}

#[tokio::test]
async fn a_request_that_is_dropped_is_given_back_and_the_worker_goes_on() {
    let broker = Peer::router().await;
    let mut worker = majordomo(&broker.address(), MdpVersion::V01);
    let ready: &[&[u8]] = &[b"", b"MDPW01", b"\x01", b"echo"];
    let first = expect(&broker, "READY", ready).await;
    broker.send(to(&first, &[b"", b"MDPW01", b"\x02", b"client", b"", b"a"])).await;
    drop(soon("a request", worker.next_request()).await.unwrap());
    assert_eq!(expect(&broker, "a goodbye", &[b"", b"MDPW01", b"\x05"]).await, first);
    let second = expect(&broker, "READY", ready).await;
    broker.send(to(&second, &[b"", b"MDPW01", b"\x02", b"client", b"", b"b"])).await;
    let request = soon("a request", worker.next_request()).await.unwrap();
    // The broker loses its memory in the meantime: nobody wants this reply.
    broker.send(to(&second, &[b"", b"MDPW01", b"\x05"])).await;
    let lost = soon("the loss of the broker", async {
        loop {
            if let Err(error) = request.partial(["?"]).await
                && error == ReplyError::BrokerLost
            {
                return request.reply(["late"]).await;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(lost, Err(ReplyError::BrokerLost));
}
