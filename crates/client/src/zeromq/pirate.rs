//! The state machine of a client that asks, waits, and asks again on a fresh socket: the Guide's Lazy Pirate.
//!
//! ```text
//!          start                        final reply
//!  Idle ──────────▶ Waiting ─────────────────────────▶ Idle
//!                   ▲     │ timeout, failure: socket closed
//!        pause over │     ▼
//!                  Pausing ──▶ Idle, when all attempts are used up
//! ```
//!
//! A socket is used for one unanswered request at a time. When a request is given up, repeated or dropped, its socket is
//! closed, so that its answer finds nobody. What it does not protect from is a peer that answers one request twice;
//! the request ids of a [`Dialect`] do.

use std::collections::VecDeque;
use std::fmt;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::backoff::Backoff;
use crate::zeromq::machine::{Machine, Output};
use crate::zeromq::request_options::RequestOptions;
use crate::zeromq::socket::Frames;

/// How requests and replies are written.
pub(crate) trait Dialect {
    /// What is asked.
    type Request;

    /// The message of a request. `id` is different for each request, and a dialect may write it.
    fn write(&self, id: u64, request: &Self::Request) -> Frames;

    /// Reads a message as an answer to a request; `None` if it is none.
    fn read(&self, id: u64, request: &Self::Request, frames: Frames) -> Option<Answer>;
}

/// A message that answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A part, and more will come.
    Partial(Frames),
    /// All, or the last part.
    Final(Frames),
}

/// What the program is told of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PirateEvent {
    /// A part of the reply.
    Partial(Frames),
    /// The request is made again: the parts that came are void.
    Restarted,
    /// The reply, or its last part. The request is done.
    Final(Frames),
    /// There was no answer. The request is done.
    Failed(NoReply),
}

/// No answer came, however often the request was made.
///
/// Whether the request was worked on is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoReply {
    /// How often it was sent, or would have been.
    pub attempts: u32,
    /// How long that took.
    pub waited_ms: u64,
    /// Why the last attempt failed, if it was not for want of an answer.
    pub reason: Option<String>,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no reply to {} attempts in {} ms", self.attempts, self.waited_ms)?;
        self.reason.iter().try_for_each(|reason| write!(f, "; the last: {reason}"))
    }
}

enum State<R> {
    Idle,
    Waiting { call: Call<R>, due_ms: u64 },
    Pausing { call: Call<R>, due_ms: u64 },
}

struct Call<R> {
    id: u64,
    request: R,
    attempts: u32,
    started_ms: u64,
    /// Whether parts of an answer were told to the program in this attempt.
    partial: bool,
    pauses: Backoff,
}

/// The machine.
pub(crate) struct LazyPirate<D: Dialect> {
    dialect: D,
    options: RequestOptions,
    state: State<D::Request>,
    /// Whether there is a socket on which nothing is unanswered.
    socket_is_clean: bool,
    next_id: u64,
    chance: StdRng,
    outputs: VecDeque<Output<PirateEvent>>,
}

impl<D: Dialect> LazyPirate<D> {
    /// `seed` decides the pauses and the first request's id.
    pub(crate) fn new(dialect: D, options: RequestOptions, seed: u64) -> Self {
        Self {
            dialect,
            options,
            state: State::Idle,
            socket_is_clean: false,
            next_id: seed,
            chance: StdRng::seed_from_u64(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Makes a request. One that is under way is dropped, and its answer will find nobody.
    pub(crate) fn start(&mut self, now_ms: u64, request: D::Request) {
        self.outputs.clear();
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let pauses = Backoff::new(self.options.pause_min, self.options.pause_max);
        let call = Call { id, request, attempts: 0, started_ms: now_ms, partial: false, pauses };
        self.attempt(now_ms, call);
    }

    /// Whether a request is under way.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    fn attempt(&mut self, now_ms: u64, mut call: Call<D::Request>) {
        if !self.socket_is_clean {
            self.outputs.push_back(Output::Open);
        }
        self.socket_is_clean = false;
        call.attempts += 1;
        self.outputs.push_back(Output::Send(self.dialect.write(call.id, &call.request)));
        self.state = State::Waiting { call, due_ms: now_ms.saturating_add(self.options.timeout_ms()) };
    }

    fn give_up_attempt(&mut self, now_ms: u64, mut call: Call<D::Request>, reason: Option<String>) {
        // What was queued for the attempt that failed is not to be done any more, but what the program was to be told.
        self.outputs.retain(|output| matches!(output, Output::Event(_)));
        self.outputs.push_back(Output::Close { linger: false });
        if call.attempts >= self.options.attempts_max {
            let waited_ms = now_ms.saturating_sub(call.started_ms);
            let failed = NoReply { attempts: call.attempts, waited_ms, reason };
            self.outputs.push_back(Output::Event(PirateEvent::Failed(failed)));
            return;
        }
        if std::mem::take(&mut call.partial) {
            self.outputs.push_back(Output::Event(PirateEvent::Restarted));
        }
        let pause = call.pauses.next_delay_drawn_by(&mut self.chance);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.state = State::Pausing { call, due_ms: now_ms.saturating_add(pause_ms) };
    }
}

impl<D: Dialect> Machine for LazyPirate<D> {
    type Event = PirateEvent;

    fn handle_message(&mut self, now_ms: u64, frames: Frames) {
        let State::Waiting { call, due_ms } = &mut self.state else {
            // A peer that answers more than it is asked may do so again, in the middle of the next request.
            self.socket_is_clean = false;
            return;
        };
        match self.dialect.read(call.id, &call.request, frames) {
            None => {}
            Some(Answer::Partial(body)) => {
                call.partial = true;
                *due_ms = now_ms.saturating_add(self.options.timeout_ms());
                self.outputs.push_back(Output::Event(PirateEvent::Partial(body)));
            }
            Some(Answer::Final(body)) => {
                self.state = State::Idle;
                self.socket_is_clean = true;
                self.outputs.push_back(Output::Event(PirateEvent::Final(body)));
            }
        }
    }

    fn handle_timeout(&mut self, now_ms: u64) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting { call, due_ms } if now_ms >= due_ms => self.give_up_attempt(now_ms, call, None),
            State::Pausing { call, due_ms } if now_ms >= due_ms => self.attempt(now_ms, call),
            early => self.state = early,
        }
    }

    fn handle_failure(&mut self, now_ms: u64, reason: String) {
        self.socket_is_clean = false;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting { call, .. } => self.give_up_attempt(now_ms, call, Some(reason)),
            other => self.state = other,
        }
    }

    fn poll_output(&mut self) -> Option<Output<PirateEvent>> {
        self.outputs.pop_front()
    }

    fn next_due(&self) -> Option<u64> {
        match &self.state {
            State::Idle => None,
            State::Waiting { due_ms, .. } | State::Pausing { due_ms, .. } => Some(*due_ms),
        }
    }
}
