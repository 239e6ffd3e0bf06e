//! What a session owes its peer: the requests under way, and what waits to be written.
//!
//! ```text
//!             register                     reply
//! (unknown) ───────────▶ under way ─────────────────────▶ (unknown)
//!                            │ too late, or stopping          ▲
//!                            ▼                                │ reply, which is not passed on
//!                        answered by the session ─────────────┘
//! ```
//!
//! A request that the session answered itself stays under way until its own answer comes: its
//! correlation id must not be used again before, or that answer would be taken for another's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_cluster::Peer;
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::{ErrorCode, ErrorReply, Request};
use tokio::sync::Notify;

use crate::native::cost;
use crate::native::inbound::Item;
use crate::native::options::NativeOptions;
use crate::native::shared::{Shared, stopping};

/// What an entry of the queue costs beyond the bytes it holds.
const ENTRY_BYTES: usize = 64;
/// A queue or table that grew larger than this is given back when the connection is quiet.
const KEPT_ENTRIES: usize = 32;

/// Something to write.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Reply(u64, Response),
    Deliveries(u64, Vec<Delivery>),
    Ended(u64, ErrorReply),
    Ping(u64),
    Pong(u64),
    Goodbye(ErrorReply),
}

impl Outgoing {
    /// Bytes it holds, about.
    pub(crate) fn cost(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Deliveries(_, deliveries) => cost::of_deliveries(deliveries),
                Self::Reply(_, Response::Error(error)) | Self::Ended(_, error) | Self::Goodbye(error) => {
                    error.explanation.len() + error.leader.as_ref().map_or(0, String::len)
                }
                Self::Reply(_, response) => cost::of_response(response),
                Self::Ping(_) | Self::Pong(_) => 0,
            }
    }
}

/// How much more a session may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

impl Room {
    pub(crate) const NONE: Self = Self { requests: 0, bytes: 0 };

    pub(crate) fn is_none(self) -> bool {
        self.requests == 0 || self.bytes == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Work,
    Put,
    Pull,
    Subscribe,
    Unsubscribe(u64),
}

#[derive(Debug)]
struct Underway {
    kind: Kind,
    bytes: usize,
    /// The tick at which it has taken too long.
    due: u64,
    is_answered: bool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outgoing>,
    /// Bytes in the queue, and of what is being written.
    queue_bytes: usize,
    under_way: HashMap<u64, Underway>,
    under_way_bytes: usize,
    /// Requests whose answer a stopping session waits for.
    work: usize,
    pulls: usize,
    subscriptions: HashSet<u64>,
    tick: u64,
    writer_waits: bool,
    reader_waits: bool,
    is_draining: bool,
    is_closed: bool,
}

/// What a session owes its peer. The shards know it as the [`Peer`].
pub(crate) struct Outbox {
    state: Mutex<State>,
    shared: Arc<Shared>,
    /// How long a tick is, ms.
    tick_ms: u64,
    to_write: Notify,
    to_read: Notify,
    finished: Notify,
}

impl Outbox {
    pub(crate) fn new(shared: Arc<Shared>, tick_ms: u64) -> Self {
        Self {
            state: Mutex::default(),
            shared,
            tick_ms: tick_ms.max(1),
            to_write: Notify::new(),
            to_read: Notify::new(),
            finished: Notify::new(),
        }
    }

    fn options(&self) -> &NativeOptions {
        &self.shared.options
    }

    /// Pulls wait, and must never keep the session from reading.
    fn pulls_max(&self) -> usize {
        self.options().pulls_max.min(self.options().in_flight_max / 2).max(1)
    }

    /// Takes note of a batch that was read, in its order: what may not go on is answered here and
    /// becomes [`Item::Done`]. Says how much more may be read.
    pub(crate) fn register(&self, batch: &mut [Item]) -> Room {
        let mut state = self.state.lock();
        for item in batch {
            let refused = match item {
                Item::Request { correlation, request, bytes } => self
                    .take_on(&mut state, *correlation, request, *bytes)
                    .err()
                    .map(|error| (*correlation, error)),
                Item::Refused(correlation, error) => Some((*correlation, error.clone())),
                Item::Ping(correlation) => {
                    state.push(Outgoing::Pong(*correlation));
                    *item = Item::Done;
                    None
                }
                Item::Credit(..) | Item::Done => None,
            };
            if let Some((correlation, error)) = refused {
                self.shared.counters.metrics.requests.refused(error.code);
                state.push(Outgoing::Reply(correlation, Response::Error(error)));
                *item = Item::Done;
            }
        }
        let room = self.room_in(&state);
        self.wake_writer(state);
        room
    }

    fn take_on(
        &self,
        state: &mut State,
        correlation: u64,
        request: &Request,
        bytes: usize,
    ) -> Result<(), ErrorReply> {
        let kind = match request {
            Request::Put(_) => Kind::Put,
            Request::Pull(_) => Kind::Pull,
            // It waits for news as a pull waits for messages.
            Request::Watch(_) => Kind::Pull,
            Request::Subscribe(_) => Kind::Subscribe,
            Request::Unsubscribe { subscription } => Kind::Unsubscribe(*subscription),
            _ => Kind::Work,
        };
        if state.under_way.contains_key(&correlation)
            || (kind == Kind::Subscribe && state.subscriptions.contains(&correlation))
        {
            let text = format!(
                "the correlation id {correlation} is that of a request or subscription under way: take another"
            );
            return Err(ErrorReply::new(ErrorCode::Malformed, text));
        }
        // Whoever has messages may still settle them while the node stops.
        if state.is_draining && !matches!(request, Request::Settle(_) | Request::Unsubscribe { .. }) {
            return Err(stopping());
        }
        let at_most = |what: &str, actual: usize, limit: usize| {
            if actual < limit {
                return Ok(());
            }
            Err(ErrorReply::new(ErrorCode::LimitReached, format!("a connection has at most {limit} {what}")))
        };
        let mut wait_ms = 0;
        match (kind, request) {
            (Kind::Put, _) => self.shared.reserve(bytes)?,
            (Kind::Pull, Request::Pull(pull)) => {
                at_most("pulls under way", state.pulls, self.pulls_max())?;
                wait_ms = u64::from(pull.wait_ms);
                state.pulls += 1;
            }
            (Kind::Pull, Request::Watch(watch)) => {
                at_most("pulls and watches under way", state.pulls, self.pulls_max())?;
                wait_ms = u64::from(watch.wait_ms);
                state.pulls += 1;
            }
            (Kind::Subscribe, _) => {
                at_most("subscriptions", state.subscriptions.len(), self.options().subscriptions_max)?;
                state.subscriptions.insert(correlation);
            }
            _ => {}
        }
        self.shared.counters.metrics.requests.begins(request);
        let allowed_ms =
            u64::try_from(self.options().request.as_millis()).unwrap_or(u64::MAX).saturating_add(wait_ms);
        let due = state.tick + allowed_ms.div_ceil(self.tick_ms).saturating_add(1);
        state.under_way.insert(correlation, Underway { kind, bytes, due, is_answered: false });
        state.under_way_bytes += bytes;
        state.work += usize::from(kind != Kind::Pull);
        Ok(())
    }

    fn room_in(&self, state: &State) -> Room {
        let options = self.options();
        if state.queue_bytes >= options.outbound_bytes_max {
            return Room::NONE;
        }
        Room {
            requests: options.in_flight_max.saturating_sub(state.under_way.len()),
            bytes: options.in_flight_bytes_max.saturating_sub(state.under_way_bytes),
        }
    }

    /// Waits until more may be read.
    pub(crate) async fn room(&self) -> Room {
        loop {
            {
                let mut state = self.state.lock();
                let room = self.room_in(&state);
                state.reader_waits = room.is_none();
                if !room.is_none() {
                    return room;
                }
            }
            self.to_read.notified().await;
        }
    }

    /// Waits until there is something to write, and takes all of it.
    pub(crate) async fn take(&self, into: &mut VecDeque<Outgoing>) {
        debug_assert!(into.is_empty(), "what was taken before is written before");
        loop {
            {
                let mut state = self.state.lock();
                state.writer_waits = state.queue.is_empty();
                if !state.queue.is_empty() {
                    std::mem::swap(&mut state.queue, into);
                    return;
                }
            }
            self.to_write.notified().await;
        }
    }

    /// Says that so much of what was taken is written.
    pub(crate) fn written(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.queue_bytes = state.queue_bytes.saturating_sub(bytes);
        self.wake_reader(state);
    }

    /// Queues something that no request asked for.
    pub(crate) fn push(&self, outgoing: Outgoing) {
        let mut state = self.state.lock();
        state.push(outgoing);
        self.wake_writer(state);
    }

    /// A tick has passed: answers what has taken too long.
    pub(crate) fn tick(&self) {
        let mut state = self.state.lock();
        state.tick += 1;
        let tick = state.tick;
        let late: Vec<u64> = state
            .under_way
            .iter()
            .filter(|(_, request)| !request.is_answered && request.due <= tick)
            .map(|(correlation, _)| *correlation)
            .collect();
        for correlation in late {
            let text = "the request took longer than the node allows: whether it took effect is not known";
            state.answer_ourselves(correlation, ErrorReply::new(ErrorCode::Timeout, text), &self.shared);
        }
        if state.work == 0 {
            self.finished.notify_one();
        }
        self.wake_writer(state);
    }

    /// Takes nothing new on from now, and answers the pulls, which may wait for long.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        state.is_draining = true;
        let pulls: Vec<u64> = state
            .under_way
            .iter()
            .filter(|(_, request)| request.kind == Kind::Pull && !request.is_answered)
            .map(|(correlation, _)| *correlation)
            .collect();
        for correlation in pulls {
            state.answer_ourselves(correlation, stopping(), &self.shared);
        }
        if state.work == 0 {
            self.finished.notify_one();
        }
        self.wake_writer(state);
    }

    /// Waits, once draining, until all that was under way is answered.
    pub(crate) async fn drained(&self) {
        loop {
            {
                let state = self.state.lock();
                if state.is_draining && state.work == 0 {
                    return;
                }
            }
            self.finished.notified().await;
        }
    }

    /// Gives memory back that a busy time has taken.
    pub(crate) fn relax(&self) {
        let mut state = self.state.lock();
        if state.queue.is_empty() && state.queue.capacity() > KEPT_ENTRIES {
            state.queue = VecDeque::new();
        }
        if state.under_way.is_empty() && state.under_way.capacity() > KEPT_ENTRIES {
            state.under_way = HashMap::new();
        }
    }

    /// Takes nothing more in. What waits and is not a delivery is still to be written.
    pub(crate) fn close(&self) -> VecDeque<Outgoing> {
        let mut state = self.state.lock();
        state.is_closed = true;
        let mut left = std::mem::take(&mut state.queue);
        left.retain(|outgoing| !matches!(outgoing, Outgoing::Deliveries(..)));
        left
    }

    /// Unlocks, and wakes the writer if it waits and need not any more.
    fn wake_writer(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        let wake = state.writer_waits && !state.queue.is_empty();
        if wake {
            state.writer_waits = false;
        }
        drop(state);
        if wake {
            self.to_write.notify_one();
        }
    }

    /// Unlocks, and wakes the reader if it waits and there is room that is worth it.
    fn wake_reader(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        let options = self.options();
        let wake = state.reader_waits
            && state.queue_bytes <= options.outbound_bytes_max / 2
            && state.under_way.len() * 4 <= options.in_flight_max * 3
            && state.under_way_bytes <= options.in_flight_bytes_max / 4 * 3;
        if wake {
            state.reader_waits = false;
        }
        drop(state);
        if wake {
            self.to_read.notify_one();
        }
    }
}

impl State {
    fn push(&mut self, outgoing: Outgoing) {
        if !self.is_closed {
            self.queue_bytes += outgoing.cost();
            self.queue.push_back(outgoing);
        }
    }

    fn answer_ourselves(&mut self, correlation: u64, error: ErrorReply, shared: &Shared) {
        if let Some(request) = self.under_way.get_mut(&correlation) {
            request.is_answered = true;
            self.work -= usize::from(request.kind != Kind::Pull);
            shared.counters.metrics.requests.ends();
            shared.counters.metrics.requests.refused(error.code);
            self.push(Outgoing::Reply(correlation, Response::Error(error)));
        }
    }

    /// The answer to a request has come. Says whether to pass it on.
    fn finish(&mut self, correlation: u64, response: &Response, shared: &Shared) -> bool {
        let Some(request) = self.under_way.remove(&correlation) else {
            debug_assert!(false, "an answer to {correlation}, which is not under way");
            return false;
        };
        self.under_way_bytes -= request.bytes;
        let is_error = matches!(response, Response::Error(_));
        match request.kind {
            Kind::Put => shared.release(request.bytes),
            Kind::Pull => self.pulls -= 1,
            Kind::Subscribe if is_error => drop(self.subscriptions.remove(&correlation)),
            Kind::Unsubscribe(subscription) if !is_error => drop(self.subscriptions.remove(&subscription)),
            Kind::Subscribe | Kind::Unsubscribe(_) | Kind::Work => {}
        }
        if !request.is_answered {
            self.work -= usize::from(request.kind != Kind::Pull);
            shared.counters.metrics.requests.ends();
            if let Response::Error(error) = response {
                shared.counters.metrics.requests.refused(error.code);
            }
        }
        !request.is_answered
    }
}

impl Peer for Outbox {
    fn reply(&self, correlation: u64, response: Response) {
        let mut state = self.state.lock();
        if state.finish(correlation, &response, &self.shared) {
            state.push(Outgoing::Reply(correlation, response));
        }
        let finished = state.is_draining && state.work == 0;
        let wake = state.writer_waits && !state.queue.is_empty();
        if wake {
            state.writer_waits = false;
        }
        self.wake_reader(state);
        if wake {
            self.to_write.notify_one();
        }
        if finished {
            self.finished.notify_one();
        }
    }

    fn deliver(&self, subscription: u64, deliveries: Vec<Delivery>) {
        self.push(Outgoing::Deliveries(subscription, deliveries));
    }

    fn ended(&self, subscription: u64, error: ErrorReply) {
        let mut state = self.state.lock();
        state.subscriptions.remove(&subscription);
        state.push(Outgoing::Ended(subscription, error));
        self.wake_writer(state);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        for request in self.state.get_mut().under_way.values() {
            if !request.is_answered {
                self.shared.counters.metrics.requests.ends();
            }
            if request.kind == Kind::Put {
                self.shared.release(request.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use swarmmq_protocol::codec::Encode;
    use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
    use swarmmq_protocol::limits::NAME_BYTES_MAX;
    use swarmmq_protocol::response::{PutOutcome, PutReply, PutRun, SettleOutcome, SettleReply};
    use swarmmq_protocol::service::{Instance, RegistryCursor, ServiceChange, ServiceNews, ServicesReply};
    use swarmmq_protocol::settings::{Condition, DestinationSettings, GroupSettings};
    use swarmmq_protocol::{DestinationName, GroupName};

    use super::*;

    fn large_destination() -> DestinationInfo {
        let name = DestinationName::new("orders").unwrap();
        let mut info = DestinationInfo::new(name, DestinationSettings::stream(), 0);
        let value = Bytes::from(vec![b'x'; 1_000]);
        let filter = vec![Condition::HeaderIs("region".into(), value.clone()), Condition::KeyIs(value)];
        let mut settings = GroupSettings::default();
        settings.filter = filter;
        let group = |number| GroupInfo::new(GroupName::new(&format!("g{number}")).unwrap(), settings.clone());
        info.groups = (0..100).map(group).collect();
        info
    }

    fn large_instance() -> Instance {
        let name = "x".repeat(NAME_BYTES_MAX);
        let mut instance = Instance::new(format!("{name}/{name}").parse().unwrap(), "y".repeat(512));
        instance.metadata = (0..32).map(|number| (format!("name-{number}"), "z".repeat(100))).collect();
        instance
    }

    fn services(news: ServiceNews) -> Response {
        Response::Services(ServicesReply { at: RegistryCursor { epoch: 1, revision: 1 }, news })
    }

    #[test]
    fn a_reply_costs_no_less_than_it_takes_on_the_wire() {
        let run = PutRun { count: 1, outcome: PutOutcome::Refused(ErrorCode::TooLarge) };
        let info = large_destination();
        let error =
            ErrorReply { leader: Some("10.0.0.1:9001".into()), ..ErrorReply::new(ErrorCode::NotLeader, "x") };
        let replies = [
            Response::Put(PutReply { index: 1, runs: vec![run; 4_000] }),
            Response::Settled(SettleReply { index: 1, outcomes: vec![SettleOutcome::Stale; 4_000] }),
            Response::Destination(Box::new(info.clone())),
            Response::Destinations(vec![info; 3]),
            services(ServiceNews::All(vec![large_instance(); 100])),
            services(ServiceNews::Changes(vec![ServiceChange::Gone(large_instance().key); 100])),
            Response::Error(error),
        ];
        for reply in replies {
            let mut wire = BytesMut::new();
            reply.encode(&mut wire);
            let cost = Outgoing::Reply(1, reply).cost();
            assert!(cost >= wire.len(), "{cost} for {}", wire.len());
        }
    }
}
