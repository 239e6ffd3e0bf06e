//! What became of delivered messages, told to the node in batches.
//!
//! There is one settler for each group of a destination. Settlements with the same verdict that are
//! queued together go out in one request. All of them may be sent again without harm, so they are,
//! until their time is over.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::request::{Settle, Verdict};
use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, GroupName, Receipt, Request, Response};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::client::{Client, Shared};
use crate::connection::{Endpoint, Frames, Link, Token};
use crate::consumer::Hold;
use crate::error::{Error, Misuse, says_nothing_was_done};
use crate::request::{HOPS_MAX, RETRY_DELAYS};

/// Most settlements of a group that are not answered. Acknowledgements are bounded by what was
/// delivered; this bounds extensions, which can be asked for again and again.
const SETTLEMENTS_MAX: usize = 131_072;
/// A batch takes no more settlements when its first is older than this part of the timeout.
const BATCH_AGE_PART: u32 = 16;
/// How many queued batches are looked at for one with the same verdict.
const BATCHES_LOOKED_AT: usize = 8;

/// The wait for the outcome of one settlement.
pub(crate) type Settling = oneshot::Receiver<Result<(), Error>>;

/// See the module.
pub(crate) struct Settler {
    destination: DestinationName,
    group: GroupName,
    client: Weak<Shared>,
    client_closing: CancellationToken,
    timeout: Duration,
    state: Mutex<State>,
    driver: Arc<Notify>,
    drained: Notify,
}

struct State {
    queue: VecDeque<Batch>,
    in_flight: HashMap<u64, Batch>,
    /// Settlements in both.
    pending: usize,
    next_number: u64,
    link: Arc<Link>,
    is_ready: bool,
    /// Nothing is sent before this.
    pause: Option<Instant>,
    backoff: Backoff,
    hops: u32,
}

/// Settlements with one verdict.
struct Batch {
    verdict: Verdict,
    items: Vec<Item>,
    since: Instant,
    /// Whether it may have been done already.
    uncertain: bool,
    last: Option<Error>,
}

/// One settlement.
struct Item {
    receipt: Receipt,
    /// Gives credit back when the settlement is over.
    _hold: Option<Hold>,
    /// Keeps the connection until the settlement is over.
    _client: Option<Client>,
    /// Who waits; without, a failure is counted.
    tell: Option<oneshot::Sender<Result<(), Error>>>,
}

type Told = (Item, Result<(), Error>);

impl std::fmt::Debug for Settler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settler")
            .field("destination", &self.destination)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Settler {
    pub(crate) fn start(client: &Client, destination: DestinationName, group: GroupName) -> Arc<Self> {
        let shared = &client.shared;
        let settler = Arc::new(Self {
            client: Arc::downgrade(shared),
            client_closing: shared.closing.clone(),
            timeout: client.request_timeout(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                in_flight: HashMap::new(),
                pending: 0,
                next_number: 0,
                link: shared.router.link_for(Some(&destination)),
                is_ready: false,
                pause: None,
                backoff: Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1),
                hops: 0,
            }),
            destination,
            group,
            driver: Arc::new(Notify::new()),
            drained: Notify::new(),
        });
        let closing = shared.closing.clone();
        tokio::spawn(drive(Arc::downgrade(&settler), settler.driver.clone(), closing));
        settler
    }

    /// Queues a settlement that somebody waits for.
    pub(crate) fn settle(
        self: &Arc<Self>,
        receipt: Receipt,
        verdict: Verdict,
        hold: Option<Hold>,
        client: Client,
    ) -> Settling {
        let (sender, settling) = oneshot::channel();
        self.queue(receipt, verdict, hold, Some(client), Some(sender));
        settling
    }

    /// Queues a settlement that nobody waits for. Without a client, it is not worth keeping the connection for.
    pub(crate) fn settle_later(
        self: &Arc<Self>,
        receipt: Receipt,
        verdict: Verdict,
        hold: Option<Hold>,
        client: Option<Client>,
    ) {
        self.queue(receipt, verdict, hold, client, None);
    }

    fn queue(
        self: &Arc<Self>,
        receipt: Receipt,
        verdict: Verdict,
        hold: Option<Hold>,
        client: Option<Client>,
        tell: Option<oneshot::Sender<Result<(), Error>>>,
    ) {
        let item = Item { receipt, _hold: hold, _client: client, tell };
        let error = if self.client_closing.is_cancelled() {
            Error::Closed
        } else {
            let mut state = self.state.lock();
            if state.pending < SETTLEMENTS_MAX {
                let is_first = state.pending == 0;
                state.push(item, verdict, self.timeout / BATCH_AGE_PART);
                let wake = state.link_to_wake();
                drop(state);
                if is_first {
                    self.driver.notify_one();
                }
                self.wake(wake);
                return;
            }
            Misuse::TooMany { what: "settlements under way", limit: SETTLEMENTS_MAX }.into()
        };
        self.tell(vec![(item, Err(error))]);
    }

    /// Waits until everything queued so far is answered.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.state.lock().pending == 0 {
                return;
            }
            drained.await;
        }
    }

    fn wake(self: &Arc<Self>, link: Option<Arc<Link>>) {
        if let Some(link) = link {
            link.mark_ready(self.clone());
        }
    }

    fn tell(&self, told: Vec<Told>) {
        for (item, result) in told {
            match item.tell {
                Some(tell) => {
                    let _ = tell.send(result);
                }
                None => {
                    if let (Err(error), Some(client)) = (result, self.client.upgrade()) {
                        tracing::debug!(destination = %self.destination, receipt = %item.receipt, %error, "a settlement failed");
                        client.counters.failed_settlements.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Tells the outcomes of settlements that were under way.
    fn finish(&self, told: Vec<Told>) {
        let is_drained = {
            let mut state = self.state.lock();
            state.pending = state.pending.saturating_sub(told.len());
            state.pending == 0
        };
        self.tell(told);
        if is_drained {
            self.drained.notify_waiters();
        }
    }

    fn handle_settled(&self, batch: Batch, outcomes: &[SettleOutcome]) -> Vec<Told> {
        let results: Vec<_> = outcomes.iter().map(|outcome| batch.result_of(*outcome)).collect();
        batch.items.into_iter().zip(results).collect()
    }

    fn follow(&self, reply: &ErrorReply) -> bool {
        let link = self.state.lock().link.clone();
        reply.code == ErrorCode::NotLeader
            && self.client.upgrade().is_some_and(|client| {
                client.router.redirect(&self.destination, &link, reply.leader.as_deref())
            })
    }

    /// Sends a batch again, after a pause.
    fn try_again(self: &Arc<Self>, mut batch: Batch, error: Error, moved: bool) {
        let is_lost = matches!(error, Error::ConnectionLost { .. } | Error::Closed);
        batch.last = Some(error);
        {
            let mut state = self.state.lock();
            let pause = if is_lost || moved && state.hops < HOPS_MAX {
                Duration::ZERO
            } else {
                state.backoff.next_delay()
            };
            state.hops += u32::from(moved);
            let until = Instant::now() + pause;
            state.pause = Some(state.pause.map_or(until, |pause| pause.max(until)));
            state.queue.push_front(batch);
        }
        self.driver.notify_one();
    }

    /// Does what is due by time, and says when to come back, if ever.
    fn handle_time(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let (told, wake, next) = {
            let mut state = self.state.lock();
            if state.pause.is_some_and(|pause| now >= pause) {
                state.pause = None;
                self.choose_link(&mut state);
            }
            let told = state.expire(now, self.timeout);
            (told, state.link_to_wake(), state.next_time(self.timeout))
        };
        self.finish(told);
        self.wake(wake);
        next
    }

    fn choose_link(&self, state: &mut State) {
        if let Some(client) = self.client.upgrade() {
            state.link = client.router.link_for(Some(&self.destination));
        }
    }

    fn abandon(&self) {
        let told = {
            let mut state = self.state.lock();
            state.pending = 0;
            let in_flight = std::mem::take(&mut state.in_flight).into_values();
            let queued = std::mem::take(&mut state.queue).into_iter();
            in_flight.map(|batch| (batch, true)).chain(queued.map(|batch| (batch, false))).collect::<Vec<_>>()
        };
        for (mut batch, is_sent) in told {
            batch.uncertain |= is_sent;
            self.tell(batch.failed(Error::Closed));
        }
        self.drained.notify_waiters();
    }
}

impl State {
    fn push(&mut self, item: Item, verdict: Verdict, age_max: Duration) {
        let now = Instant::now();
        self.pending += 1;
        let looked_at = self.queue.iter_mut().rev().take(BATCHES_LOOKED_AT);
        for batch in looked_at {
            let is_open = batch.items.len() < BATCH_MAX && now < batch.since + age_max;
            if is_open && batch.verdict == verdict && batch.last.is_none() {
                batch.items.push(item);
                return;
            }
        }
        self.queue.push_back(Batch { verdict, items: vec![item], since: now, uncertain: false, last: None });
    }

    fn link_to_wake(&mut self) -> Option<Arc<Link>> {
        if self.is_ready || self.queue.is_empty() || self.pause.is_some() {
            return None;
        }
        self.is_ready = true;
        Some(self.link.clone())
    }

    fn expire(&mut self, now: Instant, timeout: Duration) -> Vec<Told> {
        let is_over = |batch: &Batch| now >= batch.since + timeout;
        let mut over: Vec<Batch> = self
            .in_flight
            .extract_if(|_, batch| is_over(batch))
            .map(|(_, batch)| Batch { uncertain: true, ..batch })
            .collect();
        while self.queue.front().is_some_and(is_over) {
            over.extend(self.queue.pop_front());
        }
        let mut told = Vec::new();
        for batch in over {
            let last = batch.last.clone().map(Box::new);
            told.extend(batch.failed(Error::TimedOut { operation: "the settlement", limit: timeout, last }));
        }
        told
    }

    fn next_time(&self, timeout: Duration) -> Option<Instant> {
        let all = self.in_flight.values().chain(self.queue.front());
        let expiry = all.map(|batch| batch.since + timeout).min();
        [expiry, self.pause.filter(|_| !self.queue.is_empty())].into_iter().flatten().min()
    }
}

impl Batch {
    fn failed(self, error: Error) -> Vec<Told> {
        let error = if self.uncertain && !error.is_uncertain() {
            Error::OutcomeUnknown { cause: Box::new(error) }
        } else {
            error
        };
        self.items.into_iter().map(|item| (item, Err(error.clone()))).collect()
    }

    /// What an outcome means to the caller. After an uncertain attempt, "settled before" may mean: by
    /// that attempt.
    fn result_of(&self, outcome: SettleOutcome) -> Result<(), Error> {
        let stale = |explanation: &str| {
            let error = Error::Refused(ErrorReply::new(ErrorCode::StaleReceipt, explanation));
            match self.verdict {
                Verdict::Nack { .. } | Verdict::Extend { .. } if self.uncertain => {
                    Err(Error::OutcomeUnknown { cause: Box::new(error) })
                }
                _ => Err(error),
            }
        };
        match (outcome, &self.verdict) {
            (SettleOutcome::Done, _) | (SettleOutcome::AlreadySettled, Verdict::Ack) => Ok(()),
            (SettleOutcome::AlreadySettled, Verdict::Reject { .. } | Verdict::Nack { .. })
                if self.uncertain =>
            {
                Ok(())
            }
            (SettleOutcome::AlreadySettled, _) => stale("the message was settled before"),
            (SettleOutcome::Stale, _) => stale("the message was leased again since"),
            (SettleOutcome::Unknown, _) => stale("the group never had this message"),
            _ => Err(Error::Protocol { reason: "it answered a settlement with an unknown outcome".into() }),
        }
    }
}

impl Endpoint for Settler {
    fn poll_frames(self: Arc<Self>, out: &mut Frames<'_>) -> bool {
        let moved = {
            let mut state = self.state.lock();
            if out.is_of(&state.link) {
                while out.has_room() && state.pause.is_none() {
                    let Some(batch) = state.queue.pop_front() else { break };
                    let number = state.next_number;
                    state.next_number += 1;
                    let settle = Request::Settle(Settle {
                        destination: self.destination.clone(),
                        group: self.group.clone(),
                        verdict: batch.verdict.clone(),
                        receipts: batch.items.iter().map(|item| item.receipt).collect(),
                    });
                    out.request(self.clone(), Token { number, attempt: 0 }, &settle);
                    state.in_flight.insert(number, batch);
                }
                state.is_ready = !state.queue.is_empty() && state.pause.is_none();
                return state.is_ready;
            }
            state.is_ready = false;
            state.link_to_wake()
        };
        self.wake(moved);
        false
    }

    fn handle_reply(self: Arc<Self>, token: Token, reply: Result<Response, Error>) {
        let Some(batch) = self.state.lock().in_flight.remove(&token.number) else { return };
        let told = match reply {
            Ok(Response::Settled(reply)) if reply.outcomes.len() == batch.items.len() => {
                let mut state = self.state.lock();
                state.backoff.reset();
                state.hops = 0;
                drop(state);
                self.handle_settled(batch, &reply.outcomes)
            }
            Ok(Response::Error(reply)) => {
                let moved = self.follow(&reply);
                let uncertain = batch.uncertain || !says_nothing_was_done(reply.code);
                let batch = Batch { uncertain, ..batch };
                if reply.code.is_retryable() {
                    return self.try_again(batch, Error::Refused(reply), moved);
                }
                batch.failed(Error::Refused(reply))
            }
            Ok(_) => {
                let reason = "its answer does not fit the settlement".into();
                Batch { uncertain: true, ..batch }.failed(Error::Protocol { reason })
            }
            Err(error) => return self.try_again(Batch { uncertain: true, ..batch }, error, false),
        };
        self.finish(told);
    }

    fn handle_closed(self: Arc<Self>) {
        if self.client_closing.is_cancelled() || self.client.strong_count() == 0 {
            self.abandon();
            return;
        }
        let wake = {
            let mut state = self.state.lock();
            state.is_ready = false;
            self.choose_link(&mut state);
            state.link_to_wake()
        };
        self.wake(wake);
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.driver.notify_one();
    }
}

/// Looks after the time of a settler, and keeps it for as long as something waits in it.
async fn drive(settler: Weak<Settler>, wake: Arc<Notify>, closing: CancellationToken) {
    let mut kept = None;
    loop {
        // Taken from the last turn first: it may be the only one who still has it.
        let Some(current) = kept.take().or_else(|| settler.upgrade()) else { return };
        let next = current.handle_time();
        kept = next.is_some().then_some(current);
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => {
                if let Some(settler) = settler.upgrade() {
                    settler.abandon();
                }
                return;
            }
            () = wake.notified() => {}
            () = sleep => {}
        }
    }
}
