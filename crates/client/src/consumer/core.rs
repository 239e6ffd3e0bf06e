//! A subscription as its connection, its driver and its messages see it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::request::{Subscribe, Verdict};
use swarmmq_protocol::response::Delivery;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, GroupName, Receipt, Request, Response};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::client::{Client, Shared};
use crate::connection::{Endpoint, Frames, Link, Token};
use crate::consumer::builder::milliseconds;
use crate::error::Error;
use crate::request::{HOPS_MAX, RETRY_DELAYS};
use crate::settle::Settler;

/// A lease is extended each time this part of it has gone by: two tries may fail.
const EXTEND_PART: u32 = 3;
/// Credit is given back when this part of it is owed, or nothing else can come.
const CREDIT_PART: u32 = 4;

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) destination: DestinationName,
    pub(super) group: GroupName,
    /// `None`: what the node says.
    pub(super) credit: Option<u32>,
    pub(super) lease: Option<Duration>,
    pub(super) auto_extend: bool,
}

/// The shared part of a consumer.
pub(crate) struct Core {
    terms: Terms,
    client: Weak<Shared>,
    client_closing: CancellationToken,
    settler: Arc<Settler>,
    state: Mutex<State>,
    driver: Arc<Notify>,
    /// The phase has changed.
    changed: Notify,
}

struct State {
    phase: Phase,
    /// Recognises the answer to the last subscription.
    attempt: u32,
    /// Most messages that are granted, buffered and held together.
    credit: u32,
    /// Credit that the node has and has not used.
    granted: u32,
    buffer: VecDeque<Buffered>,
    /// How many messages the application has that are not settled.
    held: usize,
    /// With automatic extension, when each message here was leased or extended last.
    leased: HashMap<Receipt, Instant>,
    link: Arc<Link>,
    is_ready: bool,
    waker: Option<Waker>,
    backoff: Backoff,
    hops: u32,
    last: Option<Error>,
    /// Given to the application, once.
    failure: Option<Error>,
    /// Whether the first subscription has succeeded.
    is_built: bool,
    /// The application takes nothing more.
    is_closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To be subscribed as soon as the link takes it.
    Wanted,
    /// Asked for under this id.
    Subscribing(u64),
    /// It stands.
    Subscribed(u64),
    /// Not before then.
    Paused(Instant),
    /// To be ended.
    Leaving(u64),
    /// Asked to be ended.
    Left,
    /// Over.
    Over,
}

struct Buffered {
    delivery: Delivery,
    since: Instant,
}

/// A message on its way to the application.
pub(super) struct Taken {
    pub(super) delivery: Delivery,
    pub(super) hold: Hold,
}

/// That a message is not settled. Gives its credit back when it is dropped.
pub(crate) struct Hold {
    core: Arc<Core>,
    receipt: Receipt,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hold").field(&self.receipt).finish()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.release(self.receipt);
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn start(terms: Terms, client: &Client, settler: Arc<Settler>) -> Arc<Self> {
        let shared = &client.shared;
        let link = shared.router.link_for(Some(&terms.destination));
        let core = Arc::new(Self {
            client: Arc::downgrade(shared),
            client_closing: shared.closing.clone(),
            settler,
            state: Mutex::new(State {
                phase: Phase::Wanted,
                attempt: 0,
                credit: terms.credit.unwrap_or_else(|| link.credit_default()),
                granted: 0,
                buffer: VecDeque::new(),
                held: 0,
                leased: HashMap::new(),
                link,
                is_ready: false,
                waker: None,
                backoff: Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1),
                hops: 0,
                last: None,
                failure: None,
                is_built: false,
                is_closing: false,
            }),
            terms,
            driver: Arc::new(Notify::new()),
            changed: Notify::new(),
        });
        tokio::spawn(drive(Arc::downgrade(&core), core.driver.clone(), shared.closing.clone()));
        let wake = core.state.lock().link_to_wake();
        core.wake(wake);
        core
    }

    pub(super) fn destination(&self) -> &DestinationName {
        &self.terms.destination
    }

    pub(super) fn group(&self) -> &GroupName {
        &self.terms.group
    }

    pub(super) fn last_error(&self) -> Option<Error> {
        self.state.lock().last.clone()
    }

    fn wake(self: &Arc<Self>, link: Option<Arc<Link>>) {
        if let Some(link) = link {
            link.mark_ready(self.clone());
        }
    }

    /// Changes the state, and wakes whom it concerns.
    fn update<T>(self: &Arc<Self>, act: impl FnOnce(&mut State) -> T) -> T {
        let (result, wake, waker) = {
            let mut state = self.state.lock();
            let before = state.phase;
            let result = act(&mut state);
            if state.phase != before {
                self.driver.notify_one();
                self.changed.notify_waiters();
            }
            let has_news = !state.buffer.is_empty() || state.is_over();
            let waker = if has_news { state.waker.take() } else { None };
            (result, state.link_to_wake(), waker)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.wake(wake);
        result
    }

    /// Waits for the first subscription.
    pub(super) async fn subscribed(&self) -> Result<(), Error> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.is_built {
                    return Ok(());
                }
                if let Some(error) = state.failure.take() {
                    return Err(error);
                }
                if state.is_over() {
                    return Err(Error::Closed);
                }
            }
            changed.await;
        }
    }

    pub(super) fn poll_taken(
        self: &Arc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Taken, Error>>> {
        self.update(|state| {
            let now = Instant::now();
            let lease = self.terms.lease.filter(|_| !self.terms.auto_extend);
            while let Some(Buffered { delivery, since }) = state.buffer.pop_front() {
                if lease.is_some_and(|lease| now >= since + lease) {
                    // It is not ours any more: it comes again, here or elsewhere.
                    continue;
                }
                state.held += 1;
                let hold = Hold { core: self.clone(), receipt: delivery.receipt };
                return Poll::Ready(Some(Ok(Taken { delivery, hold })));
            }
            if let Some(error) = state.failure.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if state.is_over() {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn release(self: &Arc<Self>, receipt: Receipt) {
        self.update(|state| {
            state.held = state.held.saturating_sub(1);
            state.leased.remove(&receipt);
        });
    }

    /// No more credit is given, and what is buffered is left to others.
    pub(super) fn stop_receiving(self: &Arc<Self>) {
        self.update(|state| {
            state.is_closing = true;
            state.buffer.clear();
        });
    }

    /// Ends the subscription.
    pub(super) fn close(self: &Arc<Self>) {
        self.stop_receiving();
        self.update(|state| {
            state.leased.clear();
            state.phase = match state.phase {
                Phase::Subscribed(id) | Phase::Subscribing(id) => Phase::Leaving(id),
                Phase::Leaving(_) | Phase::Left => state.phase,
                Phase::Wanted | Phase::Paused(_) | Phase::Over => Phase::Over,
            };
        });
    }

    /// Ends the subscription and waits until that is done.
    pub(super) async fn unsubscribe(self: &Arc<Self>) {
        self.close();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state.lock().is_over() {
                return;
            }
            changed.await;
        }
    }

    /// Does what is due by time, and says when to come back, if ever.
    fn handle_time(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let (extend, next) = self.update(|state| {
            if let Phase::Paused(until) = state.phase
                && now >= until
            {
                self.choose_link(state);
                state.phase = Phase::Wanted;
            }
            let due = match self.terms.lease {
                Some(lease) if self.terms.auto_extend => state.take_due(now, lease / EXTEND_PART),
                _ => Vec::new(),
            };
            (due, state.next_time(self.terms.lease))
        });
        let lease_ms = u64::from(self.terms.lease.map_or(0, milliseconds));
        for receipt in extend {
            self.settler.settle_later(receipt, Verdict::Extend { lease_ms }, None, None);
        }
        next
    }

    fn choose_link(&self, state: &mut State) {
        if let Some(client) = self.client.upgrade() {
            state.link = client.router.link_for(Some(&self.terms.destination));
        }
    }

    fn follow(&self, reply: &ErrorReply) -> bool {
        let link = self.state.lock().link.clone();
        reply.code == ErrorCode::NotLeader
            && self.client.upgrade().is_some_and(|client| {
                client.router.redirect(&self.terms.destination, &link, reply.leader.as_deref())
            })
    }

    /// The node does not deliver, or not any more.
    fn handle_refusal(self: &Arc<Self>, reply: ErrorReply) {
        let moved = self.follow(&reply);
        self.update(|state| {
            let is_retryable = reply.code.is_retryable();
            let error = Error::Refused(reply);
            state.last = Some(error.clone());
            state.lose_leases();
            state.phase = match state.phase {
                Phase::Leaving(_) | Phase::Left | Phase::Over => Phase::Over,
                _ if is_retryable => {
                    let at_once = moved && state.hops < HOPS_MAX;
                    state.hops += u32::from(moved);
                    let pause = if at_once { Duration::ZERO } else { state.backoff.next_delay() };
                    Phase::Paused(Instant::now() + pause)
                }
                _ => {
                    state.failure = Some(error);
                    Phase::Over
                }
            };
        });
    }

    /// The node's answer to a subscription cannot be understood, and asking again would not change that. The node may
    /// deliver for it all the same, so it is told that nobody listens.
    fn handle_nonsense(self: &Arc<Self>, error: Error) {
        self.update(|state| {
            state.failure = Some(error);
            state.lose_leases();
            state.phase = match state.phase {
                Phase::Subscribing(id) | Phase::Subscribed(id) => Phase::Leaving(id),
                _ => Phase::Over,
            };
        });
    }

    /// The connection is lost; the link pauses before it connects again.
    fn handle_lost(self: &Arc<Self>, error: Error) {
        self.update(|state| {
            state.last = Some(error);
            state.lose_leases();
            state.phase = match state.phase {
                Phase::Leaving(_) | Phase::Left | Phase::Over => Phase::Over,
                Phase::Subscribing(_) | Phase::Subscribed(_) => Phase::Paused(Instant::now()),
                Phase::Wanted | Phase::Paused(_) => state.phase,
            };
        });
    }

    fn abandon(self: &Arc<Self>) {
        self.update(|state| {
            state.buffer.clear();
            state.phase = Phase::Over;
        });
    }
}

impl State {
    /// The subscription is over: what was not given to the application yet is ready for others now, and
    /// comes again.
    fn lose_leases(&mut self) {
        self.granted = 0;
        for Buffered { delivery, .. } in self.buffer.drain(..) {
            self.leased.remove(&delivery.receipt);
        }
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Credit that the node could be given.
    fn owed(&self) -> u32 {
        let here = u32::try_from(self.buffer.len() + self.held).unwrap_or(u32::MAX);
        self.credit.saturating_sub(self.granted).saturating_sub(here)
    }

    /// Credit that is worth a frame: a part of all, or any where nothing else could come.
    fn owed_now(&self) -> u32 {
        let owed = self.owed();
        let is_starving = self.granted == 0 && self.buffer.is_empty();
        if self.is_closing || owed < (self.credit / CREDIT_PART).max(1) && !is_starving { 0 } else { owed }
    }

    /// The link, if it is to be told that there is something to send.
    fn link_to_wake(&mut self) -> Option<Arc<Link>> {
        let has_frames = match self.phase {
            Phase::Wanted | Phase::Leaving(_) => true,
            Phase::Subscribing(_) | Phase::Subscribed(_) => self.owed_now() > 0,
            Phase::Paused(_) | Phase::Left | Phase::Over => false,
        };
        if self.is_ready || !has_frames {
            return None;
        }
        self.is_ready = true;
        Some(self.link.clone())
    }

    /// The messages whose lease is to be extended now; they count as extended.
    fn take_due(&mut self, now: Instant, after: Duration) -> Vec<Receipt> {
        let mut due = Vec::new();
        for (receipt, extended) in &mut self.leased {
            if now >= *extended + after {
                *extended = now;
                due.push(*receipt);
            }
        }
        due
    }

    fn next_time(&self, lease: Option<Duration>) -> Option<Instant> {
        let resume = match self.phase {
            Phase::Paused(until) => Some(until),
            _ => None,
        };
        let oldest = self.leased.values().min();
        let extension = oldest.zip(lease).map(|(extended, lease)| *extended + lease / EXTEND_PART);
        [resume, extension].into_iter().flatten().min()
    }
}

/// The number of the request that ends a subscription; those that begin one have 0.
const LEAVE: u64 = 1;

impl Endpoint for Core {
    fn poll_frames(self: Arc<Self>, out: &mut Frames<'_>) -> bool {
        let moved = {
            let mut state = self.state.lock();
            state.is_ready = false;
            if out.is_of(&state.link) {
                state.is_ready = !self.write(&mut state, out);
                return state.is_ready;
            }
            state.link_to_wake()
        };
        self.wake(moved);
        false
    }

    fn handle_reply(self: Arc<Self>, token: Token, reply: Result<Response, Error>) {
        if token.number == LEAVE {
            self.update(|state| state.phase = Phase::Over);
            return;
        }
        if self.state.lock().attempt != token.attempt {
            return;
        }
        match reply {
            Ok(Response::Subscribed) => self.update(|state| {
                if let Phase::Subscribing(id) = state.phase {
                    state.phase = Phase::Subscribed(id);
                }
                state.is_built = true;
                state.hops = 0;
                state.backoff.reset();
            }),
            Ok(Response::Error(reply)) => self.handle_refusal(reply),
            Ok(_) => {
                let reason = "its answer does not fit the subscription".into();
                self.handle_nonsense(Error::Protocol { reason });
            }
            Err(error @ Error::Protocol { .. }) => self.handle_nonsense(error),
            Err(error) => self.handle_lost(error),
        }
    }

    fn handle_delivery(self: Arc<Self>, subscription: u64, deliveries: Vec<Delivery>) {
        let since = Instant::now();
        let count = deliveries.len();
        let (kept, is_first) = self.update(|state| {
            let (Phase::Subscribing(id) | Phase::Subscribed(id)) = state.phase else { return (count, false) };
            if id != subscription {
                return (count, false);
            }
            let is_first = state.leased.is_empty();
            let kept = count.min(state.granted as usize);
            state.granted -= u32::try_from(kept).unwrap_or(u32::MAX);
            if state.is_closing {
                return (kept, false);
            }
            for delivery in deliveries.into_iter().take(kept) {
                if self.terms.auto_extend {
                    state.leased.insert(delivery.receipt, since);
                }
                state.buffer.push_back(Buffered { delivery, since });
            }
            (kept, is_first && !state.leased.is_empty())
        });
        if is_first {
            self.driver.notify_one();
        }
        if kept < count
            && let Some(client) = self.client.upgrade()
        {
            let discarded = (count - kept) as u64;
            tracing::warn!(destination = %self.terms.destination, discarded, "the node sent beyond its credit");
            client.counters.discarded_deliveries.fetch_add(discarded, Ordering::Relaxed);
        }
    }

    fn handle_ended(self: Arc<Self>, subscription: u64, why: Result<ErrorReply, Error>) {
        let phase = self.state.lock().phase;
        if !matches!(phase, Phase::Subscribing(id) | Phase::Subscribed(id) | Phase::Leaving(id) if id == subscription)
        {
            return;
        }
        match why {
            Ok(reply) => self.handle_refusal(reply),
            Err(error) => self.handle_lost(error),
        }
    }

    fn handle_closed(self: Arc<Self>) {
        if self.client_closing.is_cancelled() || self.client.strong_count() == 0 {
            self.abandon();
            return;
        }
        self.update(|state| {
            state.is_ready = false;
            self.choose_link(state);
        });
    }
}

impl Core {
    /// Writes what there is to say. Says whether there was room for it.
    fn write(self: &Arc<Self>, state: &mut State, out: &mut Frames<'_>) -> bool {
        match state.phase {
            Phase::Wanted | Phase::Leaving(_) if !out.has_room() => return false,
            Phase::Wanted => {
                state.attempt = state.attempt.wrapping_add(1);
                // The node may be another one than before.
                state.credit = self.terms.credit.unwrap_or_else(|| state.link.credit_default());
                state.granted = 0;
                state.granted = state.owed();
                let subscribe = Request::Subscribe(Subscribe {
                    destination: self.terms.destination.clone(),
                    group: self.terms.group.clone(),
                    credit: state.granted,
                    lease_ms: self.terms.lease.map_or(0, milliseconds),
                });
                let token = Token { number: 0, attempt: state.attempt };
                state.phase = Phase::Subscribing(out.subscribe(self.clone(), token, &subscribe));
            }
            Phase::Subscribing(id) | Phase::Subscribed(id) => {
                let owed = state.owed_now();
                if owed > 0 {
                    out.credit(id, owed);
                    state.granted += owed;
                }
            }
            Phase::Leaving(subscription) => {
                let token = Token { number: LEAVE, attempt: state.attempt };
                out.request(self.clone(), token, &Request::Unsubscribe { subscription });
                out.forget(subscription);
                state.phase = Phase::Left;
            }
            Phase::Paused(_) | Phase::Left | Phase::Over => {}
        }
        true
    }
}

/// Looks after the time of a consumer, for as long as somebody has it.
async fn drive(core: Weak<Core>, wake: Arc<Notify>, closing: CancellationToken) {
    loop {
        let next = {
            let Some(core) = core.upgrade() else { return };
            let next = core.handle_time();
            let is_done = core.state.lock().is_over();
            if is_done {
                return;
            }
            next
        };
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => {
                if let Some(core) = core.upgrade() {
                    core.abandon();
                }
                return;
            }
            () = wake.notified() => {}
            () = sleep => {}
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.driver.notify_one();
    }
}
