//! Peers that are broken or mean harm.

use std::time::Duration;

use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::{Endpoint, PATIENCE, Raw, command, frame, greeting, message, ready, until};

fn endpoint() -> Endpoint {
    Endpoint::start(EndpointKind::Durable, Limits::default())
}

/// Sends bytes and waits until the node has closed the connection.
async fn send_and_be_closed(endpoint: &Endpoint, bytes: &[u8]) {
    let mut stream = endpoint.tcp().await;
    // The node may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("the connection stays open");
}

async fn still_serves(endpoint: &Endpoint) {
    let mut peer = endpoint.peer("DEALER").await;
    assert_eq!(peer.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
}

fn long_header(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | 2][..], &length.to_be_bytes()].concat()
}

#[tokio::test]
async fn handshakes_that_are_wrong_are_refused_with_their_reason() {
    let null = greeting("NULL");
    let after_greeting = |rest: &[u8]| [&null[..], rest].concat();
    let mut old = null.clone();
    old[10] = 1;
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("a browser", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Reason::NotZmtp),
        ("a short wrong start", vec![0], Reason::NotZmtp),
        ("ZMTP 2.0", old, Reason::Version),
        ("PLAIN", greeting("PLAIN"), Reason::Mechanism),
        ("CURVE", greeting("CURVE"), Reason::Mechanism),
        ("a greeting without end", after_greeting(&[0; 8192]), Reason::Handshake),
        ("a large command", after_greeting(&long_header(4, 5000)), Reason::HandshakeTooLarge),
        ("a command of 8 GiB", after_greeting(&long_header(4, 8 << 30)), Reason::HandshakeTooLarge),
        ("a command of 2^64-1", after_greeting(&long_header(4, u64::MAX)), Reason::HandshakeTooLarge),
        ("data before READY", after_greeting(&message(&[b"SWMQ1", b"1", b"PING"])), Reason::Handshake),
        ("an unknown command", after_greeting(&command(b"\x05HELLO")), Reason::Handshake),
        ("an empty command", after_greeting(&command(b"")), Reason::Handshake),
        (
            "a READY cut short",
            after_greeting(&command(b"\x05READY\x0bSocket-Type\x00\x00")),
            Reason::Handshake,
        ),
        ("no socket type", after_greeting(&command(b"\x05READY")), Reason::Handshake),
        ("an unknown socket type", after_greeting(&ready("NOPE", b"")), Reason::Handshake),
        ("reserved flags", after_greeting(&[0xF4, 0]), Reason::Handshake),
    ];
    for (what, bytes, reason) in cases {
        let endpoint = endpoint();
        send_and_be_closed(&endpoint, &bytes).await;
        endpoint.dropped(reason, 1).await;
        assert_eq!(endpoint.listening.drops.snapshot(), [(reason, 1)], "{what}");
        still_serves(&endpoint).await;
    }
}

#[tokio::test]
async fn a_connection_cut_anywhere_in_its_handshake_costs_nothing() {
    let endpoint = endpoint();
    let whole = [greeting("NULL"), ready("DEALER", b"me"), message(&[b"SWMQ1", b"1", b"PING"])].concat();
    for end in 0..whole.len() {
        let mut stream = endpoint.tcp().await;
        stream.write_all(&whole[..end]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it stays open");
    }
    until("all ties are gone", || endpoint.model.with(|state| state.ties == 0)).await;
    assert_eq!(endpoint.listening.drops.snapshot(), [], "going is nobody's fault");
    still_serves(&endpoint).await;
}

#[tokio::test]
async fn a_peer_that_sends_byte_by_byte_is_served() {
    let endpoint = endpoint();
    let mut stream = endpoint.tcp().await;
    stream.set_nodelay(true).unwrap();
    let payload = vec![b'x'; 3000];
    let bytes = [
        greeting("NULL"),
        ready("DEALER", b"me"),
        message(&[b"SWMQ1", b"1", b"PUT", b"orders", &payload]),
        message(&[b"SWMQ1", b"2", b"PING"]),
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut greeting = [0; 64];
    stream.read_exact(&mut greeting).await.unwrap();
    let mut peer = Raw { stream };
    peer.item().await.expect("READY");
    assert_eq!(peer.receive().await[1..4], ["1", "OK", "stored"]);
    assert_eq!(peer.receive().await[1..3], ["2", "OK"]);
    assert_eq!(endpoint.model.payloads(), [payload]);
}

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

#[tokio::test]
async fn what_breaks_zmtp_after_the_handshake_ends_the_connection() {
    let frames = |count: usize| frame(b"", true).repeat(count);
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("a frame of 8 GiB", long_header(0, 8 << 30), Reason::Oversized),
        ("a frame of 2^64-1", long_header(0, u64::MAX), Reason::Protocol),
        ("a command of 8 GiB", long_header(4, 8 << 30), Reason::Oversized),
        ("a message without end", frames(200_000), Reason::Oversized),
        ("READY again", ready("DEALER", b""), Reason::Protocol),
        ("ERROR", command(b"\x05ERROR\x02no"), Reason::Protocol),
        ("reserved flags", vec![0x80, 0], Reason::Protocol),
        ("a command with MORE", vec![5, 0], Reason::Protocol),
        ("an empty command", command(b""), Reason::Protocol),
    ];
    for (what, bytes, reason) in cases {
        let endpoint = endpoint();
        let mut peer = endpoint.peer("DEALER").await;
        let _ = peer.stream.write_all(&bytes).await;
        peer.closed().await;
        endpoint.dropped(reason, 1).await;
        assert_eq!(endpoint.listening.drops.snapshot(), [(reason, 1)], "{what}");
        still_serves(&endpoint).await;
    }
}

#[tokio::test]
async fn requests_before_a_broken_frame_are_still_answered() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    let bytes = [message(&[b"SWMQ1", b"1", b"PUT", b"orders", b"x"]), vec![0x80, 0]].concat();
    peer.stream.write_all(&bytes).await.unwrap();
    assert_eq!(peer.receive().await[1..4], ["1", "OK", "stored"]);
    peer.closed().await;
}

#[tokio::test]
async fn commands_of_other_sockets_say_nothing() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    for body in [&b"\x09SUBSCRIBEa"[..], b"\x06CANCELa", b"\x04JOINa", b"\x05LEAVEa", b"\x03ODD", b"\x04PONG"]
    {
        peer.stream.write_all(&command(body)).await.unwrap();
    }
    assert_eq!(peer.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
}

#[tokio::test]
async fn a_flood_of_small_requests_is_all_answered() {
    let endpoint = endpoint();
    let peer = endpoint.peer("DEALER").await;
    let (reader, mut writer) = peer.stream.into_split();
    let sender = tokio::spawn(async move {
        let one =
            [message(&[b"SWMQ1", b"1", b"PING"]), message(&[b""]), command(b"\x04PING\x00\x00")].concat();
        for _ in 0..200 {
            writer.write_all(&one.repeat(100)).await.unwrap();
        }
        writer
    });
    let mut reader = tokio::io::BufReader::new(reader);
    let (mut messages, mut commands) = (0, 0);
    while messages < 40_000 || commands < 20_000 {
        let flags = reader.read_u8().await.unwrap();
        let length = reader.read_u8().await.unwrap();
        let mut body = vec![0; usize::from(length)];
        reader.read_exact(&mut body).await.unwrap();
        match flags {
            0 => messages += 1,
            4 => commands += 1,
            _ => {}
        }
    }
    let _writer = sender.await.unwrap();
    assert_eq!(endpoint.listening.drops.of(Reason::Malformed), 20_000);
}
