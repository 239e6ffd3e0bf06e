//! Messages of several frames that never end.

use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, PubSubLimits, RepeatLimits};
use swarmmq_node::zeromq::{EndpointKind, Limits, Multipart, Reason};
use swarmmq_protocol::DestinationName;
use tokio::io::AsyncWriteExt;

use super::still_serves;
use crate::raw::{Endpoint, frame};

fn kinds() -> Vec<(EndpointKind, &'static str)> {
    let queue = DestinationName::new("events").unwrap();
    vec![
        (EndpointKind::Durable, "DEALER"),
        (EndpointKind::Ingest { queue, multipart: Multipart::Keep }, "PUSH"),
        (EndpointKind::RequestReply, "DEALER"),
        (EndpointKind::PubSub { limits: PubSubLimits::default() }, "PUB"),
        (EndpointKind::Service { limits: PoolLimits::default(), repeats: RepeatLimits::default() }, "DEALER"),
        (EndpointKind::Workers { limits: PoolLimits::default() }, "DEALER"),
    ]
}

#[tokio::test]
async fn a_message_ends_its_connection_before_it_is_larger_than_it_may_be() {
    for (kind, socket_type) in kinds() {
        let name = kind.as_str();
        let mut limits = Limits::default();
        limits.message_bytes_max = 256 << 10;
        let endpoint = Endpoint::two_sided(kind, limits);
        // A few large frames, and many that are empty: bytes and frames both count.
        for (body, frames) in [(vec![b'x'; 60_000], 10), (Vec::new(), 100_000)] {
            let mut peer = endpoint.peer(socket_type).await;
            let _ = peer.stream.write_all(&frame(&body, true).repeat(frames)).await;
            peer.closed().await;
        }
        endpoint.dropped(Reason::Oversized, 2).await;
        assert_eq!(endpoint.listening.drops.snapshot(), [(Reason::Oversized, 2)], "{name}");
    }
}

#[tokio::test]
async fn one_that_stops_in_the_middle_is_closed_when_it_has_been_silent_for_too_long() {
    let mut limits = Limits::default();
    limits.heartbeat_interval = Duration::from_millis(50);
    limits.heartbeat_timeout = Duration::from_millis(150);
    let endpoint = Endpoint::start(EndpointKind::Durable, limits);
    let mut peers = Vec::new();
    for _ in 0..50 {
        let mut peer = endpoint.peer("DEALER").await;
        peer.stream.write_all(&frame(&[b'x'; 50_000], true).repeat(10)).await.unwrap();
        peers.push(peer);
    }
    still_serves(&endpoint).await;
    // Nobody here answers a PING.
    endpoint.dropped(Reason::Silent, 50).await;
    for peer in &mut peers {
        peer.closed().await;
    }
    assert_eq!(endpoint.model.with(|state| state.submitted), 0, "nothing of them was done");
}
