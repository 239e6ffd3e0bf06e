//! A producer as its connection and its driver see it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, Message, ProducerId, Response};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Shared;
use crate::connection::{Endpoint, Frames, Link, Token};
use crate::error::Error;
use crate::producer::batch::Resolved;
use crate::producer::confirmation::Confirmation;
use crate::producer::line::{Limits, Line};
use crate::producer::waiting::{Enqueueing, Told, Waiting};

/// While messages keep coming the driver looks at the time this often, so that no message has to wake
/// it.
const DRIVER_TICK: Duration = Duration::from_secs(1);

/// The shared part of a producer.
#[derive(Debug)]
pub(super) struct Core {
    destination: DestinationName,
    client: Weak<Shared>,
    client_closing: CancellationToken,
    state: Mutex<State>,
    driver: Notify,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    line: Line,
    waiting: Waiting,
    link: Arc<Link>,
    /// Whether the link knows that there is something to send.
    is_ready: bool,
    /// Whether the driver looks at the time by itself.
    is_driven: bool,
    /// No more messages are taken.
    is_closed: bool,
    /// The first failure since the last flush.
    failure: Option<Error>,
}

/// What to tell whom, once nothing is locked.
#[derive(Default)]
struct News {
    resolved: Vec<Resolved>,
    told: Vec<Told>,
}

impl Core {
    pub(super) fn new(destination: DestinationName, limits: Limits, client: &Arc<Shared>) -> Arc<Self> {
        let link = client.router.link_for(Some(&destination));
        Arc::new(Self {
            destination,
            client: Arc::downgrade(client),
            client_closing: client.closing.clone(),
            state: Mutex::new(State {
                line: Line::new(ProducerId(rand::random()), limits),
                waiting: Waiting::default(),
                link,
                is_ready: false,
                is_driven: false,
                is_closed: false,
                failure: None,
            }),
            driver: Notify::new(),
            settled: Notify::new(),
        })
    }

    pub(super) fn destination(&self) -> &DestinationName {
        &self.destination
    }

    pub(super) fn message_bytes_max(&self) -> usize {
        self.state.lock().link.message_bytes_max()
    }

    /// Takes a message, or lets it wait for room behind those that wait already.
    pub(super) fn enqueue(self: &Arc<Self>, message: Message) -> Enqueueing {
        let now = Instant::now();
        let (enqueueing, wake) = {
            let mut state = self.state.lock();
            match self.accept(&mut state, &message, now) {
                Some(result) => (Enqueueing::known(result), state.link_to_wake()),
                None => (state.waiting.join(message, now, self), None),
            }
        };
        self.wake(wake);
        enqueueing
    }

    /// Takes a message if there is room for it now.
    pub(super) fn try_enqueue(self: &Arc<Self>, message: &Message) -> Option<Result<Confirmation, Error>> {
        let (result, wake) = {
            let mut state = self.state.lock();
            (self.accept(&mut state, message, Instant::now()), state.link_to_wake())
        };
        self.wake(wake);
        result
    }

    fn accept(
        &self,
        state: &mut State,
        message: &Message,
        now: Instant,
    ) -> Option<Result<Confirmation, Error>> {
        if state.is_closed {
            return Some(Err(Error::Closed));
        }
        if !std::mem::replace(&mut state.is_driven, true) {
            self.driver.notify_one();
        }
        let has_room = state.waiting.is_empty() && state.line.has_room(message.encoded_len());
        has_room.then(|| state.line.accept(message, now).map_err(Error::from))
    }

    /// Refuses what is sent from now on.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.driver.notify_one();
    }

    /// Waits until everything sent so far is settled, and gives the first failure since the last time.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let ticket = self.state.lock().waiting.next_ticket();
        let mut number = None;
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.waiting.is_served_below(ticket) {
                    let number = *number.get_or_insert(state.line.next_number());
                    if state.line.is_settled_below(number) {
                        return state.failure.take().map_or(Ok(()), Err);
                    }
                }
            }
            settled.await;
        }
    }

    pub(super) fn with_waiting(&self, act: impl FnOnce(&mut Waiting)) {
        act(&mut self.state.lock().waiting);
    }

    fn wake(self: &Arc<Self>, link: Option<Arc<Link>>) {
        if let Some(link) = link {
            link.mark_ready(self.clone());
        }
    }

    /// Changes the state, tells everybody what came of it, and wakes whom it concerns.
    fn update(self: &Arc<Self>, act: impl FnOnce(&mut State, Instant) -> Vec<Resolved>) {
        if self.change(act) {
            // It resumes the line, and must look at the time anew.
            self.driver.notify_one();
        }
    }

    /// As [`Self::update`], but for the driver, which is not woken: one that wakes itself for as long as the line
    /// is stalled never sleeps. Says whether the line is.
    fn change(self: &Arc<Self>, act: impl FnOnce(&mut State, Instant) -> Vec<Resolved>) -> bool {
        let now = Instant::now();
        let (news, wake, is_stalled) = {
            let mut state = self.state.lock();
            let mut resolved = act(&mut state, now);
            if state.line.is_due(now) {
                self.choose_link(&mut state);
                resolved.extend(state.line.handle_time(now));
            }
            let news = state.finish(resolved, now);
            (news, state.link_to_wake(), state.line.is_stalled())
        };
        let is_settled = !news.resolved.is_empty() || !news.told.is_empty();
        news.resolved.into_iter().for_each(Resolved::tell);
        news.told.into_iter().for_each(Told::tell);
        if is_settled {
            self.settled.notify_waiters();
        }
        self.wake(wake);
        is_stalled
    }

    /// Chooses the link for the next attempt: nothing is under way now.
    fn choose_link(&self, state: &mut State) {
        if let Some(client) = self.client.upgrade() {
            state.link = client.router.link_for(Some(&self.destination));
        }
    }

    /// Follows a node that names another leader. Says whether that is somewhere else.
    fn follow(&self, reply: &Result<Response, Error>) -> bool {
        let Ok(Response::Error(ErrorReply { code: ErrorCode::NotLeader, leader, .. })) = reply else {
            return false;
        };
        let link = self.state.lock().link.clone();
        self.client
            .upgrade()
            .is_some_and(|client| client.router.redirect(&self.destination, &link, leader.as_deref()))
    }

    /// The client is closed: nothing more is sent, and everybody is told.
    fn abandon(self: &Arc<Self>) {
        let told = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.waiting.abandon(&Error::Closed)
        };
        told.into_iter().for_each(Told::tell);
        self.update(|state, _| state.line.abandon(&Error::Closed));
        self.settled.notify_waiters();
    }

    /// Does what is due by time, and says when to come back, if ever.
    fn handle_time(self: &Arc<Self>) -> Option<Instant> {
        self.change(|state, now| {
            if state.line.is_due(now) {
                self.choose_link(state);
            }
            state.line.handle_time(now)
        });
        let now = Instant::now();
        let mut state = self.state.lock();
        let is_idle = state.line.is_empty() && state.waiting.is_empty();
        // Cleared to see whether anything comes until the next look.
        let was_driven = std::mem::replace(&mut state.is_driven, !is_idle);
        if is_idle && !was_driven {
            return None;
        }
        let timeout = state.line.timeout();
        let waiting = state.waiting.oldest().map(|since| since + timeout);
        let tick = now + DRIVER_TICK.min(timeout / 4);
        Some([state.line.next_time(), waiting].into_iter().flatten().fold(tick, Instant::min))
    }

    fn is_done(&self) -> bool {
        let state = self.state.lock();
        state.is_closed && state.line.is_empty() && state.waiting.is_empty()
    }
}

impl State {
    /// The link, if it is to be told that there is something to send.
    fn link_to_wake(&mut self) -> Option<Arc<Link>> {
        if self.is_ready || !self.line.has_put() {
            return None;
        }
        self.is_ready = true;
        Some(self.link.clone())
    }

    /// Lets waiters in where there is room now, and sends those away whose time is over.
    fn finish(&mut self, resolved: Vec<Resolved>, now: Instant) -> News {
        if self.failure.is_none() {
            self.failure = resolved.iter().find_map(Resolved::failure);
        }
        let mut told = Vec::new();
        let timeout = self.line.timeout();
        while let Some(one) =
            self.waiting.expire(timeout, now).or_else(|| self.waiting.serve(&mut self.line, now))
        {
            told.push(one);
        }
        News { resolved, told }
    }
}

impl Endpoint for Core {
    fn poll_frames(self: Arc<Self>, out: &mut Frames<'_>) -> bool {
        let now = Instant::now();
        let moved = {
            let mut state = self.state.lock();
            if out.is_of(&state.link) {
                while out.has_room() {
                    let Some(put) = state.line.next_put(now) else { break };
                    out.request_with(self.clone(), put.token, |out| {
                        put.messages.encode_put(&self.destination, Some(&put.stamp), None, out);
                    });
                }
                state.is_ready = state.line.has_put();
                return state.is_ready;
            }
            state.is_ready = false;
            state.link_to_wake()
        };
        self.wake(moved);
        false
    }

    fn handle_reply(self: Arc<Self>, token: Token, reply: Result<Response, Error>) {
        let moved = self.follow(&reply);
        self.update(|state, now| state.line.handle_reply(token, reply, moved, now));
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

/// Looks after the time of a producer, until it is closed and everything is settled.
pub(super) async fn drive(core: Arc<Core>) {
    while !core.is_done() {
        let next = core.handle_time();
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = core.client_closing.cancelled() => {
                core.abandon();
                return;
            }
            () = core.driver.notified() => {}
            () = sleep => {}
        }
    }
}
