//! What waits to be written to one peer of a hub.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmmq_broker::exchange::Room;

use crate::zeromq::shared::Outbound;
use crate::zeromq::wakeup::Wakeup;

/// A peer's queue. The hub fills it, the peer's session empties it.
#[derive(Debug)]
pub(in crate::zeromq) struct Outbox {
    queue: Mutex<Queue>,
    messages_max: usize,
    bytes_max: usize,
    /// Whether messages of the peer may be handed to the exchange: false from when it refused one.
    accepts: AtomicBool,
    wakeup: Arc<Wakeup>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Outbound>,
    bytes: usize,
    /// It has become crowded since it was taken.
    is_crowded: bool,
    /// It was seen to be full, and nobody was told yet that it is not any more.
    was_full: bool,
    close: Option<String>,
}

/// What came of a message that was appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pushed {
    /// The session is to be woken.
    pub(super) wakes: bool,
    /// The queue is three quarters full, for the first time since it was taken: who fills it is to let the session run.
    pub(super) crowds: bool,
}

impl Outbox {
    pub(in crate::zeromq) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            messages_max,
            bytes_max,
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

    /// Appends a message.
    pub(super) fn push(&self, message: Outbound) -> Pushed {
        let mut queue = self.queue();
        queue.bytes += message.bytes();
        queue.messages.push_back(message);
        let (messages, bytes) = (queue.messages.len(), queue.bytes);
        let is_crowded = messages > self.messages_max / 4 * 3 || bytes > self.bytes_max / 4 * 3;
        let crowds = is_crowded && !queue.is_crowded;
        queue.is_crowded |= is_crowded;
        Pushed { wakes: messages == 1, crowds }
    }

    pub(super) fn room(&self) -> Room {
        let mut queue = self.queue();
        let messages = self.messages_max.saturating_sub(queue.messages.len());
        // A message larger than the queue goes through it alone.
        let bytes = match queue.messages.is_empty() {
            true => usize::MAX,
            false => self.bytes_max.saturating_sub(queue.bytes),
        };
        if messages == 0 || bytes == 0 {
            queue.was_full = true;
        }
        Room { messages, bytes }
    }

    /// Notes that a message did not fit.
    pub(super) fn mark_full(&self) {
        self.queue().was_full = true;
    }

    /// Takes all messages, if `out` is empty. True if it was full, and the exchange has to know that it is not any more.
    pub(in crate::zeromq) fn take(&self, out: &mut VecDeque<Outbound>) -> bool {
        if !out.is_empty() {
            return false;
        }
        let mut queue = self.queue();
        std::mem::swap(&mut queue.messages, out);
        queue.bytes = 0;
        queue.is_crowded = false;
        std::mem::take(&mut queue.was_full)
    }

    pub(super) fn len(&self) -> usize {
        self.queue().messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue().messages.is_empty()
    }

    /// Ends the session when its messages are written. True if the session is to be woken.
    pub(super) fn close(&self, explanation: &str) -> bool {
        let mut queue = self.queue();
        queue.close.get_or_insert_with(|| explanation.to_owned());
        true
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
