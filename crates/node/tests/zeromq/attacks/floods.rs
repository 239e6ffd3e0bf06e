//! More of what is allowed than anybody needs.

use swarmmq_node::zeromq::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::endpoint;
use crate::raw::{command, message};

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
