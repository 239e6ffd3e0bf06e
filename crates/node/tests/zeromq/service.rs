//! A Majordomo broker and a Paranoid Pirate queue behind real sockets.

use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits};
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::time::timeout;

use crate::plain::{enter_as, gate, plain_endpoint, rules};
use crate::raw::{Endpoint, Item, Raw};

fn broker(heartbeat_ms: u64) -> Endpoint {
    let limits = PoolLimits { heartbeat_ms, ..PoolLimits::default() };
    Endpoint::start(EndpointKind::Service { limits, repeats: RepeatLimits::default() }, Limits::default())
}

/// For tests of silence. The pool pardons everybody when its clock comes late by a beat, and its clock runs on the test's
/// thread: whoever beats in answer to the pool is late by less than a beat at each of the few turns that this takes, and may
/// be silent for more of them than there are turns.
fn impatient() -> PoolLimits {
    PoolLimits { heartbeat_ms: 100, liveness: 12, ..PoolLimits::default() }
}

fn queue(heartbeat_ms: u64) -> Endpoint {
    let limits = PoolLimits { heartbeat_ms, ..PoolLimits::default() };
    Endpoint::two_sided(EndpointKind::Workers { limits }, Limits::default())
}

/// The next message that is no heartbeat.
async fn next(peer: &mut Raw) -> Vec<Vec<u8>> {
    loop {
        let Some(item) = peer.item().await else { panic!("the connection is closed") };
        let Item::Message(frames) = item else { continue };
        let is_beat = frames == [b"\x02"] || frames.ends_with(&[b"MDPW01".to_vec(), b"\x04".to_vec()]);
        if !is_beat {
            return frames;
        }
    }
}

async fn say(peer: &mut Raw, frames: &[Vec<u8>]) {
    use tokio::io::AsyncWriteExt;
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    peer.stream.write_all(&crate::raw::message(&frames)).await.unwrap();
}

fn strings(frames: &[&str]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn a_worker_serves_a_req_client() {
    let endpoint = broker(2500);
    let mut client = endpoint.peer("REQ").await;
    client.send(&["", "MDPC01", "echo", "hello"]).await;
    let mut worker = endpoint.peer("DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let mut request = next(&mut worker).await;
    assert_eq!(request[..3], strings(&["", "MDPW01", "\u{2}"]));
    assert_eq!(request[4..], strings(&["", "hello"]));
    request[2] = b"\x03".to_vec();
    say(&mut worker, &request).await;
    assert_eq!(client.receive().await, ["", "MDPC01", "echo", "hello"]);
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn a_worker_whose_reply_is_too_large_is_not_waited_for() {
    let endpoint = broker(2500);
    let mut worker = endpoint.peer("DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let mut client = endpoint.peer("DEALER").await;
    // As many frames as there may be: with the worker's envelope there are more.
    let body = vec!["x"; Limits::default().frames_max - 3];
    client.send(&[&["", "MDPC01", "echo"], &body[..]].concat()).await;
    let mut request = next(&mut worker).await;
    request[2] = b"\x03".to_vec();
    say(&mut worker, &request).await;
    worker.closed().await;
    endpoint.dropped(Reason::TooLarge, 1).await;
    // Another has the request, and then nobody: it is given up.
    let mut other = endpoint.peer("DEALER").await;
    other.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let mut request = next(&mut other).await;
    request[2] = b"\x03".to_vec();
    say(&mut other, &request).await;
    endpoint.dropped(Reason::WorkerLost, 1).await;
    endpoint.dropped(Reason::TooLarge, 2).await;
}

#[tokio::test]
async fn a_worker_that_goes_leaves_its_request_to_another() {
    let endpoint = broker(2500);
    let mut first = endpoint.peer("DEALER").await;
    first.send(&["MDPW02", "\u{1}", "echo"]).await;
    let mut client = endpoint.peer("DEALER").await;
    client.send(&["MDPC02", "\u{1}", "echo", "hello"]).await;
    assert_eq!(next(&mut first).await[4], b"hello");
    drop(first);
    let mut second = endpoint.peer("DEALER").await;
    second.send(&["MDPW02", "\u{1}", "echo"]).await;
    let mut request = next(&mut second).await;
    request[1] = b"\x04".to_vec();
    say(&mut second, &request).await;
    assert_eq!(client.receive().await, ["MDPC02", "\u{3}", "echo", "hello"]);
}

#[tokio::test]
async fn a_silent_worker_is_told_to_go_and_the_lively_one_is_kept() {
    let limits = impatient();
    let beats = 2 * limits.liveness;
    let kind = EndpointKind::Service { limits, repeats: RepeatLimits::default() };
    let endpoint = Endpoint::start(kind, Limits::default());
    let mut silent = endpoint.peer("DEALER").await;
    silent.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    assert_eq!(next(&mut silent).await, strings(&["", "MDPW01", "\u{5}"]));
    let mut client = endpoint.peer("REQ").await;
    assert_eq!(client.ask(&["", "MDPC01", "mmi.service", "echo"]).await[3], "404");
    let mut lively = endpoint.peer("DEALER").await;
    lively.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    for _ in 0..beats {
        // It beats whenever it hears a beat.
        assert_eq!(lively.receive().await, ["", "MDPW01", "\u{4}"]);
        lively.send(&["", "MDPW01", "\u{4}"]).await;
    }
    assert_eq!(client.ask(&["", "MDPC01", "mmi.service", "echo"]).await[3], "200");
}

#[tokio::test]
async fn a_worker_that_may_serve_no_more_is_told_to_go_and_its_request_goes_to_another() {
    let serve =
        |services: &str| rules(&format!("{{ who: ada, services: {services}, allow: [serve, request] }}"));
    let gate = gate("");
    gate.replace(serve("'*'"));
    let kind = EndpointKind::Service { limits: PoolLimits::default(), repeats: RepeatLimits::default() };
    let endpoint = plain_endpoint(kind, &gate);
    let mut revoked = enter_as(&endpoint, "DEALER", "ada", "secret").await.unwrap();
    revoked.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let mut other = enter_as(&endpoint, "DEALER", "ada", "secret").await.unwrap();
    other.send(&["", "MDPW01", "\u{1}", "still"]).await;
    let mut client = enter_as(&endpoint, "DEALER", "ada", "secret").await.unwrap();
    client.send(&["", "MDPC01", "echo", "hello"]).await;
    assert_eq!(next(&mut revoked).await[5], b"hello");
    gate.replace(serve("still"));
    assert_eq!(next(&mut revoked).await, strings(&["", "MDPW01", "\u{5}"]));
    endpoint.dropped(Reason::Forbidden, 1).await;
    client.send(&["", "MDPC01", "still", "hello"]).await;
    assert_eq!(next(&mut other).await[5], b"hello", "it may serve as before");
    gate.replace(serve("'*'"));
    let mut heir = enter_as(&endpoint, "DEALER", "ada", "secret").await.unwrap();
    heir.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let mut request = next(&mut heir).await;
    request[2] = b"\x03".to_vec();
    say(&mut heir, &request).await;
    assert_eq!(client.receive().await, ["", "MDPC01", "echo", "hello"]);
}

#[tokio::test]
async fn garbage_is_counted_and_stops_nothing() {
    let endpoint = broker(2500);
    let mut peer = endpoint.peer("DEALER").await;
    for frames in [&[""][..], &["x"], &["", "MDPW01"], &["", "MDPC01", "echo"], &["", "MDPW01", "\u{9}"]] {
        peer.send(frames).await;
    }
    endpoint.dropped(Reason::Malformed, 5).await;
    peer.send(&["", "MDPW01", "\u{4}"]).await;
    assert_eq!(peer.receive().await, ["", "MDPW01", "\u{5}"], "it has to register");
    let mut wrong = endpoint.tcp().await;
    use tokio::io::AsyncWriteExt;
    let hello = [crate::raw::greeting("NULL"), crate::raw::ready("REP", b"")].concat();
    wrong.write_all(&hello).await.unwrap();
    endpoint.dropped(Reason::SocketType, 1).await;
}

#[tokio::test]
async fn a_client_that_waits_for_too_much_is_not_read() {
    let limits = PoolLimits { client_requests_max: 2, ..PoolLimits::default() };
    let endpoint = Endpoint::start(
        EndpointKind::Service { limits, repeats: RepeatLimits::default() },
        Limits::default(),
    );
    let mut client = endpoint.peer("DEALER").await;
    for number in ["1", "2", "3"] {
        client.send(&["", "MDPC01", "echo", number]).await;
    }
    let mut worker = endpoint.peer("DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    for number in ["1", "2", "3"] {
        let mut request = next(&mut worker).await;
        assert_eq!(request[5], number.as_bytes());
        request[2] = b"\x03".to_vec();
        say(&mut worker, &request).await;
        assert_eq!(client.receive().await[3], number);
    }
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn a_pirate_worker_has_one_request_at_a_time() {
    let endpoint = queue(1000);
    let mut worker = endpoint.back_peer("DEALER", b"").await;
    worker.send(&["\u{1}"]).await;
    let (mut ada, mut bob) = (endpoint.peer("REQ").await, endpoint.peer("DEALER").await);
    ada.send(&["", "one"]).await;
    let request = next(&mut worker).await;
    assert_eq!(request[1..], strings(&["", "one"]));
    bob.send(&["two"]).await;
    worker.send(&["\u{2}"]).await;
    let nothing = timeout(Duration::from_millis(200), next(&mut worker)).await;
    assert!(nothing.is_err(), "a heartbeat is not READY");
    say(&mut worker, &request).await;
    assert_eq!(ada.receive().await, ["", "one"]);
    let request = next(&mut worker).await;
    assert_eq!(request[1..], strings(&["", "two"]));
    say(&mut worker, &request).await;
    assert_eq!(bob.receive().await, ["two"]);
}

#[tokio::test]
async fn a_pirate_worker_that_falls_silent_loses_its_request() {
    let endpoint = Endpoint::two_sided(EndpointKind::Workers { limits: impatient() }, Limits::default());
    let mut silent = endpoint.back_peer("DEALER", b"").await;
    silent.send(&["\u{1}"]).await;
    let mut client = endpoint.peer("REQ").await;
    client.send(&["", "hello"]).await;
    let late = next(&mut silent).await;
    let mut other = endpoint.back_peer("DEALER", b"").await;
    // READY once more while it waits, as from a worker that has heard nothing for long. One that came after the request
    // would say that the worker has begun anew.
    other.send(&["\u{1}"]).await;
    other.send(&["\u{1}"]).await;
    let request = loop {
        match other.item().await {
            Some(Item::Message(frames)) if frames == [b"\x02"] => other.send(&["\u{2}"]).await,
            Some(Item::Message(frames)) => break frames,
            item => assert!(item.is_some(), "the connection is closed"),
        }
    };
    say(&mut silent, &late).await;
    endpoint.dropped(Reason::Unexpected, 1).await;
    say(&mut other, &request).await;
    assert_eq!(next(&mut client).await, strings(&["", "hello"]));
}
