//! Who is connected to an endpoint, for those who operate it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarmmq_broker::exchange::Side;
use tokio::time::Instant;

/// The peers of one endpoint. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct PeerList(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    peers: BTreeMap<u64, Arc<PeerRecord>>,
    /// What peers that are gone have sent and were sent.
    gone: BTreeMap<&'static str, Traffic>,
}

/// Messages of the peers with one type of socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many of them are connected.
    pub peers: u64,
    /// Messages that were ever read from one.
    pub received: u64,
    /// Messages that were ever handed to the connection of one.
    pub sent: u64,
}

impl Traffic {
    fn add(&mut self, peer: &PeerRecord) {
        self.received += peer.received();
        self.sent += peer.sent();
    }
}

/// A peer that is connected.
#[derive(Debug)]
pub struct PeerRecord {
    /// Where it connected.
    pub side: Side,
    /// Its address; none over a Unix socket.
    pub address: Option<SocketAddr>,
    /// Its socket type, as `DEALER`.
    pub socket_type: &'static str,
    /// The routing id it chose. Nobody has checked it.
    pub routing_id: Bytes,
    /// Who it is.
    pub user: Arc<str>,
    since: Instant,
    received: AtomicU64,
    sent: AtomicU64,
}

impl PeerRecord {
    pub(super) fn new(
        side: Side,
        address: Option<SocketAddr>,
        socket_type: &'static str,
        routing_id: Bytes,
        user: &str,
    ) -> Self {
        let (received, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            side,
            address,
            socket_type,
            routing_id,
            user: user.into(),
            since: Instant::now(),
            received,
            sent,
        }
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Messages that were read from it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that were handed to its connection.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How long it has been connected.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Takes a peer off the list when it is dropped.
pub(super) struct Listed {
    list: PeerList,
    id: u64,
}

impl PeerList {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, peer: Arc<PeerRecord>) -> Listed {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner.peers.insert(id, peer);
        Listed { list: self.clone(), id }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().peers.len()
    }

    /// What the peers of each socket type have sent and were sent since the endpoint was started.
    #[must_use]
    pub fn traffic(&self) -> BTreeMap<&'static str, Traffic> {
        let inner = self.lock();
        let mut traffic = inner.gone.clone();
        for peer in inner.peers.values() {
            let of_type = traffic.entry(peer.socket_type).or_default();
            of_type.peers += 1;
            of_type.add(peer);
        }
        traffic
    }

    /// The first `most` of them, those that have been connected longest first.
    #[must_use]
    pub fn first(&self, most: usize) -> Vec<Arc<PeerRecord>> {
        self.lock().peers.values().take(most).cloned().collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut inner = self.list.lock();
        if let Some(peer) = inner.peers.remove(&self.id) {
            inner.gone.entry(peer.socket_type).or_default().add(&peer);
        }
    }
}
