//! What an ingest endpoint does with what a peer sends: batches for one destination.
//!
//! One put is under way at a time, and what is read meanwhile becomes the next one. That keeps the
//! messages of a peer in their order, also when a put has to be tried again, and costs little: a put
//! takes as long as a sync, and carries all that came in during the one before.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::request::Put;
use swarmmq_protocol::response::{PutOutcome, Response};
use swarmmq_protocol::zeromq::ingest::to_message;
use swarmmq_protocol::{DestinationName, EncodedMessage, ErrorCode, Request};
use tokio::time::Instant;
use tracing::warn;

use super::drops::{Drops, Reason};
use super::mailbox::{Event, Mailbox};
use super::options::{Limits, Multipart};
use super::session::{Outgoing, Service};
use super::wakeup::Wakeup;
use super::zmtp::ZmtpError;
use crate::config::Action;
use crate::security::{Principal, authorship};
use crate::shards::Tie;

/// A put that the shards cannot take now is tried again after this long, then after twice that.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// And at the latest after this long.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Bytes in one put. Larger ones keep a shard from its other work without being faster.
const PUT_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(super) struct Ingest {
    tie: Box<dyn Tie>,
    mailbox: Arc<Mailbox>,
    /// Whose messages they are; the node's own, where it is nobody.
    author: Option<Principal>,
    queue: DestinationName,
    multipart: Multipart,
    limits: Limits,
    drops: Drops,
    waiting: Vec<EncodedMessage>,
    waiting_bytes: usize,
    put: PutState,
    correlation: u64,
    forbidden: Option<ZmtpError>,
}

/// The one put.
enum PutState {
    None,
    UnderWay { messages: Vec<EncodedMessage>, bytes: usize, retry: Duration },
    Refused { messages: Vec<EncodedMessage>, bytes: usize, retry: Duration, again_at: Instant },
}

impl Ingest {
    pub(super) fn new(
        tie: Box<dyn Tie>,
        mailbox: Arc<Mailbox>,
        author: Option<Principal>,
        queue: DestinationName,
        multipart: Multipart,
        limits: Limits,
        drops: Drops,
    ) -> Self {
        Self {
            tie,
            mailbox,
            author,
            queue,
            multipart,
            limits,
            drops,
            waiting: Vec::new(),
            waiting_bytes: 0,
            put: PutState::None,
            correlation: 0,
            forbidden: None,
        }
    }

    fn put_len(&self) -> (usize, usize) {
        match &self.put {
            PutState::None => (0, 0),
            PutState::UnderWay { messages, bytes, .. } | PutState::Refused { messages, bytes, .. } => {
                (messages.len(), *bytes)
            }
        }
    }

    fn submit(&mut self, messages: Vec<EncodedMessage>, bytes: usize, retry: Duration) {
        self.correlation += 1;
        let put = Put {
            destination: self.queue.clone(),
            stamp: None,
            expected_last: None,
            messages: messages.clone(),
        };
        self.put = PutState::UnderWay { messages, bytes, retry };
        self.tie.submit(self.correlation, Request::Put(put));
    }

    /// Makes a put of what waits, as much as fits in one.
    fn submit_waiting(&mut self) {
        let mut bytes = 0;
        let fits = |message: &&EncodedMessage| {
            let first = bytes == 0;
            bytes += message.len();
            first || bytes <= PUT_BYTES_MAX
        };
        let count = self.waiting.iter().take(BATCH_MAX).take_while(fits).count();
        if count == 0 {
            return;
        }
        let rest = self.waiting.split_off(count);
        let messages = std::mem::replace(&mut self.waiting, rest);
        let bytes = messages.iter().map(EncodedMessage::len).sum();
        self.waiting_bytes -= bytes;
        self.submit(messages, bytes, RETRY_MIN);
    }

    fn handle_reply(&mut self, response: Response, now: Instant) {
        let PutState::UnderWay { messages, bytes, retry } = std::mem::replace(&mut self.put, PutState::None)
        else {
            return;
        };
        let again = match response {
            Response::Put(reply) => {
                let outcomes = reply.outcomes();
                let mut again = Vec::new();
                for (message, outcome) in messages.into_iter().zip(outcomes) {
                    match outcome {
                        PutOutcome::Refused(code) if is_worth_retrying(code) => again.push(message),
                        PutOutcome::Refused(code) => self.drop_messages(1, code),
                        _ => {}
                    }
                }
                again
            }
            Response::Error(error) if is_worth_retrying(error.code) => {
                if retry == RETRY_MIN && self.drops.admits_line().is_some() {
                    warn!(endpoint = self.drops.endpoint(), queue = %self.queue, %error, "messages wait: the queue takes none");
                }
                messages
            }
            Response::Error(error) => {
                self.drop_messages(messages.len(), error.code);
                Vec::new()
            }
            _ => {
                self.drop_messages(messages.len(), ErrorCode::Internal);
                Vec::new()
            }
        };
        if !again.is_empty() {
            let bytes = again.iter().map(EncodedMessage::len).sum::<usize>().min(bytes);
            self.put = PutState::Refused { messages: again, bytes, retry, again_at: now + retry };
        }
    }

    fn user(&self) -> Option<&str> {
        self.author.as_ref().map(Principal::name)
    }

    fn signed(&self, message: EncodedMessage) -> Option<EncodedMessage> {
        let Some(author) = &self.author else { return Some(message) };
        authorship::signed(author, &message).ok().map(Cow::into_owned)
    }

    fn drop_messages(&self, count: usize, code: ErrorCode) {
        self.drops.count_many(Reason::Refused, count as u64);
        if self.drops.admits_line().is_none() {
            return;
        }
        warn!(endpoint = self.drops.endpoint(), queue = %self.queue, %code, count, "messages refused for good and dropped");
    }
}

/// An unknown destination is too, and one that cannot be made because there are too many: whoever forgot to
/// create it, or to make room for it, can still do so, and nothing is lost.
fn is_worth_retrying(code: ErrorCode) -> bool {
    code.is_retryable() || matches!(code, ErrorCode::UnknownDestination | ErrorCode::LimitReached)
}

impl Service for Ingest {
    fn wakeup(&self) -> Arc<Wakeup> {
        self.mailbox.wakeup().clone()
    }

    fn wants_input(&self) -> bool {
        let (messages, bytes) = self.put_len();
        self.waiting.len() + messages < 2 * BATCH_MAX
            && self.waiting_bytes + bytes < self.limits.receive_queue_bytes
    }

    fn handle_message(&mut self, frames: Vec<Bytes>) {
        if frames.len() > 1 && self.multipart == Multipart::Refuse {
            return self.drops.count(Reason::Multipart);
        }
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        if bytes > self.limits.message_bytes_max || frames.len() > self.limits.frames_max {
            return self.drops.count_message(Reason::TooLarge, self.user());
        }
        let message = to_message(&frames).ok().and_then(|message| self.signed(message));
        match message {
            Some(message) => {
                self.waiting_bytes += message.len();
                self.waiting.push(message);
            }
            None => self.drops.count_message(Reason::TooLarge, self.user()),
        }
    }

    fn handle_round(&mut self, now: Instant) {
        let mut events = std::collections::VecDeque::new();
        self.mailbox.take(&mut events);
        for event in events {
            if let Event::Reply(_, response) = event {
                self.handle_reply(response, now);
            }
        }
        match &mut self.put {
            PutState::None => self.submit_waiting(),
            PutState::Refused { messages, bytes, retry, again_at } if *again_at <= now => {
                let (messages, bytes, retry) =
                    (std::mem::take(messages), *bytes, (*retry * 2).min(RETRY_MAX));
                self.submit(messages, bytes, retry);
            }
            PutState::Refused { .. } | PutState::UnderWay { .. } => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        None
    }

    /// What was read before stays good; nothing more is read from one who may not produce any more.
    fn handle_rights(&mut self, principal: &Principal) {
        self.author = self.author.take().map(|_| principal.clone());
        if !principal.may(Action::Produce, &self.queue) {
            let text = format!("{} may not produce to {} any more", principal.name(), self.queue);
            self.forbidden = Some(ZmtpError::new(Reason::Forbidden, text));
        }
    }

    fn poll_close(&mut self) -> Option<ZmtpError> {
        self.forbidden.take()
    }

    fn handle_written(&mut self, _subscription: u64, _bytes: usize) {}

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.put {
            PutState::Refused { again_at, .. } => Some(*again_at),
            PutState::None | PutState::UnderWay { .. } => None,
        }
    }

    fn is_done(&self) -> bool {
        self.unconfirmed() == 0
    }

    fn unconfirmed(&self) -> usize {
        self.waiting.len() + self.put_len().0
    }
}
