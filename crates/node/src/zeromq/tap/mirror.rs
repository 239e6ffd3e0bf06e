//! One tap, as the sessions of the endpoint that it watches see it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::point::Direction;
use crate::zeromq::drops::{Drops, Reason};
use crate::zeromq::options::Limits;
use crate::zeromq::peers::PeerRecord;
use crate::zeromq::shared::bytes_of;

/// What the two frames of ours are counted for.
const ABOUT_BYTES: usize = 512;

/// A mirrored message, and what it is counted for.
type Item = (Vec<Bytes>, usize);

/// Takes copies of messages, as many as its queue has room for.
#[derive(Debug)]
pub(in crate::zeromq) struct Mirror {
    endpoint: String,
    sample: NonZeroU32,
    queue: Sender<Item>,
    queued_bytes: Arc<AtomicUsize>,
    queue_bytes_max: usize,
    frames_max: usize,
    drops: Drops,
}

/// What was mirrored and is to be passed on.
pub(in crate::zeromq) struct Mirrored {
    queue: Receiver<Item>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Mirror {
    /// A tap of `endpoint` that takes one message of `sample`. What it has no room for is counted in `drops`.
    pub(in crate::zeromq) fn new(
        endpoint: &str,
        sample: NonZeroU32,
        limits: &Limits,
        drops: Drops,
    ) -> (Arc<Self>, Mirrored) {
        let (sender, queue) = channel(limits.peer_queue_messages_max);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let mirror = Self {
            endpoint: endpoint.to_owned(),
            sample,
            queue: sender,
            queued_bytes: queued_bytes.clone(),
            queue_bytes_max: limits.receive_queue_bytes,
            frames_max: limits.frames_max,
            drops,
        };
        (Arc::new(mirror), Mirrored { queue, queued_bytes })
    }

    /// Takes a message if it is one of the sample and there is room.
    pub(super) fn offer(&self, number: u64, direction: Direction, peer: &PeerRecord, frames: &[Bytes]) {
        if !self.is_of_the_sample(number) {
            return;
        }
        let Ok(place) = self.queue.try_reserve() else { return self.drops.count(Reason::TapBehind) };
        if frames.len() + 2 > self.frames_max {
            return self.drops.count(Reason::TooLarge);
        }
        let bytes = bytes_of(frames) + ABOUT_BYTES;
        // One that is larger than the queue goes through it alone. Nothing is copied that does not fit.
        let reserved = self.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
            (queued == 0 || queued + bytes <= self.queue_bytes_max).then_some(queued + bytes)
        });
        if reserved.is_err() {
            return self.drops.count(Reason::TapBehind);
        }
        place.send((self.copy(number, direction, peer, frames), bytes));
    }

    /// Scattered, as requests and replies may take turns: every second message would be all of one kind.
    fn is_of_the_sample(&self, number: u64) -> bool {
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        scattered.is_multiple_of(u64::from(self.sample.get()))
    }

    /// The message behind two frames of ours, with memory of its own.
    fn copy(&self, number: u64, direction: Direction, peer: &PeerRecord, frames: &[Bytes]) -> Vec<Bytes> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let about = json!({
            "number": number,
            "time_ms": u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            "user": &*peer.user,
            "peer": peer.address.map(|address| address.to_string()),
            "socket_type": peer.socket_type,
        });
        let mut memory = BytesMut::with_capacity(bytes_of(frames));
        let mut copied = Vec::with_capacity(frames.len() + 2);
        copied.push(Bytes::from(format!("{} {}", self.endpoint, direction.as_str())));
        copied.push(Bytes::from(about.to_string()));
        for frame in frames {
            memory.extend_from_slice(frame);
            copied.push(memory.split().freeze());
        }
        copied
    }
}

impl Mirrored {
    /// The next message. None once nobody can mirror any more.
    pub(super) async fn next(&mut self) -> Option<Vec<Bytes>> {
        let (frames, bytes) = self.queue.recv().await?;
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(frames)
    }

    /// The next message, if one is there.
    pub(super) fn poll(&mut self) -> Option<Vec<Bytes>> {
        let (frames, bytes) = self.queue.try_recv().ok()?;
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(frames)
    }
}
