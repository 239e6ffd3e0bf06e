//! What was asked of a destination and what came of it, and the rules that this must keep.
//!
//! This is the pure part: no clock, no task, no connection. A [`Moment`] is only an order: of two
//! things that were recorded, which the recording program saw first.
//!
//! A message is known by who made it and as which of his ([`Key`]), and carries both in its payload, so
//! that neither its place in the log nor its id has to be trusted.

mod account;
mod check;
#[cfg(test)]
mod check_tests;
mod violation;

use std::collections::BTreeMap;
use std::fmt;

pub(crate) use self::account::account;
pub(crate) use self::check::check;
pub(crate) use self::violation::{Rule, Violation};

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) producer: u32,
    /// Rises by one with each message of the producer, in the order of the puts.
    pub(crate) number: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of producer {}", self.number, self.producer)
    }
}

/// The order of what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(pub(crate) u64);

/// Everything about one destination.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) destination: String,
    pub(crate) puts: BTreeMap<Key, Put>,
    /// By name.
    pub(crate) groups: BTreeMap<String, Group>,
    /// Dead letters, as the destination for dead letters delivered and had them acknowledged.
    pub(crate) dead: Vec<Dead>,
    /// The whole log from its beginning, where the destination keeps it.
    pub(crate) log: Option<Vec<(u64, Key)>>,
    /// Payloads that nobody ever sent.
    pub(crate) foreign: Vec<String>,
}

/// The attempts to store one message.
#[derive(Debug, Default)]
pub(crate) struct Put {
    /// Whether its producer promises the order of its messages.
    pub(crate) is_ordered: bool,
    pub(crate) attempts: Vec<Attempt>,
}

/// One attempt. Without an outcome it was under way to the end.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) began: Moment,
    pub(crate) ended: Option<(Moment, Outcome)>,
}

/// What a put was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged.
    Stored { sequence: u64, duplicate: bool },
    /// It is certain that it was not stored.
    Refused(String),
    /// It may be stored.
    Unknown(String),
}

/// What one group was delivered.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) settlements: Vec<Settlement>,
    /// Whether everything was consumed to the end, so that what was not delivered is lost.
    pub(crate) is_drained: bool,
}

/// A message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) at: Moment,
    pub(crate) key: Key,
    pub(crate) sequence: u64,
    /// The lease: later ones of a message are higher.
    pub(crate) token: u64,
    /// Which delivery it is, as the node counts.
    pub(crate) attempt: u32,
}

/// What a consumer said of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) began: Moment,
    pub(crate) key: Key,
    pub(crate) token: u64,
    pub(crate) kind: Kind,
    /// When the node had confirmed it, or why it did not.
    pub(crate) ended: Option<(Moment, Result<(), String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ack,
    Nack,
    Reject,
}

/// A dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) at: Moment,
    pub(crate) key: Key,
    /// Its place in the log of dead letters.
    pub(crate) sequence: u64,
}

impl Put {
    /// Whether the producer was told that it is stored.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.outcomes().any(|outcome| matches!(outcome, Outcome::Stored { .. }))
    }

    /// Whether every attempt was refused for certain.
    pub(crate) fn is_refused(&self) -> bool {
        self.attempts.iter().all(|attempt| matches!(attempt.ended, Some((_, Outcome::Refused(_)))))
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.attempts.iter().filter_map(|attempt| attempt.ended.as_ref().map(|(_, outcome)| outcome))
    }
}
