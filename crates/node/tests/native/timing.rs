//! Silence, stalls and requests that take too long, in paused time.

use std::time::Duration;

use swarmmq_protocol::ErrorCode;
use swarmmq_protocol::native::Frame;
use swarmmq_protocol::request::{Pull, Request};
use swarmmq_protocol::response::Response;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::Node;
use crate::peer::{Client, delivery, pull, put, subscribe};

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_pinged_and_then_closed() {
    let node = Node::with(|options| options.idle = Duration::from_secs(60));
    let (mut client, welcome) = Client::welcome(node.connect(1 << 12)).await;
    assert_eq!(welcome.idle_ms, 60_000);
    let start = Instant::now();
    let ping = client.receive().await;
    assert!(matches!(ping, Some((_, Frame::Ping))), "{ping:?}");
    assert!(start.elapsed() <= Duration::from_secs(40), "in time to be answered");
    let error = client.goodbye().await;
    assert_eq!(error.code, ErrorCode::Timeout);
    let elapsed = start.elapsed().as_secs();
    assert!((60..=76).contains(&elapsed), "closed after {elapsed} s");
    drop(client);
    node.shared.emptied().await;
    assert_eq!(node.shared.counters().ended_total("idle"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_pings_stays() {
    let node = Node::with(|options| options.idle = Duration::from_secs(60));
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    for _ in 0..20 {
        let Some((number, Frame::Ping)) = client.receive().await else { panic!("not a ping") };
        client.send(number, Frame::Pong).await;
    }
    client.request(1, put(100)).await;
    node.shards.submitted(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_is_not_pinged() {
    let node = Node::with(|options| options.idle = Duration::from_secs(60));
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    for number in 0..50 {
        client.send(number, Frame::Ping).await;
        assert_eq!(client.receive().await, Some((number, Frame::Pong)));
        // sleep: the runtime's clock is paused, so no time passes.
        sleep(Duration::from_secs(14)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_off_us_is_closed() {
    let node = Node::with(|options| options.idle = Duration::from_secs(60));
    let (mut client, _) = Client::welcome(node.connect(1 << 10)).await;
    client.request(1, subscribe()).await;
    let one = node.shards.submitted(1).await.remove(0);
    one.answer();
    one.peer.deliver(1, vec![delivery(1, 100_000)]);
    // It goes on sending, so that it is not silent.
    let start = Instant::now();
    let mut number = 0;
    while node.shared.counters().ended_total("stalled") == 0 {
        number += 1;
        let _full = timeout(Duration::from_secs(5), client.send(number, Frame::Pong)).await;
        // sleep: the runtime's clock is paused, so no time passes.
        sleep(Duration::from_secs(1)).await;
        assert!(start.elapsed() < Duration::from_secs(200), "it is never closed");
    }
    assert!(start.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_takes_a_little_stays() {
    let node = Node::with(|options| options.idle = Duration::from_secs(60));
    let (mut client, _) = Client::welcome(node.connect(1 << 10)).await;
    client.request(1, subscribe()).await;
    let one = node.shards.submitted(1).await.remove(0);
    one.answer();
    client.reply().await;
    one.peer.deliver(1, vec![delivery(1, 30_000)]);
    let mut read = 0;
    while read < 30_000 {
        // sleep: the runtime's clock is paused, so no time passes.
        sleep(Duration::from_secs(20)).await;
        client.send(7, Frame::Pong).await;
        let mut some = [0; 1024];
        read += tokio::io::AsyncReadExt::read(&mut client.stream, &mut some).await.unwrap();
    }
    assert_eq!(node.shared.counters().ended_total("stalled"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_answered_and_its_id_is_kept_until_its_own_answer() {
    let node = Node::with(|options| {
        options.request = Duration::from_secs(30);
        options.idle = Duration::from_secs(600);
    });
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    let start = Instant::now();
    client.request(1, put(100)).await;
    let submitted = node.shards.submitted(1).await.remove(0);
    assert_eq!(client.error(1).await.code, ErrorCode::Timeout);
    let elapsed = start.elapsed().as_secs();
    assert!((30..=46).contains(&elapsed), "after {elapsed} s");
    client.request(1, put(200)).await;
    assert_eq!(client.error(1).await.code, ErrorCode::Malformed, "its answer may still come");
    submitted.answer();
    client.request(1, put(300)).await;
    node.shards.submitted(2).await[1].answer();
    assert_eq!(client.reply().await, (1, Response::Done { index: 1 }), "the late answer was not passed on");
    assert!(timeout(Duration::from_secs(10), client.receive()).await.is_err(), "nor does anything else come");
}

#[tokio::test(start_paused = true)]
async fn a_pull_may_wait_as_long_as_it_asks_to() {
    let node = Node::with(|options| {
        options.request = Duration::from_secs(30);
        options.idle = Duration::from_secs(600);
    });
    let (mut client, _) = Client::welcome(node.connect(1 << 12)).await;
    let Request::Pull(pull) = pull() else { unreachable!() };
    client.request(1, Request::Pull(Pull { wait_ms: 120_000, ..pull })).await;
    let submitted = node.shards.submitted(1).await.remove(0);
    // sleep: the runtime's clock is paused, so no time passes.
    sleep(Duration::from_secs(130)).await;
    submitted.peer.reply(1, Response::Messages(Vec::new()));
    assert_eq!(client.reply().await, (1, Response::Messages(Vec::new())));
}
