//! Frames after the handshake that ZMTP does not know, or that announce more than there may be.

use swarmmq_node::zeromq::Reason;
use tokio::io::AsyncWriteExt;

use super::{endpoint, long_header, still_serves};
use crate::raw::{command, frame, message, ready};

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
