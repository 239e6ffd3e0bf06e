//! Peers that mean harm, or are so broken that it comes to the same: one file for each way.

use swarmmq_node::zeromq::{EndpointKind, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Endpoint, PATIENCE};

mod broken_frames;
mod curve_commands;
mod deep_topics;
mod floods;
mod forged_identities;
mod half_open;
mod handshakes;
mod names;
mod unfinished_messages;

pub(super) fn endpoint() -> Endpoint {
    Endpoint::start(EndpointKind::Durable, Limits::default())
}

/// Sends bytes and waits until the node has closed the connection.
pub(super) async fn send_and_be_closed(endpoint: &Endpoint, bytes: &[u8]) {
    let mut stream = endpoint.tcp().await;
    // The node may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("the connection stays open");
}

pub(super) async fn still_serves(endpoint: &Endpoint) {
    let mut peer = endpoint.peer("DEALER").await;
    assert_eq!(peer.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
}

pub(super) fn long_header(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | 2][..], &length.to_be_bytes()].concat()
}
