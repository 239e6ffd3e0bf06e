//! Where an endpoint can be tapped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::mirror::Mirror;
use crate::zeromq::peers::PeerRecord;

/// Where a message was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::zeromq) enum Direction {
    /// A peer sent it.
    In,
    /// The node sends it to a peer. Only messages that no peer of the endpoint sent are seen on their way out.
    Out,
}

impl Direction {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The points of all endpoints, by name. One for an endpoint that is not there (yet) costs a few bytes.
#[derive(Debug, Clone, Default)]
pub(in crate::zeromq) struct Points(Arc<Mutex<HashMap<String, Arc<Point>>>>);

impl Points {
    /// The point of an endpoint.
    pub(in crate::zeromq) fn of(&self, endpoint: &str) -> Arc<Point> {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        points.entry(endpoint.to_owned()).or_default().clone()
    }
}

/// Where the messages of one endpoint can be watched.
#[derive(Debug, Default)]
pub(in crate::zeromq) struct Point {
    is_tapped: AtomicBool,
    /// Messages that were seen since the first tap.
    seen: AtomicU64,
    taps: RwLock<Vec<Arc<Mirror>>>,
}

impl Point {
    /// Shows a message to those who watch.
    #[inline]
    pub(in crate::zeromq) fn show(&self, direction: Direction, peer: &PeerRecord, frames: &[Bytes]) {
        if self.is_tapped.load(Ordering::Relaxed) {
            self.show_to_taps(direction, peer, frames);
        }
    }

    #[cold]
    fn show_to_taps(&self, direction: Direction, peer: &PeerRecord, frames: &[Bytes]) {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        for mirror in &*self.taps.read().unwrap_or_else(PoisonError::into_inner) {
            mirror.offer(number, direction, peer, frames);
        }
    }

    /// Has a tap watch for as long as the answer lives.
    pub(in crate::zeromq) fn tap(self: &Arc<Self>, mirror: Arc<Mirror>) -> Tapped {
        let mut taps = self.taps.write().unwrap_or_else(PoisonError::into_inner);
        taps.push(mirror.clone());
        self.is_tapped.store(true, Ordering::Relaxed);
        Tapped { point: self.clone(), mirror }
    }
}

/// A tap watches.
pub(in crate::zeromq) struct Tapped {
    point: Arc<Point>,
    mirror: Arc<Mirror>,
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let mut taps = self.point.taps.write().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|one| !Arc::ptr_eq(one, &self.mirror));
        self.point.is_tapped.store(!taps.is_empty(), Ordering::Relaxed);
    }
}
