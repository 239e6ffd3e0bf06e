//! Commands of CURVE that were changed on their way, are sent again, or are missing.

use std::time::Duration;

use swarmmq_node::zeromq::{Limits, Reason};

use crate::curve::{Client, World, world, world_with};

/// Where the commands of the handshake begin in what a client sends: behind the greeting, and behind HELLO of 200 bytes and
/// its frame's header of 2. The header of INITIATE has one byte of flags and eight of a length.
const HELLO: usize = 64;
const INITIATE: usize = HELLO + 202;
const INITIATE_BODY: usize = INITIATE + 9;

/// Whether a handshake comes to its end of which one byte is changed.
async fn enters_with_flipped(world: &World, at: usize) -> bool {
    let (mut sent, mut is_flipped) = (0, false);
    let entered = Client::new(world, &world.ada)
        .await
        .enter(|mut bytes| {
            if let Some(byte) = at.checked_sub(sent).and_then(|place: usize| bytes.get_mut(place)) {
                *byte ^= 0x10;
                is_flipped = true;
            }
            sent += bytes.len();
            bytes
        })
        .await;
    assert!(is_flipped, "byte {at} was not sent");
    entered
}

#[tokio::test]
async fn a_flipped_bit_in_any_command_of_the_handshake_ends_the_connection() {
    let world = world();
    // 72 bytes of HELLO are padding, and guarded by nothing.
    let hello = (HELLO + 2..INITIATE).filter(|at| !(HELLO + 10..HELLO + 82).contains(at));
    for at in hello.chain(INITIATE_BODY..440).step_by(7) {
        assert!(!enters_with_flipped(&world, at).await, "byte {at}");
    }
    assert!(Client::new(&world, &world.ada).await.enter(|bytes| bytes).await, "others are served as before");
}

#[tokio::test]
async fn a_flipped_bit_in_the_length_of_initiate_ends_the_connection() {
    // A command that seems longer than it is is waited for until the handshake has taken too long.
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_millis(200);
    let world = world_with(limits);
    for at in INITIATE + 1..INITIATE_BODY {
        assert!(!enters_with_flipped(&world, at).await, "byte {at}");
    }
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
