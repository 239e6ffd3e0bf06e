//! The clock of a hub, and peers that wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use swarmmq_broker::exchange::{Exchange, Frames, PeerId, PeerInfo, Peers, Side};

use super::core::{Handled, Hub};
use super::outbox::{Outbox, Staged};
use super::peers::{Connected, Peer};
use crate::security::{Method, Principal};
use crate::telemetry::metrics::Metrics;
use crate::zeromq::Drops;
use crate::zeromq::chunks::put_message;
use crate::zeromq::chunks::tests::plain;
use crate::zeromq::packed::{
    FANNED_BYTES_MAX, PACKED_BYTES_MAX, PACKED_QUEUE_BYTES_MAX, PACKING_BYTES, Packed, Packing,
    SPARE_BYTES_MAX, Spare,
};
use crate::zeromq::shared::{Outbound, SharedMessage, bytes_of};

/// Takes nothing of anybody, and counts how often it is asked.
struct Closed(Arc<AtomicUsize>);

impl Exchange for Closed {
    fn attach(&mut self, _: u64, _: PeerId, _: &PeerInfo, _: &mut dyn Peers) {}
    fn handle(&mut self, _: u64, _: PeerId, _: Frames, _: &mut dyn Peers) {}
    fn detach(&mut self, _: u64, _: PeerId, _: &mut dyn Peers) {}
    fn drained(&mut self, _: u64, _: PeerId, _: &mut dyn Peers) {}

    fn accepts(&self, _: PeerId, _: &dyn Peers) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn next_due(&self) -> Option<u64> {
        None
    }

    fn tick(&mut self, _: u64, _: &mut dyn Peers) {}
}

#[tokio::test]
async fn the_clock_rests_however_many_peers_wait() {
    const PEERS: usize = 100;
    let asked = Arc::new(AtomicUsize::new(0));
    let drops = Drops::new("test", &Metrics::new(0));
    let hub = Arc::new(Hub::new("test", Box::new(Closed(asked.clone())), drops));
    for _ in 0..PEERS {
        let outbox = Arc::new(Outbox::new(10, 1000, false));
        let principal = Principal::unrestricted("anybody", Method::Open);
        let peer = hub.attach(Side::Front, "DEALER", Bytes::new(), principal, outbox.clone());
        let mut inbox = [vec![Bytes::from_static(b"x")]].into();
        assert_eq!(hub.handle(peer, &outbox, &mut inbox, true), Handled::Held);
    }
    let clock = tokio::spawn({
        let hub = hub.clone();
        async move { hub.keep_time().await }
    });
    asked.store(0, Ordering::Relaxed);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let asked = asked.load(Ordering::Relaxed);
    clock.abort();
    assert!((PEERS..5 * PEERS).contains(&asked), "each was looked at {} times", asked / PEERS);
}

#[test]
fn who_waits_for_room_that_came_meanwhile_is_told() {
    let outbox = Outbox::new(10, 1000, false);
    let (mut staged, mut spare) = (Staged::default(), Spare::default());
    staged.push(Outbound::Own(vec![Bytes::from_static(&[0; 600])]), 600, &mut spare);
    assert!(outbox.append(&mut staged, &mut spare), "the session is woken");
    assert!(!outbox.room(&staged).fits(600));
    // The session is quicker than the hub.
    let mut out = VecDeque::new();
    assert!(!outbox.take(&mut out));
    assert!(outbox.mark_full(), "nothing else would wake the session");
    out.clear();
    assert!(outbox.take(&mut out), "the exchange is told");
}

#[test]
fn what_waits_for_a_peer_that_is_behind_keeps_nothing_else_alive() {
    let block = Bytes::from(vec![7; 65_536]);
    let outbox = Outbox::new(10, 1_000_000, false);
    let (mut staged, mut spare) = (Staged::default(), Spare::default());
    for is_behind in [false, true] {
        if is_behind {
            outbox.take(&mut VecDeque::new());
            outbox.set_behind();
        }
        staged.push(Outbound::Own(vec![block.slice(5..100)]), 95, &mut spare);
        let shared = SharedMessage::new(vec![block.slice(..0), block.slice(5..100)]);
        staged.push(Outbound::Shared(Arc::new(shared)), 95, &mut spare);
        outbox.append(&mut staged, &mut spare);
        assert_eq!(block.is_unique(), is_behind);
    }
    let mut out = VecDeque::new();
    outbox.take(&mut out);
    assert_eq!(out[0].frames().unwrap(), [block.slice(5..100)]);
    assert_eq!(out[1].frames().unwrap(), [Bytes::new(), block.slice(5..100)]);
}

#[test]
fn a_session_is_told_to_go_behind_all_that_it_is_to_write() {
    let (mut staged, mut spare) = (Staged::default(), Spare::default());
    for takes_encoded in [false, true] {
        let outbox = Outbox::new(10, 1000, takes_encoded);
        for explanation in ["first", "second"] {
            let frames = vec![Bytes::from_static(b"x")];
            match takes_encoded {
                false => staged.push(Outbound::Own(frames), 1, &mut spare),
                true => staged.pack(1, &mut spare, |out| put_message(out, &frames)),
            }
            staged.close(explanation);
            assert!(outbox.append(&mut staged, &mut spare) && staged.is_empty());
        }
        assert_eq!((outbox.len(), outbox.closing().as_deref()), (2, Some("first")));
    }
}

#[test]
fn only_so_much_of_a_queue_is_packed_and_in_pieces() {
    let mut connected = Connected::new("test", Drops::new("test", &Metrics::new(0)));
    let outbox = Arc::new(Outbox::new(100_000, 1 << 30, true));
    let principal = Principal::unrestricted("anybody", Method::Open);
    connected.peers.insert(PeerId(1), Peer::new(outbox.clone(), principal));
    for _ in 0..2000 {
        connected.send(PeerId(1), vec![Bytes::from_static(&[7; PACKED_BYTES_MAX])]);
    }
    connected.flush();
    let mut out = VecDeque::new();
    outbox.take(&mut out);
    let packs: Vec<&Packed> = out
        .iter()
        .filter_map(|it| if let Outbound::Packed(packed) = it { Some(packed) } else { None })
        .collect();
    let messages: usize = packs.iter().map(|packed| packed.messages).sum();
    assert_eq!(messages, PACKED_QUEUE_BYTES_MAX / PACKED_BYTES_MAX);
    assert_eq!(out.len(), packs.len() + 2000 - messages);
    assert!(packs.iter().all(|packed| packed.bytes.len() < PACKING_BYTES + PACKED_BYTES_MAX + 9));
    assert!(packs.len() > 1);
}

#[test]
fn memory_for_messages_is_kept_within_a_bound() {
    let mut spare = Spare::default();
    let mut packings: Vec<Packing> = (0..100).map(|_| Packing::default()).collect();
    for packing in &mut packings {
        packing.add(&mut spare, |out| out.extend_from_slice(&[7; PACKING_BYTES]));
    }
    for packing in &mut packings {
        packing.finish(&mut spare);
    }
    assert!((1..=SPARE_BYTES_MAX).contains(&spare.bytes()), "{}", spare.bytes());
    // What is kept is used.
    packings[0].add(&mut spare, |out| out.extend_from_slice(b"x"));
    assert!(spare.bytes() < SPARE_BYTES_MAX);
    packings[0].finish(&mut spare);
    assert!((1..=SPARE_BYTES_MAX).contains(&spare.bytes()));
}

/// What the queue of a peer may hold.
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
enum Step {
    /// To which peers of three, with how many bytes in each of so many frames.
    Send(Vec<u64>, usize, usize),
    /// The end of a turn.
    Flush,
    /// The session of a peer takes what is there, and may be behind from then on.
    Take(u64, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let peers = proptest::sample::subsequence(vec![1_u64, 2, 3], 1..=3);
    let bytes = prop_oneof![4 => 0..300_usize, 1 => 500..1100_usize, 1 => 4000..5000_usize];
    prop_oneof![
        6 => (peers, bytes, 1..4_usize).prop_map(|(peers, bytes, frames)| Step::Send(peers, bytes, frames)),
        2 => Just(Step::Flush),
        1 => (1..4_u64, any::<bool>()).prop_map(|(peer, is_behind)| Step::Take(peer, is_behind)),
    ]
}

proptest! {
    /// Whoever of the peers takes encoded messages: each is to write what was sent to it, in order, and as many messages
    /// as its queue said it held.
    #[test]
    fn a_peer_is_to_write_what_was_sent_to_it(
        steps in proptest::collection::vec(any_step(), 1..60), encoded in any::<[bool; 3]>()
    ) {
        let mut connected = Connected::new("test", Drops::new("test", &Metrics::new(0)));
        let outboxes = encoded.map(|takes| Arc::new(Outbox::new(1_000, BYTES_MAX, takes)));
        for (outbox, id) in outboxes.iter().zip(1..) {
            let principal = Principal::unrestricted("anybody", Method::Open);
            connected.peers.insert(PeerId(id), Peer::new(outbox.clone(), principal));
        }
        let mut expected: [Vec<u8>; 3] = Default::default();
        let mut written: [Vec<u8>; 3] = Default::default();
        let mut sent = [0; 3];
        let mut take = |peer: u64, is_behind: bool| {
            let (mut out, nth) = (VecDeque::new(), peer as usize - 1);
            let held = outboxes[nth].len();
            let room = outboxes[nth].room(&Staged::default()).bytes;
            let held_bytes = BYTES_MAX.saturating_sub(room);
            outboxes[nth].take(&mut out);
            assert_eq!(out.iter().map(Outbound::messages).sum::<usize>(), held);
            for outbound in out {
                match &outbound {
                    Outbound::Packed(packed) => {
                        assert!(encoded[nth]);
                        written[nth].extend_from_slice(&packed.bytes);
                    }
                    other => {
                        let frames = other.frames().unwrap();
                        let packed_max = if matches!(other, Outbound::Own(_)) { PACKED_BYTES_MAX } else { FANNED_BYTES_MAX };
                        assert!(!encoded[nth] || bytes_of(frames) > packed_max || held_bytes >= PACKED_QUEUE_BYTES_MAX);
                        written[nth].extend(plain(frames));
                    }
                }
            }
            if is_behind {
                outboxes[nth].set_behind();
            }
            held
        };
        for (step, nth) in steps.into_iter().zip(1_u8..) {
            match step {
                Step::Send(peers, bytes, frames) => {
                    let frames = vec![Bytes::from(vec![nth; bytes]); frames];
                    for peer in &peers {
                        expected[*peer as usize - 1].extend(plain(&frames));
                        sent[*peer as usize - 1] += 1;
                    }
                    let peers: Vec<PeerId> = peers.into_iter().map(PeerId).collect();
                    connected.send_all(&peers, frames);
                }
                Step::Flush => connected.flush(),
                Step::Take(peer, is_behind) => sent[peer as usize - 1] -= take(peer, is_behind),
            }
            for id in 1..4 {
                prop_assert_eq!(connected.room(PeerId(id)).messages, 1_000 - sent[id as usize - 1]);
            }
        }
        connected.flush();
        for peer in 1..4 {
            sent[peer as usize - 1] -= take(peer, false);
        }
        prop_assert_eq!(sent, [0; 3]);
        prop_assert_eq!(written, expected);
    }
}
