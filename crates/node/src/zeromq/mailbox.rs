//! Where answers and deliveries of the shards wait for their session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use swarmmq_cluster::Peer;
use swarmmq_protocol::ErrorReply;
use swarmmq_protocol::response::{Delivery, Response};

use super::wakeup::Wakeup;

/// What the shards say to a session.
#[derive(Debug)]
pub(super) enum Event {
    /// The answer to the request with this correlation id.
    Reply(u64, Response),
    /// Messages for a subscription.
    Deliver(u64, Vec<Delivery>),
    /// The end of a subscription.
    Ended(u64, ErrorReply),
}

/// A session's mailbox. It wakes its session once, when it turns from empty to not empty.
///
/// It holds no more than the session asked for: an answer for each request under way, and deliveries
/// within the credit and the byte window of its subscriptions.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    events: Mutex<VecDeque<Event>>,
    filled: Arc<Wakeup>,
}

impl Mailbox {
    fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = events.is_empty();
        events.push_back(event);
        drop(events);
        if was_empty {
            self.filled.wake();
        }
    }

    /// Takes all there is into `out`, if `out` is empty.
    pub(super) fn take(&self, out: &mut VecDeque<Event>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.events.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What wakes the session.
    pub(super) fn wakeup(&self) -> &Arc<Wakeup> {
        &self.filled
    }
}

impl Peer for Mailbox {
    fn reply(&self, correlation: u64, response: Response) {
        self.push(Event::Reply(correlation, response));
    }

    fn deliver(&self, subscription: u64, deliveries: Vec<Delivery>) {
        self.push(Event::Deliver(subscription, deliveries));
    }

    fn ended(&self, subscription: u64, error: ErrorReply) {
        self.push(Event::Ended(subscription, error));
    }
}
