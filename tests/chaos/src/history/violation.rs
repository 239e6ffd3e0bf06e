//! A rule that was broken, and by what.

use std::fmt;

use crate::history::Key;

/// What a durable broker keeps. Each is checked apart, so that a report names the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// What was acknowledged is delivered, remains, or is a dead letter.
    NothingLost,
    /// What is delivered was put.
    NothingInvented,
    /// What was refused for certain does not appear.
    RefusedStaysAway,
    /// A message has one place in the log, however often it was put.
    OneEffect,
    /// A place in the log has one message.
    OnePlaceOneMessage,
    /// Messages of a producer session stand in the log in the order in which they were put.
    ProducerOrder,
    /// What was acknowledged for a group does not come to it again.
    AckedStaysAway,
    /// A message dies once, and only if somebody rejected it.
    DeadOnce,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingLost => "an acknowledged message was lost",
            Self::NothingInvented => "a message was delivered that nobody put",
            Self::RefusedStaysAway => "a message was delivered whose put was refused",
            Self::OneEffect => "a message was stored more than once",
            Self::OnePlaceOneMessage => "two messages have one place in the log",
            Self::ProducerOrder => "messages of a producer session changed their order",
            Self::AckedStaysAway => "a message came again after its acknowledgement was confirmed",
            Self::DeadOnce => "a dead letter came twice, or nobody had rejected it",
        })
    }
}

/// One breach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    /// The message, where it is about one.
    pub(crate) key: Option<Key>,
    /// What was seen.
    pub(crate) seen: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, key: Key, seen: impl Into<String>) -> Self {
        Self { rule, key: Some(key), seen: seen.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        if let Some(key) = self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.seen)
    }
}
