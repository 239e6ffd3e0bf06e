//! What waits to be written to one peer of a hub.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use swarmmq_broker::exchange::Room;

use crate::zeromq::packed::{PACKED_QUEUE_BYTES_MAX, Packing, Spare};
use crate::zeromq::shared::Outbound;
use crate::zeromq::wakeup::Wakeup;

/// A peer's queue. The hub fills it, with its lock held and at the end of a turn; the peer's session empties it.
#[derive(Debug)]
pub(in crate::zeromq) struct Outbox {
    queue: Mutex<Queue>,
    /// What the queue holds, to be looked at without its lock. It becomes more only while the hub is locked.
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// The peer does not take what is written to it.
    is_behind: AtomicBool,
    /// It has become crowded since it was emptied, and who filled it was told.
    is_crowded: AtomicBool,
    messages_max: usize,
    bytes_max: usize,
    /// Whether small messages may be encoded for the session.
    takes_encoded: bool,
    /// Whether messages of the peer may be handed to the exchange: false from when it refused one.
    accepts: AtomicBool,
    wakeup: Arc<Wakeup>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Outbound>,
    /// It was seen to be full, and nobody was told yet that it is not any more.
    was_full: bool,
    close: Option<String>,
}

/// What a turn of the hub has for a peer: it goes to the outbox when the turn ends.
#[derive(Debug, Default)]
pub(super) struct Staged {
    messages: VecDeque<Outbound>,
    /// What comes after them.
    packing: Packing,
    /// How many messages these are, and the bytes of their frames.
    count: usize,
    bytes: usize,
    close: Option<String>,
}

impl Staged {
    /// Adds a message whose frames have so many bytes.
    pub(super) fn push(&mut self, message: Outbound, bytes: usize, spare: &mut Spare) {
        self.count += 1;
        self.bytes += bytes;
        self.unpack(spare);
        self.messages.push_back(message);
    }

    /// Adds a message whose frames have so many bytes to those that are packed.
    pub(super) fn pack(&mut self, bytes: usize, spare: &mut Spare, put: impl FnOnce(&mut BytesMut)) {
        self.count += 1;
        self.bytes += bytes;
        if self.packing.add(spare, put) {
            self.unpack(spare);
        }
    }

    fn unpack(&mut self, spare: &mut Spare) {
        self.messages.extend(self.packing.finish(spare).map(Outbound::Packed));
    }

    /// Ends the session when its messages are written.
    pub(super) fn close(&mut self, explanation: &str) {
        self.close.get_or_insert_with(|| explanation.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.packing.is_empty() && self.close.is_none()
    }
}

impl Outbox {
    /// A queue with limits. Small messages come out encoded if the session `takes_encoded` ones.
    pub(in crate::zeromq) fn new(messages_max: usize, bytes_max: usize, takes_encoded: bool) -> Self {
        Self {
            queue: Mutex::default(),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            is_behind: AtomicBool::new(false),
            is_crowded: AtomicBool::new(false),
            messages_max,
            bytes_max,
            takes_encoded,
            accepts: AtomicBool::new(true),
            wakeup: Arc::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::zeromq) fn wakeup(&self) -> &Arc<Wakeup> {
        &self.wakeup
    }

    /// Whether a message of so many bytes is to be packed, where messages up to `bytes_max` are.
    pub(super) fn packs(&self, staged: &Staged, bytes: usize, bytes_max: usize) -> bool {
        let held = || self.bytes.load(Ordering::Relaxed) + staged.bytes;
        self.takes_encoded && bytes <= bytes_max && held() < PACKED_QUEUE_BYTES_MAX
    }

    /// Takes over what was staged. True if the session is to be woken.
    pub(super) fn append(&self, staged: &mut Staged, spare: &mut Spare) -> bool {
        staged.unpack(spare);
        let mut queue = self.queue();
        let was_empty = queue.messages.is_empty();
        if self.is_behind.load(Ordering::Relaxed) {
            // They will wait, and must not keep alive all that was read with them.
            staged.messages.iter_mut().for_each(Outbound::detach);
        }
        self.messages.fetch_add(std::mem::take(&mut staged.count), Ordering::Relaxed);
        self.bytes.fetch_add(std::mem::take(&mut staged.bytes), Ordering::Relaxed);
        if was_empty {
            std::mem::swap(&mut queue.messages, &mut staged.messages);
        } else {
            queue.messages.append(&mut staged.messages);
        }
        let close = staged.close.take();
        let wakes = was_empty || close.is_some();
        queue.close = queue.close.take().or(close);
        wakes
    }

    /// How much more it takes, with what is staged for it.
    pub(super) fn room(&self, staged: &Staged) -> Room {
        let room = self.room_now(staged);
        if !room.is_full() {
            return room;
        }
        // The session may be emptying it: either it sees the mark, or the room is seen here.
        let mut queue = self.queue();
        let room = self.room_now(staged);
        queue.was_full |= room.is_full();
        room
    }

    fn room_now(&self, staged: &Staged) -> Room {
        let held = self.messages.load(Ordering::Relaxed) + staged.count;
        // A message larger than the queue goes through it alone.
        let bytes = match held {
            0 => usize::MAX,
            _ => self.bytes_max.saturating_sub(self.bytes.load(Ordering::Relaxed) + staged.bytes),
        };
        Room { messages: self.messages_max.saturating_sub(held), bytes }
    }

    /// Whether it has become three quarters full, with what is staged for it, for the first time since it was emptied: who
    /// fills it is to let the session run.
    pub(super) fn crowds(&self, staged: &Staged) -> bool {
        let messages = self.messages.load(Ordering::Relaxed) + staged.count;
        let bytes = self.bytes.load(Ordering::Relaxed) + staged.bytes;
        let is_crowded = messages > self.messages_max / 4 * 3 || bytes > self.bytes_max / 4 * 3;
        is_crowded && !self.is_crowded.swap(true, Ordering::Relaxed)
    }

    /// Notes that a message did not fit. True if the session is to be woken, as the queue has been emptied since it was
    /// looked at.
    pub(super) fn mark_full(&self) -> bool {
        let mut queue = self.queue();
        queue.was_full = true;
        queue.messages.is_empty()
    }

    /// The session has as much as it may have that the peer does not take: what comes now will wait.
    pub(super) fn set_behind(&self) {
        self.is_behind.store(true, Ordering::Relaxed);
    }

    /// Takes all messages, if `out` is empty. True if it was full, and the exchange has to know that it is not any more.
    pub(in crate::zeromq) fn take(&self, out: &mut VecDeque<Outbound>) -> bool {
        if !out.is_empty() {
            return false;
        }
        let mut queue = self.queue();
        std::mem::swap(&mut queue.messages, out);
        self.messages.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.is_crowded.store(false, Ordering::Relaxed);
        self.is_behind.store(false, Ordering::Relaxed);
        std::mem::take(&mut queue.was_full)
    }

    /// How many messages it holds.
    pub(super) fn len(&self) -> usize {
        self.queue().messages.iter().map(Outbound::messages).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue().messages.is_empty()
    }

    pub(super) fn closing(&self) -> Option<String> {
        self.queue().close.clone()
    }

    pub(super) fn accepts(&self) -> bool {
        self.accepts.load(Ordering::Acquire)
    }

    pub(super) fn set_accepts(&self, accepts: bool) {
        self.accepts.store(accepts, Ordering::Release);
    }
}
