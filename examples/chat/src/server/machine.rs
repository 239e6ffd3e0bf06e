//! A server without sockets, clocks and files.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::berkeley::{AdjustedClock, Round};
use crate::catch_up::CatchUp;
use crate::election::Election;
use crate::lamport::LamportClock;
use crate::reference::protocol::Question;
use crate::server::questions::Questions;
use crate::store::{Store, StoreError};
use crate::time::{self, Now};

/// How many clocks are promised to the store at once, so that it is not asked at every message.
const CLOCKS_RESERVED: u64 = 1_024;

/// After how many messages a server asks the reference for the time and elects anew.
const MESSAGES_PER_ROUND: u64 = 10;

/// What a server wants done. It leaves only after what it rests on is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Publish a message.
    Publish { topic: String, body: Bytes },
    /// Ask the reference, and hand in what it answers, or that it does not.
    Ask { body: Vec<u8> },
    /// Say something on the console.
    Say(String),
    /// Say that something is wrong.
    Warn(String),
}

/// A server.
///
/// What it promises of its history: a record that it took itself has a higher clock than all that stand before it in its
/// files. So whoever sorts any server's records by clock has them in an order in which nothing comes before what it may
/// be an answer to, and in the same order on all servers.
pub(crate) struct Server<S> {
    pub(super) name: String,
    pub(super) store: S,
    pub(super) lamport: LamportClock,
    pub(super) clock: AdjustedClock,
    /// When the clock was last adjusted by a coordinator.
    pub(super) adjusted_ms: Option<u64>,
    pub(super) election: Election,
    pub(super) questions: Questions,
    pub(super) catch_up: CatchUp,
    pub(super) round: Option<Round>,
    pub(super) next_round_ms: u64,
    /// Whether a coordinator was ever elected.
    pub(super) elected: bool,
    /// The coordinator that another server last told of.
    pub(super) told: Option<String>,
    /// Requests and publications so far.
    messages: u64,
    /// Whether it was said that another server has the same name.
    pub(super) namesake: bool,
    /// Whether it was said that the store is full.
    pub(super) full: bool,
    pub(super) outputs: VecDeque<Output>,
}

impl<S: Store> Server<S> {
    /// A server that goes on with what is in its store.
    pub(crate) fn new(name: &str, store: S) -> Self {
        let clock = store.history().clock().max(store.reserved_clock());
        Self {
            name: name.to_owned(),
            store,
            lamport: LamportClock::new(clock),
            clock: AdjustedClock::default(),
            adjusted_ms: None,
            election: Election::new(name),
            questions: Questions::default(),
            catch_up: CatchUp::new(),
            round: None,
            next_round_ms: 0,
            elected: false,
            told: None,
            messages: 0,
            namesake: false,
            full: false,
            outputs: VecDeque::new(),
        }
    }

    /// Does what is due. To be called several times a second.
    ///
    /// # Errors
    /// [`StoreError`], after which the server must not be used any more.
    pub(crate) fn handle_tick(&mut self, now: Now) -> Result<(), StoreError> {
        self.coordinate(now)?;
        self.ask(now)?;
        self.exchange(now)
    }

    /// What it wants done next.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The time and the clock of a message that is sent now. A clock that is told to others is never used again, also
    /// not after the server was killed.
    pub(super) fn stamp(&mut self, now: Now) -> Result<(String, u64), StoreError> {
        let clock = self.lamport.send();
        if clock > self.store.reserved_clock() {
            self.store.reserve_clock(clock.saturating_add(CLOCKS_RESERVED))?;
        }
        Ok((time::show(self.clock.show(now.wall_ms)), clock))
    }

    /// Counts messages; after each ten the reference is asked for the time and the servers.
    pub(super) fn count(&mut self, messages: u64) {
        let rounds = self.messages / MESSAGES_PER_ROUND;
        self.messages += messages;
        if self.messages / MESSAGES_PER_ROUND != rounds {
            self.questions.want(Question::Clock);
            self.questions.want(Question::List);
        }
    }

    pub(super) fn say(&mut self, text: String) {
        self.outputs.push_back(Output::Say(text));
    }

    pub(super) fn warn(&mut self, text: String) {
        self.outputs.push_back(Output::Warn(text));
    }
}
