//! What an egress endpoint does with a queue: messages for a PULL peer, which sends nothing back.
//!
//! ```text
//! subscription ──▶ waiting ──▶ unwritten ──▶ written ──▶ settlement ──▶ credit
//!                                  └─ where the worker acknowledges ────▶ credit
//! ```
//!
//! A message uses up credit until it is acknowledged, so that no more than the credit is anywhere on this path. Where
//! the worker acknowledges, the session does not learn of it, and gives credit back when a message was written.
//! A session that ends gives back what it has leased: the shards make it ready for others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::request::{Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::zeromq::egress::to_frames;
use swarmmq_protocol::{DestinationName, ErrorReply, GroupName, Receipt, Request};
use tokio::time::Instant;
use tracing::warn;

use super::drops::{Drops, Reason};
use super::mailbox::{Event, Mailbox};
use super::options::Acknowledge;
use super::session::{Outgoing, Service};
use super::shared::Outbound;
use super::wakeup::Wakeup;
use super::zmtp::ZmtpError;
use crate::config::Action;
use crate::security::Principal;
use crate::shards::Tie;

/// What the shards cannot do now is tried again after this long, then after twice that.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// And at the latest after this long.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Bytes of messages that are on their way to the peer's connection. With few the session goes on reading, and learns
/// that a peer that does not read is gone.
const UNWRITTEN_BYTES_MAX: usize = 256 << 10;

/// See the module.
pub(super) struct Egress {
    tie: Box<dyn Tie>,
    mailbox: Arc<Mailbox>,
    queue: DestinationName,
    acknowledge: Acknowledge,
    prefetch: u32,
    drops: Drops,
    correlation: u64,
    subscription: Subscription,
    /// Of the subscription there is; what is left of one that has ended is ready for others already.
    waiting: VecDeque<Delivery>,
    unwritten: VecDeque<Receipt>,
    unwritten_bytes: usize,
    written: Vec<Receipt>,
    settlement: Settlement,
    /// Credit to be given back in the next round.
    owed: u32,
    is_stopped: bool,
    forbidden: Option<ZmtpError>,
}

/// The one subscription.
enum Subscription {
    None { retry: Duration, again_at: Option<Instant> },
    Active { id: u64, retry: Duration },
}

/// The one settlement.
enum Settlement {
    None,
    UnderWay { id: u64, receipts: Vec<Receipt>, retry: Duration },
    Refused { receipts: Vec<Receipt>, retry: Duration, again_at: Instant },
}

impl Egress {
    pub(super) fn new(
        tie: Box<dyn Tie>,
        mailbox: Arc<Mailbox>,
        queue: DestinationName,
        acknowledge: Acknowledge,
        prefetch: u32,
        drops: Drops,
    ) -> Self {
        Self {
            tie,
            mailbox,
            queue,
            acknowledge,
            prefetch,
            drops,
            correlation: 0,
            subscription: Subscription::None { retry: RETRY_MIN, again_at: None },
            waiting: VecDeque::new(),
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            written: Vec::new(),
            settlement: Settlement::None,
            owed: 0,
            is_stopped: false,
            forbidden: None,
        }
    }

    fn submit(&mut self, request: Request) {
        self.tie.submit(self.correlation, request);
    }

    fn next_id(&mut self) -> u64 {
        self.correlation += 1;
        self.correlation
    }

    fn subscribe(&mut self, retry: Duration) {
        let settling = match &self.settlement {
            Settlement::None => 0,
            Settlement::UnderWay { receipts, .. } | Settlement::Refused { receipts, .. } => receipts.len(),
        };
        let outstanding = self.unwritten.len() + self.written.len() + settling;
        let outstanding = u32::try_from(outstanding).unwrap_or(u32::MAX);
        self.owed = 0;
        self.subscription = Subscription::Active { id: self.next_id(), retry };
        self.submit(Request::Subscribe(Subscribe {
            destination: self.queue.clone(),
            group: GroupName::default_group(),
            credit: self.prefetch.saturating_sub(outstanding),
            lease_ms: 0,
        }));
    }

    fn is_subscription(&self, of: u64) -> bool {
        matches!(self.subscription, Subscription::Active { id, .. } if id == of)
    }

    /// There is no such queue, its shard has another leader, or the like: all of it may change.
    fn handle_ended(&mut self, of: u64, error: &ErrorReply, now: Instant) {
        let Subscription::Active { id, retry } = self.subscription else { return };
        if id != of {
            return;
        }
        if retry == RETRY_MIN && self.drops.admits_line().is_some() {
            warn!(endpoint = self.drops.endpoint(), queue = %self.queue, %error, "a worker waits: the queue delivers nothing");
        }
        self.waiting.clear();
        let later = (retry * 2).min(RETRY_MAX);
        self.subscription = Subscription::None { retry: later, again_at: Some(now + retry) };
    }

    fn settle(&mut self, receipts: Vec<Receipt>, retry: Duration) {
        let id = self.next_id();
        self.settlement = Settlement::UnderWay { id, receipts: receipts.clone(), retry };
        self.submit(Request::Settle(Settle {
            destination: self.queue.clone(),
            group: GroupName::default_group(),
            verdict: Verdict::Ack,
            receipts,
        }));
    }

    fn settle_written(&mut self) {
        if self.written.is_empty() {
            return;
        }
        let rest = self.written.split_off(self.written.len().min(BATCH_MAX));
        let receipts = std::mem::replace(&mut self.written, rest);
        self.settle(receipts, RETRY_MIN);
    }

    fn handle_reply(&mut self, of: u64, response: &Response, now: Instant) {
        if self.is_subscription(of) {
            match response {
                Response::Error(error) => self.handle_ended(of, error, now),
                _ => self.subscription = Subscription::Active { id: of, retry: RETRY_MIN },
            }
            return;
        }
        match std::mem::replace(&mut self.settlement, Settlement::None) {
            Settlement::UnderWay { id, receipts, retry } if id == of => match response {
                Response::Error(error) if error.code.is_retryable() => {
                    self.settlement = Settlement::Refused { receipts, retry, again_at: now + retry };
                }
                // Done, or settled by another to whom it was delivered meanwhile, or the queue is gone.
                _ => self.owe(receipts.len()),
            },
            other => self.settlement = other,
        }
    }

    fn owe(&mut self, messages: usize) {
        self.owed = self.owed.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
    }
}

impl Service for Egress {
    fn wakeup(&self) -> Arc<Wakeup> {
        self.mailbox.wakeup().clone()
    }

    /// A PULL socket sends nothing, but that it is gone is learnt by reading.
    fn wants_input(&self) -> bool {
        true
    }

    fn handle_message(&mut self, _frames: Vec<Bytes>) {
        self.drops.count(Reason::Malformed);
    }

    fn handle_round(&mut self, now: Instant) {
        let mut events = VecDeque::new();
        self.mailbox.take(&mut events);
        for event in events {
            match event {
                Event::Reply(id, response) => self.handle_reply(id, &response, now),
                Event::Deliver(id, deliveries) if self.is_subscription(id) && !self.is_stopped => {
                    self.waiting.extend(deliveries);
                }
                Event::Deliver(..) => {}
                Event::Ended(id, error) => self.handle_ended(id, &error, now),
            }
        }
        match &mut self.settlement {
            Settlement::None => self.settle_written(),
            Settlement::Refused { receipts, retry, again_at } if *again_at <= now => {
                let (receipts, retry) = (std::mem::take(receipts), (*retry * 2).min(RETRY_MAX));
                self.settle(receipts, retry);
            }
            Settlement::Refused { .. } | Settlement::UnderWay { .. } => {}
        }
        if self.is_stopped {
            return;
        }
        match self.subscription {
            Subscription::None { retry, again_at } if again_at.is_none_or(|at| at <= now) => {
                self.subscribe(retry);
            }
            Subscription::Active { id, .. } if self.owed > 0 => {
                self.tie.credit(id, std::mem::take(&mut self.owed));
            }
            Subscription::None { .. } | Subscription::Active { .. } => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        let Subscription::Active { id, .. } = self.subscription else { return None };
        if self.unwritten_bytes >= UNWRITTEN_BYTES_MAX {
            return None;
        }
        let delivery = self.waiting.pop_front()?;
        let bytes = delivery.message.len();
        self.unwritten_bytes += bytes;
        let frames = to_frames(&delivery, self.acknowledge == Acknowledge::ByWorker);
        self.unwritten.push_back(delivery.receipt);
        Some(Outgoing { message: Outbound::Own(frames), delivered: Some((id, bytes)) })
    }

    /// What was sent before stays sent; nothing more is for one who may not consume any more.
    fn handle_rights(&mut self, principal: &Principal) {
        if !principal.may(Action::Consume, &self.queue) {
            self.handle_stop();
            let text = format!("{} may not consume from {} any more", principal.name(), self.queue);
            self.forbidden = Some(ZmtpError::new(Reason::Forbidden, text));
        }
    }

    fn poll_close(&mut self) -> Option<ZmtpError> {
        self.forbidden.take()
    }

    /// Deliveries are written in the order in which they were sent.
    fn handle_written(&mut self, subscription: u64, bytes: usize) {
        self.tie.written(subscription, bytes);
        self.unwritten_bytes = self.unwritten_bytes.saturating_sub(bytes);
        let Some(receipt) = self.unwritten.pop_front() else { return };
        match self.acknowledge {
            Acknowledge::OnWrite => self.written.push(receipt),
            Acknowledge::ByWorker => self.owe(1),
        }
    }

    fn handle_stop(&mut self) {
        self.is_stopped = true;
        self.waiting.clear();
    }

    /// What is written to a peer that is gone would count as sent.
    fn ends_with_input(&self) -> bool {
        true
    }

    /// A worker whose socket is full does not read, and would lose what it has not read.
    fn counts_silence(&self) -> bool {
        false
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let subscribe = match self.subscription {
            Subscription::None { again_at, .. } if !self.is_stopped => again_at,
            Subscription::None { .. } | Subscription::Active { .. } => None,
        };
        let settle = match &self.settlement {
            Settlement::Refused { again_at, .. } => Some(*again_at),
            Settlement::None | Settlement::UnderWay { .. } => None,
        };
        [subscribe, settle].into_iter().flatten().min()
    }

    fn is_done(&self) -> bool {
        self.written.is_empty() && matches!(self.settlement, Settlement::None)
    }

    fn unconfirmed(&self) -> usize {
        0
    }
}
