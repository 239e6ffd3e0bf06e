//! Commands of CURVE that were changed on their way, are sent again, or are missing.

use swarmmq_node::zeromq::Reason;

use crate::curve::{Client, world};

#[tokio::test]
async fn a_flipped_bit_in_any_command_of_the_handshake_ends_the_connection() {
    let world = world();
    // The greeting is 64 bytes, HELLO 200 with its name, its frame header 2; then comes INITIATE.
    // 72 bytes of HELLO are padding, and guarded by nothing.
    for at in (66..440_usize).step_by(7).filter(|at| !(74..146).contains(at)) {
        let (mut sent, mut client) = (0, Client::new(&world, &world.ada).await);
        let entered = client
            .enter(|mut bytes| {
                // What an INITIATE has as length is not guarded: a longer one is waited for until the handshake times out.
                if let Some(byte) = at.checked_sub(sent).and_then(|place: usize| bytes.get_mut(place))
                    && !(266..276).contains(&at)
                {
                    *byte ^= 0x10;
                }
                sent += bytes.len();
                bytes
            })
            .await;
        assert!(!entered || (266..276).contains(&at), "byte {at}");
    }
    assert!(Client::new(&world, &world.ada).await.enter(|bytes| bytes).await, "others are served as before");
}

#[tokio::test]
async fn a_message_that_is_sent_again_or_changed_ends_the_connection() {
    let world = world();
    let mut replayed = Client::new(&world, &world.ada).await;
    assert!(replayed.enter(|bytes| bytes).await);
    let ping = replayed.ping();
    assert!(replayed.answers(&ping).await);
    assert!(!replayed.answers(&ping).await, "the same nonce again");
    // The nonce, the tag, the text: what is around them is framing, and says nothing that counts.
    for place in [12, 20, 39] {
        let mut flipped = Client::new(&world, &world.ada).await;
        assert!(flipped.enter(|bytes| bytes).await);
        let mut ping = flipped.ping();
        ping[place] ^= 1;
        assert!(!flipped.answers(&ping).await, "byte {place}");
    }
    world.endpoint.dropped(Reason::Protocol, 4).await;
}

#[tokio::test]
async fn plain_text_after_the_handshake_ends_the_connection() {
    let world = world();
    let mut client = Client::new(&world, &world.ada).await;
    assert!(client.enter(|bytes| bytes).await);
    let message = crate::raw::message(&[b"SWMQ1", b"1", b"PING"]);
    assert!(!client.answers(&message).await);
    world.endpoint.dropped(Reason::Protocol, 1).await;
}

#[tokio::test]
async fn the_handshake_of_another_connection_cannot_be_sent_again() {
    let world = world();
    let mut recorded = Vec::new();
    let mut ada = Client::new(&world, &world.ada).await;
    let entered = ada
        .enter(|bytes| {
            recorded.push(bytes.clone());
            bytes
        })
        .await;
    assert!(entered);
    // The node has other keys for this connection, so INITIATE opens nothing.
    let mut replayed = recorded.into_iter();
    let mut eve = Client::new(&world, &world.ada).await;
    assert!(!eve.enter(|bytes| replayed.next().unwrap_or(bytes)).await);
    assert_eq!(world.endpoint.listening.peers.count(), 1, "ada alone");
}
