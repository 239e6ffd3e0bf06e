//! Names and ids that are no names: paths, control characters, nothing, too much.

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits};
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use tokio::io::AsyncWriteExt;

use super::{endpoint, still_serves};
use crate::raw::{Endpoint, Item, Raw, message};

const NO_NAMES: [&[u8]; 9] = [
    b"",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"a b",
    b"a\nb",
    b"a\0b",
    b"\x1b[31mred",
    b"\xff\xfe",
    &[b'x'; 300],
];

#[tokio::test]
async fn a_destination_with_such_a_name_is_refused_with_a_reason_and_nothing_is_made() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    for name in NO_NAMES {
        for verb in [&b"PUT"[..], b"PULL"] {
            peer.stream.write_all(&message(&[b"SWMQ1", b"7", verb, name, b"x"])).await.unwrap();
            let answer = peer.receive().await;
            assert_eq!(answer[1..3], ["7", "ERROR"], "{}: {answer:?}", name.escape_ascii());
            assert!(answer[4].bytes().all(|byte| !byte.is_ascii_control()), "{answer:?}");
        }
    }
    assert_eq!(endpoint.model.with(|state| state.submitted), 0);
    still_serves(&endpoint).await;
}

#[tokio::test]
async fn correlation_ids_are_bytes_that_come_back_as_they_are() {
    let endpoint = endpoint();
    let mut peer = endpoint.peer("DEALER").await;
    for id in NO_NAMES.into_iter().filter(|id| id.len() <= 255) {
        peer.stream.write_all(&message(&[b"SWMQ1", id, b"PING"])).await.unwrap();
        let Some(Item::Message(answer)) = peer.item().await else { panic!("no answer") };
        assert_eq!(answer[1], id);
    }
}

#[tokio::test]
async fn a_service_with_such_a_name_is_neither_served_nor_asked() {
    let endpoint = Endpoint::start(
        EndpointKind::Service { limits: PoolLimits::default(), repeats: RepeatLimits::default() },
        Limits::default(),
    );
    let no_service: [&[u8]; 4] = [b"", b"a\nb", b"a\0b", &[b'x'; 300]];
    for (nth, name) in no_service.into_iter().enumerate() {
        let mut peer = endpoint.peer("DEALER").await;
        let (ready, request) =
            (message(&[b"", b"MDPW01", b"\x01", name]), message(&[b"", b"MDPC01", name, b"x"]));
        peer.stream.write_all(&[ready, request].concat()).await.unwrap();
        endpoint.dropped(Reason::Malformed, 2 * nth as u64 + 2).await;
    }
    assert!(endpoint.listening.figures().iter().all(|(_, count)| *count == 0), "nothing was made");
}

#[tokio::test]
async fn a_routing_id_is_shown_as_it_was_sent_and_nothing_follows_from_it() {
    let endpoint = endpoint();
    for id in [&b"../../x"[..], b"\x1b[31mred\n", &[b'x'; 200]] {
        let mut peer = Raw::connect(endpoint.tcp().await, "DEALER", id).await;
        assert_eq!(peer.ask(&["SWMQ1", "1", "PING"]).await[2], "OK");
        assert_eq!(endpoint.listening.peers.first(10).last().unwrap().routing_id, id);
    }
}
