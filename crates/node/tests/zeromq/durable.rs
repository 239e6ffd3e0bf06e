//! Durable endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use swarmmq_node::config::parse;
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::io::AsyncWriteExt;

use crate::raw::{Endpoint, Item, Raw, command, message, until};

fn endpoint() -> Endpoint {
    Endpoint::start(EndpointKind::Durable, Limits::default())
}

fn with(change: impl FnOnce(&mut Limits)) -> Endpoint {
    let mut limits = Limits::default();
    change(&mut limits);
    Endpoint::start(EndpointKind::Durable, limits)
}

#[tokio::test]
async fn a_req_puts_pulls_and_acknowledges() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("REQ").await;
    assert_eq!(
        peer.ask(&["", "SWMQ1", "1", "PUT", "orders", "hello", "priority=7"]).await,
        ["", "SWMQ1", "1", "OK", "stored", "1", "1"]
    );
    assert_eq!(
        peer.ask(&["", "SWMQ1", "2", "PULL", "orders", "max=5"]).await,
        ["", "SWMQ1", "2", "OK", "1-1", "hello", "attempt=1", "stored-ms=1", "priority=7", ""]
    );
    assert_eq!(peer.ask(&["", "SWMQ1", "3", "ACK", "orders", "1-1"]).await, ["", "SWMQ1", "3", "OK", "done"]);
    let late = peer.ask(&["", "SWMQ1", "4", "ACK", "orders", "1-1"]).await;
    assert_eq!(late, ["", "SWMQ1", "4", "OK", "already-settled"]);
    assert_eq!(peer.ask(&["", "SWMQ1", "5", "PING"]).await[..5], ["", "SWMQ1", "5", "OK", "SWMQ1"]);
}

#[tokio::test]
async fn a_dealer_gets_its_own_envelope_back() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    assert_eq!(peer.ask(&["SWMQ1", "a", "PING"]).await[..3], ["SWMQ1", "a", "OK"]);
    assert_eq!(peer.ask(&["", "SWMQ1", "", "PING"]).await[..4], ["", "SWMQ1", "", "OK"]);
    let proxied = peer.ask(&["client", "", "SWMQ1", "b", "PING"]).await;
    assert_eq!(proxied[..5], ["client", "", "SWMQ1", "b", "OK"]);
}

#[tokio::test]
async fn pipelined_requests_are_told_apart_by_their_correlation() {
    let endpoint = endpoint();
    endpoint.model.with(|state| state.holds = true);
    let mut peer = endpoint.peer("DEALER").await;
    for correlation in ["a", "b", "c"] {
        peer.send(&["", "SWMQ1", correlation, "PUT", "orders", correlation]).await;
    }
    until("all are submitted", || endpoint.model.with(|state| state.held.len() == 3)).await;
    endpoint.model.release();
    for (correlation, sequence) in [("c", "1"), ("b", "2"), ("a", "3")] {
        assert_eq!(peer.receive().await, ["", "SWMQ1", correlation, "OK", "stored", sequence, "1"]);
    }
}

#[tokio::test]
async fn a_copied_routing_id_gets_nobody_elses_answers() {
    let endpoint = endpoint();
    endpoint.model.with(|state| state.holds = true);
    let mut honest = Raw::connect(endpoint.tcp().await, "DEALER", b"worker-1").await;
    let mut forger = Raw::connect(endpoint.tcp().await, "DEALER", b"worker-1").await;
    honest.send(&["SWMQ1", "h", "PUT", "orders", "secret"]).await;
    forger.send(&["SWMQ1", "f", "PUT", "orders", "x"]).await;
    until("both are submitted", || endpoint.model.with(|state| state.held.len() == 2)).await;
    endpoint.model.release();
    assert_eq!(honest.receive().await[1], "h");
    assert_eq!(forger.receive().await[1], "f");
    assert_eq!(forger.ask(&["SWMQ1", "g", "PING"]).await[1], "g", "nothing in between");
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_and_counted() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("REQ").await;
    assert_eq!(peer.ask(&["", "hello"]).await[..5], ["", "SWMQ1", "", "ERROR", "MALFORMED"]);
    let answer = peer.ask(&["", "SWMQ1", "9", "PUT", "orders/eu", "x"]).await;
    assert_eq!(answer[..5], ["", "SWMQ1", "9", "ERROR", "INVALID-NAME"]);
    let answer = peer.ask(&["", "SWMQ1", "9", "SUBSCRIBE", "orders"]).await;
    assert_eq!(answer[..5], ["", "SWMQ1", "9", "ERROR", "UNSUPPORTED"], "a REQ takes no deliveries");
    endpoint.dropped(Reason::Malformed, 2).await;
}

#[tokio::test]
async fn a_message_that_is_a_little_too_large_is_answered() {
    let endpoint = with(|limits| limits.message_bytes_max = 1000);
    let mut peer = endpoint.peer("REQ").await;
    let answer = peer.ask(&["", "SWMQ1", "1", "PUT", "orders", &"x".repeat(1001)]).await;
    assert_eq!(answer[..5], ["", "SWMQ1", "1", "ERROR", "TOO-LARGE"]);
    assert_eq!(peer.ask(&["", "SWMQ1", "2", "PUT", "orders", &"x".repeat(900)]).await[3], "OK");
    assert_eq!(endpoint.listening.drops.of(Reason::TooLarge), 1);
}

#[tokio::test]
async fn each_frame_counts_towards_what_is_under_way() {
    const PUTS: usize = 20;
    let endpoint = with(|limits| limits.receive_queue_bytes = 1_000);
    endpoint.model.with(|state| state.holds = true);
    let mut peer = endpoint.peer("DEALER").await;
    let put = message(&[b"SWMQ1", b"a", b"PUT", b"orders", b"x"]);
    peer.stream.write_all(&put.repeat(PUTS)).await.unwrap();
    until("some are submitted", || endpoint.model.with(|state| !state.held.is_empty())).await;
    // Three have 51 bytes and 15 frames of 64 bytes each: that is enough.
    assert_eq!(endpoint.model.with(|state| state.held.len()), 3);
    endpoint.model.release();
    for sequence in 1..=PUTS {
        assert_eq!(peer.receive().await, ["SWMQ1", "a", "OK", "stored", &format!("{sequence}"), "1"][..]);
    }
}

#[tokio::test]
async fn a_full_pull_is_acknowledged_in_one_request_by_default() {
    let defaults =
        parse("zeromq: { endpoints: [{ name: d, kind: durable, bind: 'tcp://127.0.0.1:0' }] }").unwrap();
    let endpoint = with(|limits| limits.frames_max = defaults.zeromq.endpoints[0].max_frames as usize);
    let mut peer = endpoint.peer("DEALER").await;
    for _ in 0..256 {
        peer.ask(&["SWMQ1", "", "PUT", "orders", "x"]).await;
    }
    let pulled = peer.ask(&["SWMQ1", "p", "PULL", "orders", "max=256"]).await;
    let receipts: Vec<&str> = pulled[3..].chunks(5).map(|message| message[0].as_str()).collect();
    assert_eq!(receipts.len(), 256, "{pulled:?}");
    let settled = peer.ask(&[&["SWMQ1", "a", "ACK", "orders"][..], &receipts].concat()).await;
    assert_eq!(settled[..3], ["SWMQ1", "a", "OK"]);
    assert!(settled.len() == 259 && settled[3..].iter().all(|word| word == "done"), "{settled:?}");
}

#[tokio::test]
async fn a_peer_with_too_much_under_way_is_not_read() {
    const PUTS: usize = 3000;
    let endpoint = with(|limits| limits.requests_in_flight_max = 10);
    endpoint.model.with(|state| state.holds = true);
    let mut peer = endpoint.peer("DEALER").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let (reader, mut writer) = peer.stream.into_split();
    let sending = tokio::spawn({
        let sent = sent.clone();
        async move {
            let put = message(&[b"SWMQ1", b"", b"PUT", b"orders", &vec![b'x'; 20_000]]);
            for _ in 0..PUTS {
                writer.write_all(&put).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
            writer
        }
    });
    until("ten are under way", || endpoint.model.with(|state| state.submitted == 10)).await;
    // What the sockets' buffers hold goes out; then nothing more does.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        // sleep: until nothing more goes out; a stall that is mistaken for that only ends the wait early.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before < PUTS, "all 60 MB were read from a peer that may have ten requests under way");
    let mut other = endpoint.peer("DEALER").await;
    assert_eq!(other.ask(&["SWMQ1", "1", "PING"]).await[2], "OK", "others are served");
    assert_eq!(endpoint.model.with(|state| state.submitted), 10);
    endpoint.model.release();
    let writer = sending.await.unwrap();
    peer = Raw { stream: reader.reunite(writer).unwrap() };
    for _ in 0..PUTS {
        assert_eq!(peer.receive().await[2], "OK");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_not_read() {
    let endpoint = with(|limits| limits.send_queue_bytes = 64 * 1024);
    let mut peer = endpoint.peer("DEALER").await;
    let large = "x".repeat(200_000);
    assert_eq!(peer.ask(&["SWMQ1", "", "PUT", "orders", &large]).await[2], "OK");
    // Each answer brings the message back; the node takes requests on until its queue is full.
    endpoint.model.with(|state| state.ready = std::iter::repeat_n(1, 500).collect());
    let (mut reader, mut writer) = peer.stream.into_split();
    let requests = tokio::spawn(async move {
        for _ in 0..500 {
            let request = message(&[b"SWMQ1", b"", b"PULL", b"orders"]);
            writer.write_all(&request).await.unwrap();
        }
        writer
    });
    let _writer = requests.await.unwrap();
    let mut other = endpoint.peer("DEALER").await;
    assert_eq!(other.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
    let submitted = endpoint.model.with(|state| state.submitted);
    assert!(submitted < 400, "{submitted} of 500 pulls were taken on for a peer that reads nothing");
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 16];
    while bytes < 500 * large.len() {
        bytes += tokio::io::AsyncReadExt::read(&mut reader, &mut buffer).await.unwrap();
    }
    assert_eq!(endpoint.model.with(|state| state.submitted), 501, "all come once it reads");
}

#[tokio::test]
async fn waiting_pulls_leave_room_for_acknowledgements() {
    let endpoint = with(|limits| limits.pulls_waiting_max = 2);
    let mut peer = endpoint.peer("DEALER").await;
    for correlation in ["a", "b"] {
        peer.send(&["SWMQ1", correlation, "PULL", "orders", "wait-ms=60000"]).await;
    }
    let third = peer.ask(&["SWMQ1", "c", "PULL", "orders", "wait-ms=60000"]).await;
    assert_eq!(third[1..4], ["c", "ERROR", "OVERLOADED"]);
    assert_eq!(peer.ask(&["SWMQ1", "d", "ACK", "orders", "1-1"]).await[1..3], ["d", "OK"]);
}

#[tokio::test]
async fn a_subscription_delivers_by_credit_and_reports_what_was_written() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    peer.ask(&["SWMQ1", "p", "PUT", "orders", "hello"]).await;
    assert_eq!(peer.ask(&["SWMQ1", "s", "SUBSCRIBE", "orders", "credit=3"]).await, ["SWMQ1", "s", "OK"]);
    let again = peer.ask(&["SWMQ1", "s", "SUBSCRIBE", "orders"]).await;
    assert_eq!(again[..4], ["SWMQ1", "s", "ERROR", "ALREADY-EXISTS"]);
    let (subscriber, id) = endpoint.model.with(|state| state.subscribers[0].clone());
    let delivery = endpoint.model.with(|state| state.lease().unwrap());
    let bytes = delivery.message.len();
    for name in ["u", "v", "w"] {
        peer.ask(&["SWMQ1", name, "SUBSCRIBE", "others"]).await;
    }
    subscriber.deliver(id, vec![delivery]);
    assert_eq!(
        peer.receive().await,
        ["SWMQ1", "s", "DELIVERY", "1-1", "hello", "attempt=1", "stored-ms=1", ""]
    );
    assert_eq!(peer.ask(&["SWMQ1", "t", "SUBSCRIBE", "orders"]).await, ["SWMQ1", "t", "OK"]);
    let (subscriber, other) = endpoint.model.with(|state| state.subscribers[4].clone());
    subscriber.ended(other, ErrorReply::new(ErrorCode::UnknownDestination, "it was deleted"));
    assert_eq!(peer.receive().await[..4], ["SWMQ1", "t", "ENDED", "UNKNOWN-DESTINATION"]);
    until("it is reported", || endpoint.model.with(|state| state.written == bytes)).await;
    peer.send(&["SWMQ1", "s", "CREDIT", "4"]).await;
    until("the credit is given", || endpoint.model.with(|state| state.credit == 7)).await;
    assert_eq!(peer.ask(&["SWMQ1", "s", "UNSUBSCRIBE"]).await, ["SWMQ1", "s", "OK"]);
    let gone = peer.ask(&["SWMQ1", "s", "UNSUBSCRIBE"]).await;
    assert_eq!(gone[2..4], ["ERROR", "UNSUPPORTED"]);
}

#[tokio::test]
async fn a_peer_that_goes_gives_its_tie_back() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    peer.send(&["SWMQ1", "a", "PULL", "orders", "wait-ms=60000"]).await;
    until("it waits", || endpoint.model.with(|state| state.submitted == 1)).await;
    drop(peer);
    until("the tie is dropped", || endpoint.model.with(|state| state.ties == 0)).await;
}

#[tokio::test]
async fn a_zmtp_ping_is_answered_with_its_context() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    peer.stream.write_all(&command(b"\x04PING\x00\x00context")).await.unwrap();
    assert_eq!(peer.item().await, Some(Item::Command(b"\x04PONGcontext".to_vec())));
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_given_up() {
    let endpoint = with(|limits| {
        limits.heartbeat_interval = Duration::from_millis(50);
        limits.heartbeat_timeout = Duration::from_millis(200);
    });
    let mut peer = endpoint.peer("DEALER").await;
    for _ in 0..5 {
        assert_eq!(peer.item().await, Some(Item::Command(b"\x04PING\x00\x00".to_vec())));
        peer.stream.write_all(&command(b"\x04PONG")).await.unwrap();
    }
    peer.closed().await;
    endpoint.dropped(Reason::Silent, 1).await;
}

#[tokio::test]
async fn a_peer_that_promised_to_speak_is_given_up_when_it_does_not() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    peer.stream.write_all(&command(b"\x04PING\x00\x01")).await.unwrap();
    peer.closed().await;
    endpoint.dropped(Reason::Silent, 1).await;
}

#[tokio::test]
async fn sockets_that_cannot_ask_are_refused_and_told() {
    let endpoint = endpoint();
    for (nth, socket_type) in ["SUB", "PUSH", "ROUTER", "PUB", "REP"].into_iter().enumerate() {
        let mut peer = endpoint.peer(socket_type).await;
        let Some(Item::Command(error)) = peer.item().await else { panic!("no ERROR for {socket_type}") };
        assert!(error.starts_with(b"\x05ERROR"), "{socket_type}: {error:?}");
        peer.closed().await;
        endpoint.dropped(Reason::SocketType, nth as u64 + 1).await;
    }
}
