//! What requests count, whatever listener they came by.

use std::time::Duration;

use metrics::{Counter, Gauge};
use swarmmq_protocol::request::Verdict;
use swarmmq_protocol::{ErrorCode, Request};

use super::definitions::names;
use super::histogram::Histogram;
use super::node::Registry;

/// The kinds of requests as labels; the last one is for what a later version adds.
const KINDS: [&str; 8] =
    ["put", "pull", "subscribe", "unsubscribe", "settle", "describe", "discover", "manage"];

fn kind(request: &Request) -> usize {
    match request {
        Request::Put(_) => 0,
        Request::Pull(_) => 1,
        Request::Subscribe(_) => 2,
        Request::Unsubscribe { .. } => 3,
        Request::Settle(_) => 4,
        Request::DescribeDestination { .. } | Request::ListDestinations { .. } => 5,
        Request::Announce(_) | Request::Withdraw(_) | Request::Watch(_) => 6,
        _ => 7,
    }
}

/// Requests read and refused.
#[derive(Debug)]
pub struct RequestMetrics {
    kinds: Vec<Counter>,
    refusals: Vec<Counter>,
    in_flight: Gauge,
}

impl RequestMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let kind = |kind: &&str| registry.counter(&names::REQUESTS, &[("request", kind)]);
        let refusal = |code: &ErrorCode| registry.counter(&names::REFUSALS, &[("code", code.as_str())]);
        Self {
            kinds: KINDS.iter().map(kind).collect(),
            refusals: ErrorCode::ALL.iter().map(refusal).collect(),
            in_flight: registry.gauge(&names::REQUESTS_IN_FLIGHT, &[]),
        }
    }

    /// A request was read and is submitted.
    pub fn begins(&self, request: &Request) {
        if let Some(counter) = self.kinds.get(kind(request)) {
            counter.increment(1);
        }
        self.in_flight.increment(1.0);
    }

    /// A request that [`begins`](Self::begins) counted has its answer, or nobody waits for it any more.
    pub fn ends(&self) {
        self.in_flight.decrement(1.0);
    }

    /// A request was answered with an error.
    pub fn refused(&self, code: ErrorCode) {
        let place = ErrorCode::ALL.iter().position(|known| *known == code);
        if let Some(counter) = place.and_then(|place| self.refusals.get(place)) {
            counter.increment(1);
        }
    }
}

/// Messages stored.
#[derive(Debug)]
pub struct PutMetrics {
    messages: Counter,
    bytes: Counter,
    duplicates: Counter,
    pub(super) duration: Histogram,
}

impl PutMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            messages: registry.counter(&names::PUTS, &[]),
            bytes: registry.counter(&names::PUT_BYTES, &[]),
            duplicates: registry.counter(&names::PUT_DUPLICATES, &[]),
            duration: Histogram::of_durations(),
        }
    }

    /// One put of `messages` messages was answered `took` after it was read; `duplicates` of them were repeated.
    pub fn stored(&self, messages: u64, bytes: u64, duplicates: u64, took: Duration) {
        self.messages.increment(messages);
        self.bytes.increment(bytes);
        if duplicates > 0 {
            self.duplicates.increment(duplicates);
        }
        self.duration.record(took);
    }
}

/// Messages delivered.
#[derive(Debug)]
pub struct DeliveryMetrics {
    messages: Counter,
    bytes: Counter,
    redeliveries: Counter,
}

impl DeliveryMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            messages: registry.counter(&names::DELIVERIES, &[]),
            bytes: registry.counter(&names::DELIVERY_BYTES, &[]),
            redeliveries: registry.counter(&names::REDELIVERIES, &[]),
        }
    }

    /// A batch of `messages` messages was delivered; `redeliveries` of them not for the first time.
    pub fn delivered(&self, messages: u64, bytes: u64, redeliveries: u64) {
        self.messages.increment(messages);
        self.bytes.increment(bytes);
        if redeliveries > 0 {
            self.redeliveries.increment(redeliveries);
        }
    }
}

/// Receipts settled.
#[derive(Debug)]
pub struct SettlementMetrics {
    acks: Counter,
    nacks: Counter,
    extensions: Counter,
    rejects: Counter,
    pub(super) duration: Histogram,
}

impl SettlementMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let verdict = |verdict| registry.counter(&names::SETTLEMENTS, &[("verdict", verdict)]);
        Self {
            acks: verdict("ack"),
            nacks: verdict("nack"),
            extensions: verdict("extend"),
            rejects: verdict("reject"),
            duration: Histogram::of_durations(),
        }
    }

    /// One settlement of `receipts` receipts was answered `took` after it was read.
    pub fn settled(&self, verdict: &Verdict, receipts: u64, took: Duration) {
        match verdict {
            Verdict::Ack => self.acks.increment(receipts),
            Verdict::Nack { .. } => self.nacks.increment(receipts),
            Verdict::Extend { .. } => self.extensions.increment(receipts),
            Verdict::Reject { .. } => self.rejects.increment(receipts),
            _ => {}
        }
        self.duration.record(took);
    }
}
