//! The state machine of a worker: it registers with a broker, exchanges heartbeats with it, works on one request at a
//! time, and registers again when the broker is lost.
//!
//! ```text
//!   ┌──────────────── pause over, and idle: fresh socket, READY ────────────────┐
//!   ▼                                                                           │
//!  Registered ── silence while idle, DISCONNECT, failure, work given back ──▶ Away
//!   │
//!   └── stop ──▶ Stopped
//! ```
//!
//! - A reply belongs to the registration in which its request came, and goes to no other: the broker has given the
//!   request to somebody else meanwhile.
//! - A worker that still works on a request of a lost registration does not register: it could not take any.
//! - Silence counts while the worker is idle. Brokers of the Guide send no heartbeats to workers that work.

use std::collections::VecDeque;

use rand::SeedableRng;
use rand::rngs::StdRng;
use swarmmq_protocol::zeromq::mdp::Part;

use crate::backoff::Backoff;
use crate::zeromq::machine::{Machine, Output};
use crate::zeromq::socket::Frames;
use crate::zeromq::worker_options::WorkerOptions;

/// Most requests that wait behind the one that is worked on. A broker that follows its RFC sends none; the Guide's queue
/// takes the heartbeat of a worker that works for its readiness. More are dropped.
pub(crate) const REQUESTS_WAITING_MAX: usize = 16;

/// How a worker and its broker write.
pub(crate) trait WorkerDialect {
    /// The message that registers.
    fn ready(&self) -> Frames;

    /// The message that says that the worker is alive.
    fn heartbeat(&self) -> Frames;

    /// The message that says that it leaves, if there is one.
    fn goodbye(&self) -> Option<Frames>;

    /// The message of a reply; `None` if there is no such part.
    fn reply(&self, part: Part, address: Frames, body: Frames) -> Option<Frames>;

    /// Reads a message of the broker; `None` if it is none.
    fn read(&self, frames: &Frames) -> Option<FromBroker>;
}

/// What a broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromBroker {
    /// A request.
    Request {
        /// What goes into the reply.
        address: Frames,
        /// What is asked.
        body: Frames,
    },
    /// It is alive.
    Heartbeat,
    /// It wants the worker to register again, on a fresh socket.
    Disconnect,
}

/// Which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkId(u64);

/// What the program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkerEvent {
    /// There is a request. No other comes until it is replied to or given back.
    Request {
        /// Which.
        id: WorkId,
        /// What is asked.
        body: Frames,
    },
    /// The worker has left.
    Stopped,
}

/// Why a reply was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The broker was lost since it gave the request, and gives it to another worker, if it still can.
    #[error("the broker that gave the request was lost")]
    BrokerLost,
    /// The worker is stopped.
    #[error("the worker is stopped")]
    Stopped,
    /// The protocol has no partial replies. Only MDP 0.2 has them.
    #[error("the protocol has no partial replies")]
    NoPartialReplies,
    /// A reply has one frame or more.
    #[error("a reply has one frame or more")]
    EmptyReply,
}

#[derive(Debug)]
enum State {
    Registered { beat_ms: u64, silent_until_ms: u64 },
    Away { until_ms: u64 },
    Stopped,
}

struct Work {
    id: WorkId,
    address: Frames,
    /// Whether its registration is lost.
    stale: bool,
}

/// The machine.
pub(crate) struct Conversation<D> {
    dialect: D,
    options: WorkerOptions,
    state: State,
    work: Option<Work>,
    waiting: VecDeque<(Frames, Frames)>,
    next_id: u64,
    pauses: Backoff,
    chance: StdRng,
    outputs: VecDeque<Output<WorkerEvent>>,
}

impl<D: WorkerDialect> Conversation<D> {
    /// A worker that registers at once. `seed` decides the pauses.
    pub(crate) fn new(dialect: D, options: WorkerOptions, seed: u64) -> Self {
        let pauses = Backoff::new(options.pause_min, options.pause_max);
        Self {
            dialect,
            options,
            state: State::Away { until_ms: 0 },
            work: None,
            waiting: VecDeque::new(),
            next_id: 0,
            pauses,
            chance: StdRng::seed_from_u64(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Replies to the request that is worked on. The last part ends the work, also if it is refused.
    pub(crate) fn reply(
        &mut self,
        now_ms: u64,
        id: WorkId,
        part: Part,
        body: Frames,
    ) -> Result<(), ReplyError> {
        if matches!(self.state, State::Stopped) {
            return Err(ReplyError::Stopped);
        }
        if body.is_empty() {
            return Err(ReplyError::EmptyReply);
        }
        let Some(work) = self.work.take_if(|work| work.id == id) else { return Err(ReplyError::BrokerLost) };
        if work.stale {
            self.work = (part == Part::Partial).then_some(work);
            return Err(ReplyError::BrokerLost);
        }
        let Some(frames) = self.dialect.reply(part, work.address.clone(), body) else {
            self.work = Some(work);
            return Err(ReplyError::NoPartialReplies);
        };
        self.outputs.push_back(Output::Send(frames));
        if let State::Registered { beat_ms, silent_until_ms } = &mut self.state {
            *beat_ms = now_ms.saturating_add(self.options.interval_ms());
            *silent_until_ms = now_ms.saturating_add(self.options.silence_ms());
        }
        match part {
            Part::Partial => self.work = Some(work),
            Part::Final => self.take_next(),
        }
        Ok(())
    }

    /// Gives back the request that is worked on: the worker leaves, so that the broker gives it to another, and
    /// registers again.
    pub(crate) fn give_back(&mut self, now_ms: u64, id: WorkId) {
        let Some(work) = self.work.take_if(|work| work.id == id) else { return };
        if !work.stale && matches!(self.state, State::Registered { .. }) {
            let goodbye = self.dialect.goodbye();
            self.leave(now_ms, goodbye);
        }
    }

    /// Leaves for good.
    pub(crate) fn stop(&mut self) {
        let goodbye = match self.state {
            State::Registered { .. } => self.dialect.goodbye(),
            State::Away { .. } => None,
            State::Stopped => return,
        };
        self.state = State::Stopped;
        self.work = None;
        self.waiting.clear();
        self.outputs.retain(|output| !matches!(output, Output::Event(_)));
        self.outputs.extend(goodbye.map(Output::Send));
        self.outputs.extend([Output::Close { linger: true }, Output::Event(WorkerEvent::Stopped)]);
    }

    fn register(&mut self, now_ms: u64) {
        self.outputs.extend([Output::Open, Output::Send(self.dialect.ready())]);
        let beat_ms = now_ms.saturating_add(self.options.interval_ms());
        let silent_until_ms = now_ms.saturating_add(self.options.silence_ms());
        self.state = State::Registered { beat_ms, silent_until_ms };
    }

    /// Ends the registration, and with it what is left of its requests.
    fn leave(&mut self, now_ms: u64, goodbye: Option<Frames>) {
        self.waiting.clear();
        if let Some(work) = &mut self.work {
            work.stale = true;
        }
        // A request that the program was not told of yet is as good as those that wait. Of what else was wanted, nothing
        // concerns the program.
        if self.outputs.drain(..).any(|output| matches!(output, Output::Event(_))) {
            self.work = None;
        }
        let linger = goodbye.is_some();
        self.outputs.extend(goodbye.map(Output::Send));
        self.outputs.push_back(Output::Close { linger });
        let pause = self.pauses.next_delay_drawn_by(&mut self.chance);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.state = State::Away { until_ms: now_ms.saturating_add(pause_ms) };
    }

    fn take_next(&mut self) {
        if let Some((address, body)) = self.waiting.pop_front() {
            self.take(address, body);
        }
    }

    fn take(&mut self, address: Frames, body: Frames) {
        let id = WorkId(self.next_id);
        self.next_id += 1;
        self.work = Some(Work { id, address, stale: false });
        self.outputs.push_back(Output::Event(WorkerEvent::Request { id, body }));
    }
}

impl<D: WorkerDialect> Machine for Conversation<D> {
    type Event = WorkerEvent;

    fn handle_message(&mut self, now_ms: u64, frames: Frames) {
        let State::Registered { silent_until_ms, .. } = &mut self.state else { return };
        let Some(said) = self.dialect.read(&frames) else {
            tracing::debug!(frames = frames.len(), "a message that is none of the broker's was dropped");
            return;
        };
        if said == FromBroker::Disconnect {
            self.leave(now_ms, None);
            return;
        }
        *silent_until_ms = now_ms.saturating_add(self.options.silence_ms());
        self.pauses.reset();
        match said {
            FromBroker::Request { address, body } if self.work.is_none() => self.take(address, body),
            FromBroker::Request { address, body } if self.waiting.len() < REQUESTS_WAITING_MAX => {
                self.waiting.push_back((address, body));
            }
            FromBroker::Request { .. } => {
                tracing::warn!("a broker gave a worker more requests than can wait; one was dropped");
            }
            FromBroker::Heartbeat | FromBroker::Disconnect => {}
        }
    }

    fn handle_timeout(&mut self, now_ms: u64) {
        match &mut self.state {
            State::Registered { silent_until_ms, .. }
                if self.work.is_none() && now_ms >= *silent_until_ms =>
            {
                self.leave(now_ms, None);
            }
            State::Registered { beat_ms, .. } if now_ms >= *beat_ms => {
                *beat_ms = now_ms.saturating_add(self.options.interval_ms());
                self.outputs.push_back(Output::Send(self.dialect.heartbeat()));
            }
            State::Away { until_ms } if self.work.is_none() && now_ms >= *until_ms => self.register(now_ms),
            State::Registered { .. } | State::Away { .. } | State::Stopped => {}
        }
    }

    fn handle_failure(&mut self, now_ms: u64, reason: String) {
        if matches!(self.state, State::Registered { .. }) {
            tracing::debug!(%reason, "the socket of a worker failed");
            self.leave(now_ms, None);
        }
    }

    fn poll_output(&mut self) -> Option<Output<WorkerEvent>> {
        self.outputs.pop_front()
    }

    fn next_due(&self) -> Option<u64> {
        match (&self.state, &self.work) {
            (State::Registered { beat_ms, silent_until_ms }, None) => Some(*beat_ms.min(silent_until_ms)),
            (State::Registered { beat_ms, .. }, Some(_)) => Some(*beat_ms),
            (State::Away { until_ms }, None) => Some(*until_ms),
            (State::Away { .. }, Some(_)) | (State::Stopped, _) => None,
        }
    }
}
