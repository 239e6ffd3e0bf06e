//! The clock of a hub, and peers that wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use swarmmq_broker::exchange::{Exchange, Frames, PeerId, PeerInfo, Peers, Side};

use super::core::{Handled, Hub};
use super::outbox::{Outbox, Staged};
use crate::security::{Method, Principal};
use crate::telemetry::metrics::Metrics;
use crate::zeromq::Drops;
use crate::zeromq::shared::{Outbound, SharedMessage};

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
        let outbox = Arc::new(Outbox::new(10, 1000));
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
    let outbox = Outbox::new(10, 1000);
    let mut staged = Staged::default();
    staged.push(Outbound::Own(vec![Bytes::from_static(&[0; 600])]));
    assert!(outbox.append(&mut staged), "the session is woken");
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
    let outbox = Outbox::new(10, 1_000_000);
    let mut staged = Staged::default();
    for is_behind in [false, true] {
        if is_behind {
            outbox.take(&mut VecDeque::new());
            outbox.set_behind();
        }
        staged.push(Outbound::Own(vec![block.slice(5..100)]));
        staged.push(Outbound::Shared(Arc::new(SharedMessage::new(vec![
            block.slice(..0),
            block.slice(5..100),
        ]))));
        outbox.append(&mut staged);
        assert_eq!(block.is_unique(), is_behind);
    }
    let mut out = VecDeque::new();
    outbox.take(&mut out);
    assert_eq!(out[0].frames(), [block.slice(5..100)]);
    assert_eq!(out[1].frames(), [Bytes::new(), block.slice(5..100)]);
}

#[test]
fn a_session_is_told_to_go_behind_all_that_it_is_to_write() {
    let outbox = Outbox::new(10, 1000);
    let mut staged = Staged::default();
    for explanation in ["first", "second"] {
        staged.push(Outbound::Own(vec![Bytes::from_static(b"x")]));
        staged.close(explanation);
        assert!(outbox.append(&mut staged) && staged.is_empty());
    }
    assert_eq!((outbox.len(), outbox.closing().as_deref()), (2, Some("first")));
}
