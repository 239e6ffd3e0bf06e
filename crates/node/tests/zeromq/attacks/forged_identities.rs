//! Peers that say they are others.

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits};
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::AsyncWriteExt;

use crate::raw::{Endpoint, Item, Raw, message};

async fn next_message(peer: &mut Raw) -> Vec<Vec<u8>> {
    loop {
        match peer.item().await {
            Some(Item::Message(frames)) => return frames,
            Some(Item::Command(_)) => {}
            None => panic!("the connection is closed"),
        }
    }
}

async fn send(peer: &mut Raw, frames: &[&[u8]]) {
    peer.stream.write_all(&message(frames)).await.unwrap();
}

#[tokio::test]
async fn the_routing_id_of_another_brings_none_of_its_replies() {
    let endpoint = Endpoint::two_sided(EndpointKind::RequestReply, Limits::default());
    let mut worker = endpoint.back_peer("REP", b"").await;
    let mut ada = Raw::connect(endpoint.tcp().await, "DEALER", b"ada").await;
    let mut eve = Raw::connect(endpoint.tcp().await, "DEALER", b"ada").await;
    send(&mut ada, &[b"", b"of ada"]).await;
    let request = next_message(&mut worker).await;
    assert_eq!(request[0], b"ada");
    send(&mut worker, &[&request[0], b"", b"for ada"]).await;
    assert_eq!(next_message(&mut ada).await, [&b""[..], b"for ada"]);
    // Eve is known by another address, and gets her own replies alone.
    send(&mut eve, &[b"", b"of eve"]).await;
    let request = next_message(&mut worker).await;
    assert_ne!(request[0], b"ada");
    send(&mut worker, &[&request[0], b"", b"for eve"]).await;
    assert_eq!(next_message(&mut eve).await, [&b""[..], b"for eve"]);
}

#[tokio::test]
async fn a_routing_id_of_the_form_that_the_node_gives_is_refused() {
    let endpoint = Endpoint::two_sided(EndpointKind::RequestReply, Limits::default());
    let mut worker = endpoint.back_peer("REP", b"").await;
    let mut ada = endpoint.peer("DEALER").await;
    send(&mut ada, &[b"", b"x"]).await;
    let address = next_message(&mut worker).await[0].clone();
    assert_eq!(address[0], 0, "no socket may choose one that begins so");
    let mut eve = Raw::connect(endpoint.tcp().await, "DEALER", &address).await;
    eve.closed().await;
    endpoint.dropped(Reason::Handshake, 1).await;
    send(&mut worker, &[&address, b"", b"for ada"]).await;
    assert_eq!(next_message(&mut ada).await, [&b""[..], b"for ada"]);
}

#[tokio::test]
async fn a_worker_reaches_no_client_but_the_one_whose_request_it_has() {
    // No heartbeat comes between.
    let limits = PoolLimits { heartbeat_ms: 60_000, ..PoolLimits::default() };
    let endpoint = Endpoint::start(
        EndpointKind::Service { limits, repeats: RepeatLimits::default() },
        Limits::default(),
    );
    let mut honest = endpoint.peer("DEALER").await;
    send(&mut honest, &[b"", b"MDPW01", b"\x01", b"echo"]).await;
    let mut client = endpoint.peer("DEALER").await;
    send(&mut client, &[b"", b"MDPC01", b"echo", b"question"]).await;
    let request = next_message(&mut honest).await;
    assert_eq!(request[2], b"\x02");
    // Eve has seen the address, and has guesses of her own. She has a request herself each time, so that nothing but the
    // address can tell.
    let mut asks = endpoint.peer("DEALER").await;
    let mut refused = 0;
    for address in [&request[3][..], b"client", &[0; 25]] {
        send(&mut asks, &[b"", b"MDPC01", b"other", b"question"]).await;
        let mut eve = endpoint.peer("DEALER").await;
        send(&mut eve, &[b"", b"MDPW01", b"\x01", b"other"]).await;
        assert_eq!(next_message(&mut eve).await[2], b"\x02");
        send(&mut eve, &[b"", b"MDPW01", b"\x03", address, b"", b"forged"]).await;
        assert_eq!(next_message(&mut eve).await[2], b"\x05", "she is a worker no more");
        refused += 1;
        endpoint.dropped(Reason::Unexpected, refused).await;
    }
    send(&mut honest, &[b"", b"MDPW01", b"\x03", &request[3], b"", b"answer"]).await;
    let reply = next_message(&mut client).await;
    assert_eq!(reply.last().map(Vec::as_slice), Some(&b"answer"[..]));
}
