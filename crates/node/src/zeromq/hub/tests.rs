//! The clock of a hub, and peers that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use swarmmq_broker::exchange::{Exchange, Frames, PeerId, PeerInfo, Peers, Side};

use super::core::{Handled, Hub};
use super::outbox::Outbox;
use crate::security::{Method, Principal};
use crate::telemetry::metrics::Metrics;
use crate::zeromq::Drops;

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
