//! A proxy between clients and workers.

use std::time::Duration;

use swarmmq_broker::exchange::Figure;
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason, Traffic};
use tokio::time::timeout;

use crate::raw::{Endpoint, Raw, until};

fn proxy(peer_queue: usize) -> Endpoint {
    let mut limits = Limits::default();
    limits.peer_queue_messages_max = peer_queue;
    Endpoint::two_sided(EndpointKind::RequestReply, limits)
}

#[tokio::test]
async fn requests_reach_workers_and_replies_their_clients() {
    let endpoint = proxy(10);
    let (mut ada, mut bob) = (endpoint.peer("REQ").await, endpoint.peer("DEALER").await);
    // Asked before anybody works: it waits.
    ada.send(&["", "one"]).await;
    let mut worker = endpoint.back_peer("REP", b"").await;
    let request = worker.receive().await;
    assert_eq!(request[1..], ["", "one"]);
    bob.send(&["", "two"]).await;
    let other = worker.receive().await;
    assert_ne!(request[0], other[0]);
    let say = |frames: &[String]| frames.to_vec();
    for request in [say(&request), say(&other)] {
        worker.send(&request.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert_eq!(ada.receive().await, ["", "one"]);
    assert_eq!(bob.receive().await, ["", "two"]);
}

#[tokio::test]
async fn an_endpoint_says_what_it_has_and_what_its_peers_sent() {
    let endpoint = proxy(10);
    let figures = || endpoint.listening.figures();
    let (mut client, mut worker) = (endpoint.peer("REQ").await, endpoint.back_peer("REP", b"").await);
    client.send(&["", "one"]).await;
    let request = worker.receive().await;
    let busy = [(Figure::Workers, 1), (Figure::BusyWorkers, 1), (Figure::Requests, 1)];
    assert_eq!(figures(), busy);
    worker.send(&[&request[0], "", "done"]).await;
    client.receive().await;
    assert_eq!(figures()[1..], [(Figure::BusyWorkers, 0), (Figure::Requests, 0)]);
    let of = |socket_type| endpoint.listening.peers.traffic().get(socket_type).copied();
    assert_eq!(of("REQ"), Some(Traffic { peers: 1, received: 1, sent: 1 }));
    drop(client);
    until("the client is gone", || of("REQ").is_some_and(|traffic| traffic.peers == 0)).await;
    assert_eq!(of("REQ"), Some(Traffic { peers: 0, received: 1, sent: 1 }), "what it did is kept");
    assert_eq!(of("REP"), Some(Traffic { peers: 1, received: 1, sent: 1 }));
}

#[tokio::test]
async fn what_no_worker_can_take_waits_with_its_client() {
    let endpoint = proxy(4);
    let mut worker = endpoint.back_peer("ROUTER", b"").await;
    let mut client = endpoint.peer("DEALER").await;
    let body = "x".repeat(100_000);
    let sent = async {
        for _ in 0..2_000 {
            client.send(&["", &body]).await;
        }
    };
    // The worker does not read: 200 MB do not fit into the sockets between, so the client stops.
    assert!(timeout(Duration::from_millis(500), sent).await.is_err(), "it was read without bound");
    let request = worker.receive().await;
    worker.send(&[&request[0], "", "done"]).await;
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn a_reply_to_nobody_is_counted() {
    let endpoint = proxy(10);
    let mut worker = endpoint.back_peer("REP", b"").await;
    worker.send(&["nobody", "", "hello"]).await;
    endpoint.dropped(Reason::Unroutable, 1).await;
    worker.send(&["alone"]).await;
    endpoint.dropped(Reason::Malformed, 1).await;
    let mut client = endpoint.peer("REQ").await;
    client.send(&["no delimiter"]).await;
    endpoint.dropped(Reason::Malformed, 2).await;
    client.send(&["", "still served"]).await;
    assert_eq!(worker.receive().await[2], "still served");
}

#[tokio::test]
async fn requests_that_a_dead_worker_had_are_counted() {
    let endpoint = proxy(10);
    let mut client = endpoint.peer("DEALER").await;
    let mut worker = endpoint.back_peer("REP", b"").await;
    client.send(&["", "a"]).await;
    client.send(&["", "b"]).await;
    worker.receive().await;
    worker.receive().await;
    drop(worker);
    endpoint.dropped(Reason::WorkerLost, 2).await;
    client.send(&["", "c"]).await;
    let mut next: Raw = endpoint.back_peer("REP", b"").await;
    assert_eq!(next.receive().await[2], "c");
}

#[tokio::test]
async fn a_socket_type_of_the_other_side_is_refused() {
    let endpoint = proxy(10);
    let mut peer = endpoint.peer("DEALER").await;
    peer.send(&["", "x"]).await;
    let mut wrong = endpoint.back_peer("DEALER", b"").await;
    assert_eq!(wrong.receive().await[2], "x", "a DEALER goes with both sides");
    let mut stream = endpoint.tcp().await;
    use tokio::io::AsyncWriteExt;
    let hello = [crate::raw::greeting("NULL"), crate::raw::ready("PUSH", b"")].concat();
    stream.write_all(&hello).await.unwrap();
    endpoint.dropped(Reason::SocketType, 1).await;
}

#[tokio::test]
async fn all_that_was_sent_at_once_reaches_a_worker_that_takes_one_at_a_time() {
    let endpoint = proxy(1);
    let mut worker = endpoint.back_peer("ROUTER", b"").await;
    let mut client = endpoint.peer("DEALER").await;
    let requests: Vec<u8> =
        (0..500).flat_map(|number| crate::raw::message(&[b"", number.to_string().as_bytes()])).collect();
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &requests).await.unwrap();
    for number in 0..500 {
        assert_eq!(worker.receive().await[2], number.to_string());
    }
}

#[tokio::test]
async fn a_client_that_goes_while_nobody_takes_its_request_is_noticed() {
    let endpoint = proxy(10);
    for _ in 0..40 {
        let mut client = endpoint.peer("REQ").await;
        client.send(&["", "is anybody there"]).await;
        until("it is there", || endpoint.listening.peers.count() == 1).await;
        drop(client);
        until("it is gone", || endpoint.listening.peers.count() == 0).await;
    }
    let mut worker = endpoint.back_peer("REP", b"").await;
    let mut client = endpoint.peer("REQ").await;
    client.send(&["", "and now"]).await;
    assert_eq!(worker.receive().await[2], "and now");
}

#[tokio::test]
async fn what_was_read_of_a_client_that_went_is_counted() {
    let endpoint = proxy(10);
    let mut client = endpoint.peer("DEALER").await;
    let requests: Vec<u8> = (0..100).flat_map(|_| crate::raw::message(&[b"", b"x"])).collect();
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &requests).await.unwrap();
    drop(client);
    endpoint.dropped(Reason::Unconfirmed, 100).await;
}

#[tokio::test]
async fn what_waits_for_a_peer_whose_connection_breaks_is_counted() {
    for socket_type in ["ROUTER", "REP"] {
        let endpoint = proxy(100);
        let worker = endpoint.back_peer(socket_type, b"").await;
        let mut client = endpoint.peer("DEALER").await;
        let body = "x".repeat(1_000_000);
        for _ in 0..18 {
            client.send(&["", &body]).await;
        }
        let has_read =
            || endpoint.listening.peers.traffic().get("DEALER").is_some_and(|it| it.received == 18);
        until("all is read", has_read).await;
        // Closed with the bytes of the node unread, which resets the connection.
        worker.stream.set_zero_linger().unwrap();
        drop(worker);
        until("it is gone", || endpoint.listening.figures()[0] == (Figure::Workers, 0)).await;
        let drops = endpoint.listening.drops.snapshot();
        let [(reason, count)] = drops[..] else { panic!("{drops:?}") };
        match socket_type {
            "REP" => assert_eq!((reason, count), (Reason::WorkerLost, 18), "each once"),
            _ => assert!(reason == Reason::Unroutable && (1..18).contains(&count), "{drops:?}"),
        }
    }
}

/// Small ones, which the node packs: it counts each of them all the same.
#[tokio::test]
async fn small_messages_are_counted_each_whether_they_are_sent_or_lost() {
    const COUNT: u64 = 20_000;
    let endpoint = proxy(100_000);
    let worker = endpoint.back_peer("ROUTER", b"").await;
    let mut client = endpoint.peer("DEALER").await;
    let body = [b'x'; 1000];
    let requests: Vec<u8> = (0..COUNT).flat_map(|_| crate::raw::message(&[b"", &body])).collect();
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &requests).await.unwrap();
    let of = |socket_type| endpoint.listening.peers.traffic().get(socket_type).copied().unwrap_or_default();
    until("all is read", || of("DEALER").received == COUNT).await;
    worker.stream.set_zero_linger().unwrap();
    drop(worker);
    until("it is gone", || of("ROUTER").peers == 0).await;
    let (drops, sent) = (endpoint.listening.drops.snapshot(), of("ROUTER").sent);
    let [(Reason::Unroutable, count)] = drops[..] else { panic!("{drops:?}") };
    assert!(count > 0 && sent > 0, "{count} lost, {sent} sent");
    assert_eq!(count + sent, COUNT);
}
