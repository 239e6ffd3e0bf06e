//! Handshakes that are oversized, truncated, of another protocol, or wrong.

use swarmmq_node::zeromq::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{endpoint, long_header, send_and_be_closed, still_serves};
use crate::raw::{PATIENCE, Raw, command, greeting, message, ready, until};

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
