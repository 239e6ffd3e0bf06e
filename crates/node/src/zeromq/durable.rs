//! What a durable endpoint does with what a peer sends: requests to the shards, answers back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::zeromq::durable::{Call, Envelope, ReturnPath, parse};
use swarmmq_protocol::zeromq::reply;
use swarmmq_protocol::{ErrorCode, ErrorReply, Request};
use tokio::time::Instant;

use super::drops::{Drops, Reason};
use super::mailbox::{Event, Mailbox};
use super::options::Limits;
use super::session::{Outgoing, Service};
use super::shared::Outbound;
use super::wakeup::Wakeup;
use super::zmtp::ZmtpError;
use crate::security::{Principal, authorship};
use crate::shards::Tie;

/// Messages in one delivery to a peer, so that one ZeroMQ message stays small.
const DELIVERY_MESSAGES_MAX: usize = 64;
/// Answers made without a shard that may wait; then the socket is not read.
const LOCAL_ANSWERS_MAX: usize = 1024;
/// What a frame of a request counts on top of its bytes: about what it takes while the request is under way.
const FRAME_SLOT_BYTES: usize = 64;
/// What the answer to a pull may have: the shards lease no more at once, but for one larger message.
const PULL_ANSWER_BYTES: usize = 256 * 1024;

/// See the module.
pub(super) struct Durable {
    tie: Box<dyn Tie>,
    mailbox: Arc<Mailbox>,
    principal: Principal,
    limits: Limits,
    drops: Drops,
    /// Whether the peer is a REQ, which takes one answer for each request and nothing else.
    strict: bool,
    next: u64,
    pending: HashMap<u64, Pending>,
    bytes_in_flight: usize,
    /// What waiting pulls bring is not for this peer any more: it goes back when the connection does.
    refuses_pulls: bool,
    pulls_waiting: usize,
    subscriptions: HashMap<u64, ReturnPath>,
    subscription_ids: HashMap<ReturnPath, u64>,
    events: VecDeque<Event>,
    out: VecDeque<Outgoing>,
    closing: Option<ZmtpError>,
}

/// A request that is with the shards.
struct Pending {
    path: ReturnPath,
    bytes: usize,
    kind: PendingKind,
}

enum PendingKind {
    Plain,
    WaitingPull,
    Subscribe,
    Unsubscribe { subscription: u64 },
}

impl Durable {
    pub(super) fn new(
        tie: Box<dyn Tie>,
        mailbox: Arc<Mailbox>,
        principal: Principal,
        limits: Limits,
        drops: Drops,
        strict: bool,
    ) -> Self {
        Self {
            tie,
            mailbox,
            principal,
            limits,
            drops,
            strict,
            next: 1,
            pending: HashMap::new(),
            bytes_in_flight: 0,
            refuses_pulls: false,
            pulls_waiting: 0,
            subscriptions: HashMap::new(),
            subscription_ids: HashMap::new(),
            events: VecDeque::new(),
            out: VecDeque::new(),
            closing: None,
        }
    }

    fn answer(&mut self, frames: Vec<Bytes>) {
        self.out.push_back(Outgoing { message: Outbound::Own(frames), delivered: None });
    }

    fn refuse(&mut self, path: &ReturnPath, code: ErrorCode, explanation: impl Into<String>) {
        self.answer(reply::encode_error(path, &ErrorReply::new(code, explanation)));
    }

    fn submit(&mut self, path: ReturnPath, bytes: usize, kind: PendingKind, request: Request) {
        let correlation = self.next;
        self.next += 1;
        match kind {
            PendingKind::Subscribe => {
                self.subscriptions.insert(correlation, path.clone());
                self.subscription_ids.insert(path.clone(), correlation);
            }
            PendingKind::WaitingPull => self.pulls_waiting += 1,
            PendingKind::Plain | PendingKind::Unsubscribe { .. } => {}
        }
        self.bytes_in_flight += bytes;
        self.pending.insert(correlation, Pending { path, bytes, kind });
        self.tie.submit(correlation, request);
    }

    fn handle_call(&mut self, Envelope { path, mut call }: Envelope, bytes: usize) {
        if let Call::Request(request) = &call
            && let Err(error) = self.principal.permits(request)
        {
            self.drops.count(Reason::Forbidden);
            return self.answer(reply::encode_error(&path, &error));
        }
        if let Call::Request(request) = &mut call
            && let Err(error) = authorship::sign(&self.principal, request)
        {
            self.drops.count(Reason::Refused);
            return self.answer(reply::encode_error(&path, &error));
        }
        match call {
            Call::Ping => self.answer(reply::encode_pong(&path, env!("CARGO_PKG_VERSION"))),
            Call::Request(Request::Subscribe(_)) | Call::Unsubscribe | Call::Credit { .. } if self.strict => {
                self.refuse(
                    &path,
                    ErrorCode::Unsupported,
                    "a REQ socket takes one answer for each request: subscribe with a DEALER",
                );
            }
            Call::Request(Request::Subscribe(_)) if self.subscription_ids.contains_key(&path) => {
                self.refuse(&path, ErrorCode::AlreadyExists, "there is a subscription with this correlation");
            }
            Call::Request(request @ Request::Subscribe(_)) => {
                self.submit(path, bytes, PendingKind::Subscribe, request);
            }
            Call::Request(Request::Pull(pull)) if pull.wait_ms > 0 => {
                if self.pulls_waiting >= self.limits.pulls_waiting_max {
                    self.drops.count_message(Reason::LimitReached, Some(self.principal.name()));
                    let text = format!("{} pulls of this connection wait already", self.pulls_waiting);
                    self.refuse(&path, ErrorCode::Overloaded, text);
                } else {
                    self.submit(path, bytes, PendingKind::WaitingPull, Request::Pull(pull));
                }
            }
            // Its answer may be large, and counts from now on: a peer that asks and does not read is not read.
            Call::Request(request @ Request::Pull(_)) => {
                self.submit(path, bytes + PULL_ANSWER_BYTES, PendingKind::Plain, request);
            }
            Call::Request(request) => self.submit(path, bytes, PendingKind::Plain, request),
            Call::Unsubscribe => match self.subscription_ids.get(&path) {
                Some(&subscription) => {
                    let kind = PendingKind::Unsubscribe { subscription };
                    self.submit(path, bytes, kind, Request::Unsubscribe { subscription });
                }
                None => {
                    self.refuse(
                        &path,
                        ErrorCode::Unsupported,
                        "there is no subscription with this correlation",
                    );
                }
            },
            // Credit for a subscription that has just ended is no error, and nobody waits for an answer.
            Call::Credit { messages } => {
                if let Some(subscription) = self.subscription_ids.get(&path) {
                    self.tie.credit(*subscription, messages);
                }
            }
            _ => self.refuse(&path, ErrorCode::Unsupported, "this node does not do that"),
        }
    }

    fn handle_reply(&mut self, correlation: u64, response: &Response) {
        let Some(pending) = self.pending.remove(&correlation) else { return };
        self.bytes_in_flight -= pending.bytes;
        if matches!(response, Response::Error(error) if error.code == ErrorCode::LimitReached) {
            self.drops.count_message(Reason::LimitReached, Some(self.principal.name()));
        }
        match pending.kind {
            PendingKind::Plain => {}
            PendingKind::WaitingPull => {
                self.pulls_waiting -= 1;
                if self.refuses_pulls {
                    return;
                }
            }
            PendingKind::Subscribe if matches!(response, Response::Error(_)) => {
                self.forget(correlation);
            }
            PendingKind::Subscribe => {}
            PendingKind::Unsubscribe { subscription } => {
                self.forget(subscription);
            }
        }
        self.answer(reply::encode_response(&pending.path, response));
    }

    fn forget(&mut self, subscription: u64) -> Option<ReturnPath> {
        let path = self.subscriptions.remove(&subscription)?;
        self.subscription_ids.remove(&path);
        Some(path)
    }

    fn handle_delivery(&mut self, subscription: u64, deliveries: &[Delivery]) {
        // Once a subscription has ended, the shard makes what was on its way ready again by itself.
        let Some(path) = self.subscriptions.get(&subscription) else { return };
        for some in deliveries.chunks(DELIVERY_MESSAGES_MAX) {
            let bytes = some.iter().map(|delivery| delivery.message.len()).sum();
            let frames = reply::encode_delivery(path, some);
            self.out.push_back(Outgoing {
                message: Outbound::Own(frames),
                delivered: Some((subscription, bytes)),
            });
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Reply(correlation, response) => self.handle_reply(correlation, &response),
            Event::Deliver(subscription, deliveries) => self.handle_delivery(subscription, &deliveries),
            Event::Ended(subscription, error) => {
                if let Some(path) = self.forget(subscription) {
                    self.answer(reply::encode_ended(&path, &error));
                }
            }
        }
    }
}

impl Service for Durable {
    fn wakeup(&self) -> Arc<Wakeup> {
        self.mailbox.wakeup().clone()
    }

    fn wants_input(&self) -> bool {
        self.pending.len() < self.limits.requests_in_flight_max
            && self.bytes_in_flight < self.limits.receive_queue_bytes
            && self.out.len() < LOCAL_ANSWERS_MAX
    }

    fn handle_message(&mut self, frames: Vec<Bytes>) {
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        let parsed = parse(&frames);
        if bytes > self.limits.message_bytes_max || frames.len() > self.limits.frames_max {
            let path = parsed.map_or_else(|error| error.path, |envelope| envelope.path);
            self.drops.count_message(Reason::TooLarge, Some(self.principal.name()));
            let (bytes_max, frames_max) = (self.limits.message_bytes_max, self.limits.frames_max);
            let text = format!(
                "the message has {bytes} bytes in {} frames, more than {bytes_max} bytes or {frames_max} frames",
                frames.len()
            );
            return self.refuse(&path, ErrorCode::TooLarge, text);
        }
        match parsed {
            Ok(envelope) => self.handle_call(envelope, bytes + frames.len() * FRAME_SLOT_BYTES),
            Err(error) => {
                self.drops.count(Reason::Malformed);
                self.answer(reply::encode_error(&error.path, &error.error));
            }
        }
    }

    fn handle_round(&mut self, _now: Instant) {}

    /// An answer is taken out of the mailbox when there is room to write it, and only then does its request
    /// stop counting as under way: a peer that does not read its answers is not read either.
    fn poll_transmit(&mut self) -> Option<Outgoing> {
        loop {
            if let Some(outgoing) = self.out.pop_front() {
                return Some(outgoing);
            }
            self.mailbox.take(&mut self.events);
            let event = self.events.pop_front()?;
            self.handle_event(event);
        }
    }

    fn handle_rights(&mut self, principal: &Principal) {
        self.principal = principal.clone();
        if !self.subscriptions.is_empty() || self.pulls_waiting > 0 {
            // They were allowed to somebody with other rights, who gets nothing more by them.
            self.subscriptions.clear();
            self.subscription_ids.clear();
            self.out.retain(|outgoing| outgoing.delivered.is_none());
            self.refuses_pulls = true;
            let text = "its rights have changed: connect and subscribe again";
            self.closing = Some(ZmtpError::new(Reason::Disconnected, text));
        }
    }

    fn poll_close(&mut self) -> Option<ZmtpError> {
        self.closing.take()
    }

    fn handle_written(&mut self, subscription: u64, bytes: usize) {
        self.tie.written(subscription, bytes);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Pulls that wait, wait for nothing any more.
    fn is_done(&self) -> bool {
        self.pending.len() == self.pulls_waiting && self.out.is_empty() && self.events.is_empty()
    }

    fn unconfirmed(&self) -> usize {
        0
    }
}
