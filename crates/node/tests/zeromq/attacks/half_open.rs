//! Connections that are opened and say nothing, or never finish their handshake. Ten thousand of them at once are in the
//! test `flood`.

use std::time::Duration;

use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::send_and_be_closed;
use crate::raw::{Endpoint, PATIENCE, Raw, greeting, ready};

#[tokio::test]
async fn half_open_connections_are_closed_in_time() {
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_millis(100);
    let endpoint = Endpoint::start(EndpointKind::Durable, limits);
    let mut streams = Vec::new();
    for end in [0, 1, 10, 11, 63, 64, 70] {
        let mut stream: TcpStream = endpoint.tcp().await;
        let bytes = [greeting("NULL"), ready("DEALER", b"")].concat();
        stream.write_all(&bytes[..end]).await.unwrap();
        streams.push(stream);
    }
    endpoint.dropped(Reason::HandshakeTimeout, 7).await;
    for stream in &mut streams {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it stays open");
    }
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_and_counted() {
    for reason in [Reason::ConnectionsMax, Reason::ConnectionsPerAddressMax, Reason::HandshakesMax] {
        let mut limits = Limits::default();
        match reason {
            Reason::ConnectionsMax => limits.connections_max = 2,
            Reason::ConnectionsPerAddressMax => limits.connections_per_address_max = 2,
            _ => limits.handshakes_max = 2,
        }
        let endpoint = Endpoint::start(EndpointKind::Durable, limits);
        let first = endpoint.tcp().await;
        let second = endpoint.tcp().await;
        send_and_be_closed(&endpoint, &greeting("NULL")).await;
        endpoint.dropped(reason, 1).await;
        drop(first);
        // The place is free again, as soon as the node has noticed.
        let mut second = Raw::connect(second, "DEALER", b"").await;
        assert_eq!(second.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
    }
}
