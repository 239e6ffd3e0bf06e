//! The queue in which an exchange keeps things: its requests to the shards, and what they say.
//!
//! ```text
//!  create the queue ─▶ describe it ─▶ set it up ─▶ subscribe ─▶ count until all is delivered ─▶ serve
//!        ▲               (is it fit?)                                                             │
//!        └─────────── after a while ◀── the subscription ended, or a put's outcome is not known ──┘
//! ```
//!
//! Everything in the queue is leased by this one subscription, again whenever a lease runs out, and settled when the
//! exchange says so. What the shards know of time comes with what they say, so that no clock is read here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::exchange::{Refusal, StorageEvent, StorageRequest};
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::request::{Put, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, Response};
use swarmmq_protocol::settings::{DestinationKind, DestinationSettings, GroupSettings, Overflow};
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, GroupName, Request};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::Hub;
use crate::shards::{Shards, Tie};
use crate::zeromq::drops::Drops;
use crate::zeromq::mailbox::{Event, Mailbox};

/// What the shards cannot do now is tried again after this long, then after twice that.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// And at the latest after this long.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// For how long records are leased, 5 minutes. A lease that runs out costs a delivery and nothing else. One that a shard
/// did not end with its subscription, as it was overloaded then, keeps its record from the next one for as long.
const LEASE_MS: u32 = 300_000;

/// The queue of an exchange.
#[derive(Debug, Clone)]
pub(in crate::zeromq) struct StorageQueue {
    pub(in crate::zeromq) name: DestinationName,
    /// How large a message it has to take.
    pub(in crate::zeromq) record_bytes_max: u64,
}

/// See the module.
pub(in crate::zeromq) struct Storage {
    hub: Arc<Hub>,
    tie: Box<dyn Tie>,
    mailbox: Arc<Mailbox>,
    queue: StorageQueue,
    drops: Drops,
    stage: Stage,
    retry: Duration,
    /// The current subscription.
    subscription: Option<u64>,
    correlation: u64,
    /// What the exchange asked for and has no answer to.
    under_way: HashMap<u64, UnderWay>,
}

/// How far the queue is opened. Where a number stands, it is the request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Down {
        again_at: Option<Instant>,
    },
    Creating(u64),
    Checking(u64),
    /// It takes less than the exchange may store.
    Enlarging(u64),
    Grouping(u64),
    Counting(u64),
    /// Not everything had been delivered.
    Recounting {
        again_at: Instant,
    },
    Serving,
}

#[derive(Debug, Clone, Copy)]
enum UnderWay {
    Put { token: u64 },
    Settle,
}

impl Storage {
    pub(in crate::zeromq) fn new(
        hub: Arc<Hub>,
        shards: &dyn Shards,
        queue: StorageQueue,
        drops: Drops,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        Self {
            hub,
            tie: shards.attach(mailbox.clone()),
            mailbox,
            queue,
            drops,
            stage: Stage::Down { again_at: None },
            retry: RETRY_MIN,
            subscription: None,
            correlation: 0,
            under_way: HashMap::new(),
        }
    }

    /// Serves the exchange until its peers are gone, and then until all that came of them is done, or so much time has
    /// passed.
    pub(in crate::zeromq) async fn run(mut self, gone: impl Future<Output = ()>, drain_timeout: Duration) {
        let mut events = VecDeque::new();
        let mut end = None;
        tokio::pin!(gone);
        loop {
            let now = Instant::now();
            self.advance(now);
            let is_idle =
                self.under_way.is_empty() && !self.hub.wants_storage() && !self.hub.has_refused_by_storage();
            if end.is_some_and(|end| is_idle || end <= now) {
                return;
            }
            let again_at = match self.stage {
                Stage::Down { again_at } if self.under_way.is_empty() => again_at,
                Stage::Recounting { again_at } => Some(again_at),
                _ => None,
            };
            tokio::select! {
                () = self.mailbox.wakeup().woken() => {}
                () = self.hub.storage_wanted() => {}
                () = &mut gone, if end.is_none() => end = Some(Instant::now() + drain_timeout),
                () = sleep_until(end.unwrap_or(now)), if end.is_some() => {}
                // The hub's own clock ends with the sessions.
                () = self.hub.keep_time(), if end.is_some() => {}
                () = sleep_until(again_at.unwrap_or(now)), if again_at.is_some() => {}
            }
            self.mailbox.take(&mut events);
            for event in events.drain(..) {
                self.handle(event, Instant::now());
            }
        }
    }

    /// Does what there is to do by now.
    fn advance(&mut self, now: Instant) {
        match self.stage {
            // Until everything is answered, it is not known what a new beginning would find.
            Stage::Down { again_at } if self.under_way.is_empty() && again_at.is_none_or(|at| at <= now) => {
                let mut settings = DestinationSettings::queue();
                settings.message_bytes_max = self.queue.record_bytes_max;
                let destination = self.queue.name.clone();
                let id = self.submit(Request::CreateDestination { destination, settings });
                self.stage = Stage::Creating(id);
            }
            Stage::Recounting { again_at } if again_at <= now => self.count(),
            _ => {}
        }
        for request in self.hub.poll_storage() {
            self.ask(request);
        }
    }

    fn submit(&mut self, request: Request) -> u64 {
        self.correlation += 1;
        self.tie.submit(self.correlation, request);
        self.correlation
    }

    fn ask(&mut self, request: StorageRequest) {
        let (request, under_way) = match request {
            StorageRequest::Put { token, message } => {
                let (destination, messages) = (self.queue.name.clone(), vec![message]);
                let put = Put { destination, stamp: None, expected_last: None, messages };
                (Request::Put(put), UnderWay::Put { token })
            }
            StorageRequest::Settle { receipts } => {
                let (destination, group) = (self.queue.name.clone(), GroupName::default_group());
                let settle = Settle { destination, group, verdict: Verdict::Ack, receipts };
                (Request::Settle(settle), UnderWay::Settle)
            }
            // There is nothing else in this version.
            _ => return,
        };
        // An answer may be there before this returns, but it is looked at later.
        let id = self.submit(request);
        self.under_way.insert(id, under_way);
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Reply(id, response) => match self.under_way.remove(&id) {
                Some(UnderWay::Put { token }) => self.handle_put(token, &response, now),
                Some(UnderWay::Settle) => self.handle_settled(response),
                None => self.handle_opening(id, response, now),
            },
            Event::Deliver(id, deliveries) if self.subscription == Some(id) => {
                self.handle_deliveries(id, deliveries);
                if matches!(self.stage, Stage::Recounting { .. }) {
                    self.count();
                }
            }
            Event::Deliver(..) => {}
            Event::Ended(id, error) if self.subscription == Some(id) => self.begin_anew(&error, now),
            Event::Ended(..) => {}
        }
    }

    fn handle_put(&mut self, token: u64, response: &Response, now: Instant) {
        let refused = match response {
            Response::Put(reply) => match reply.outcomes().next() {
                Some(PutOutcome::Stored(sequence) | PutOutcome::Duplicate(sequence)) => {
                    return self.hub.handle_storage([StorageEvent::Stored { token, sequence }]);
                }
                Some(PutOutcome::Refused(code)) => ErrorReply::new(code, "the queue refuses it"),
                _ => ErrorReply::new(ErrorCode::Internal, "the answer says nothing of the message"),
            },
            Response::Error(error) => error.clone(),
            _ => ErrorReply::new(ErrorCode::Internal, "the answer is to something else"),
        };
        let refusal = refusal(refused.code);
        self.hub.handle_storage([StorageEvent::Refused { token, refusal }]);
        if self.drops.admits_line().is_some() {
            warn!(endpoint = self.drops.endpoint(), queue = %self.queue.name, error = %refused, "a request or a reply could not be stored");
        }
        if refusal == Refusal::Unknown {
            self.begin_anew(&refused, now);
        }
    }

    fn handle_settled(&self, response: Response) {
        let event = match response {
            Response::Settled(reply) => StorageEvent::Settled { outcomes: reply.outcomes },
            _ => StorageEvent::Unsettled,
        };
        self.hub.handle_storage([event]);
    }

    fn handle_deliveries(&self, subscription: u64, deliveries: Vec<Delivery>) {
        let bytes = deliveries.iter().map(|delivery| delivery.message.len()).sum();
        let messages = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        let events = deliveries.into_iter().map(|Delivery { receipt, stored_ms, message, .. }| {
            StorageEvent::Delivered { receipt, stored_ms, message }
        });
        self.hub.handle_storage(events);
        self.tie.written(subscription, bytes);
        self.tie.credit(subscription, messages);
    }

    /// An answer to one of the steps by which the queue is opened.
    fn handle_opening(&mut self, id: u64, response: Response, now: Instant) {
        match (self.stage, response) {
            (Stage::Creating(of), response) if of == id => match response {
                // With other settings it is fit too, if they keep everything.
                Response::Error(error) if error.code != ErrorCode::AlreadyExists => {
                    self.begin_anew(&error, now)
                }
                _ => {
                    let destination = self.queue.name.clone();
                    self.stage = Stage::Checking(self.submit(Request::DescribeDestination { destination }));
                }
            },
            (Stage::Checking(of), Response::Destination(info)) if of == id => match unfit(&info.settings) {
                Some(why) => {
                    let text = format!("the queue exists and {why}: it cannot keep requests");
                    self.begin_anew(&ErrorReply::new(ErrorCode::InvalidSettings, text), now);
                }
                None if info.settings.message_bytes_max < self.queue.record_bytes_max => self.enlarge(*info),
                None => self.set_group(&info),
            },
            (Stage::Enlarging(of), Response::Done { .. }) if of == id => self.update_group(),
            (Stage::Grouping(of), Response::Done { .. }) if of == id => self.subscribe(),
            (Stage::Counting(of), Response::Destination(info)) if of == id => self.handle_count(&info, now),
            (stage, Response::Error(error)) if stage.awaits(id) || self.subscription == Some(id) => {
                self.begin_anew(&error, now);
            }
            _ => {}
        }
    }

    /// What the endpoint reads has to fit, whatever the queue was made with, and whatever other destinations take.
    fn enlarge(&mut self, info: DestinationInfo) {
        let (destination, mut settings) = (self.queue.name.clone(), info.settings);
        settings.message_bytes_max = self.queue.record_bytes_max;
        self.stage = Stage::Enlarging(self.submit(Request::UpdateDestination { destination, settings }));
    }

    fn set_group(&mut self, info: &DestinationInfo) {
        let is_set = info.groups.first().is_some_and(|group| group.settings == group_settings());
        if is_set { self.subscribe() } else { self.update_group() }
    }

    fn update_group(&mut self) {
        let (destination, group) = (self.queue.name.clone(), GroupName::default_group());
        let settings = group_settings();
        self.stage = Stage::Grouping(self.submit(Request::UpdateGroup { destination, group, settings }));
    }

    fn subscribe(&mut self) {
        self.hub.handle_storage([StorageEvent::Opened]);
        let (destination, group) = (self.queue.name.clone(), GroupName::default_group());
        let subscribe = Subscribe { destination, group, credit: u32::MAX, lease_ms: LEASE_MS };
        self.subscription = Some(self.submit(Request::Subscribe(subscribe)));
        self.count();
    }

    fn count(&mut self) {
        let destination = self.queue.name.clone();
        self.stage = Stage::Counting(self.submit(Request::DescribeDestination { destination }));
    }

    fn handle_count(&mut self, info: &DestinationInfo, now: Instant) {
        let (messages, oldest_age_ms) = (info.messages, info.oldest_age_ms);
        self.hub.handle_storage([StorageEvent::Counted { messages, oldest_age_ms }]);
        if self.hub.has_read_storage() {
            self.stage = Stage::Serving;
            self.retry = RETRY_MIN;
            info!(endpoint = self.drops.endpoint(), queue = %self.queue.name, messages, "the stored requests are read");
            return;
        }
        self.stage = Stage::Recounting { again_at: now + self.retry };
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// The queue cannot be used, or what it holds is not known: everything is read again, after a while.
    fn begin_anew(&mut self, error: &ErrorReply, now: Instant) {
        if self.drops.admits_line().is_some() {
            warn!(endpoint = self.drops.endpoint(), queue = %self.queue.name, %error, "the queue of stored requests cannot be used, and is opened again");
        }
        if let Some(subscription) = self.subscription.take() {
            self.submit(Request::Unsubscribe { subscription });
        }
        self.hub.handle_storage([StorageEvent::Closed]);
        self.stage = Stage::Down { again_at: Some(now + self.retry) };
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }
}

impl Stage {
    fn awaits(self, id: u64) -> bool {
        matches!(self, Self::Checking(of) | Self::Enlarging(of) | Self::Grouping(of) | Self::Counting(of) if of == id)
    }
}

/// Nothing may be given up by the group, whatever new queues are made with.
fn group_settings() -> GroupSettings {
    let mut settings = GroupSettings::default();
    settings.lease_ms = u64::from(LEASE_MS);
    settings.leased_max = u32::MAX;
    settings
}

/// Why a queue that somebody else has made would not keep everything.
fn unfit(settings: &DestinationSettings) -> Option<&'static str> {
    if settings.kind != DestinationKind::Queue {
        return Some("is no queue");
    }
    if settings.overflow != Overflow::Refuse {
        return Some("drops the oldest messages when it is full");
    }
    // A request goes when its reply is stored: a full queue would stay so.
    if settings.messages_max > 0 || settings.bytes_max > 0 {
        return Some("can be full, so that a reply has no room beside its request");
    }
    (settings.age_max_ms > 0 || settings.ttl_default_ms > 0).then_some("drops old messages")
}

/// What a refusal says of whether a message was stored.
fn refusal(code: ErrorCode) -> Refusal {
    match code {
        ErrorCode::NotLeader
        | ErrorCode::Unavailable
        | ErrorCode::ShuttingDown
        | ErrorCode::Timeout
        | ErrorCode::Internal => Refusal::Unknown,
        ErrorCode::UnknownDestination | ErrorCode::LimitReached => Refusal::Later,
        code if code.is_retryable() => Refusal::Later,
        _ => Refusal::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_would_lose_something_is_not_fit() {
        let with = |change: fn(&mut DestinationSettings)| {
            let mut settings = DestinationSettings::queue();
            change(&mut settings);
            unfit(&settings)
        };
        assert_eq!(with(|_| {}), None);
        assert!(
            with(|settings| settings.messages_max = 10).is_some(),
            "it has to take a reply for what it holds"
        );
        assert!(with(|settings| settings.bytes_max = 1 << 40).is_some());
        assert!(with(|settings| settings.kind = DestinationKind::Stream).is_some());
        assert!(with(|settings| settings.overflow = Overflow::DropOldest).is_some());
        assert!(with(|settings| settings.age_max_ms = 1).is_some());
        assert!(with(|settings| settings.ttl_default_ms = 1).is_some());
    }

    #[test]
    fn a_refusal_is_certain_only_where_the_shard_decided_it() {
        for code in ErrorCode::ALL {
            match refusal(*code) {
                Refusal::Unknown => assert!(!matches!(code, ErrorCode::DiskFull | ErrorCode::Overloaded)),
                Refusal::Later => assert!(
                    code.is_retryable()
                        || *code == ErrorCode::UnknownDestination
                        || *code == ErrorCode::LimitReached
                ),
                Refusal::Never => assert!(!code.is_retryable()),
            }
        }
        assert_eq!(refusal(ErrorCode::TooLarge), Refusal::Never);
        assert_eq!(refusal(ErrorCode::DestinationFull), Refusal::Later);
        assert_eq!(refusal(ErrorCode::NotLeader), Refusal::Unknown);
    }
}
