//! What a server has to ask the reference: one question after the other, each as often as it is needed.

use std::collections::BTreeSet;

use crate::reference::protocol::Question;

/// How often a server says that it is alive, and asks who is.
pub(crate) const BEAT_MS: u64 = 1_000;

/// Questions that wait, and the one that is asked.
#[derive(Debug)]
pub(crate) struct Questions {
    wanted: BTreeSet<Question>,
    asked: Option<(Question, u64)>,
    next_beat_ms: u64,
}

impl Questions {
    /// A server wants its rank before all else.
    pub(crate) fn new() -> Self {
        Self { wanted: BTreeSet::from([Question::Rank]), asked: None, next_beat_ms: 0 }
    }

    /// Wants something to be asked soon.
    pub(crate) fn want(&mut self, question: Question) {
        self.wanted.insert(question);
    }

    /// The next question, if it is time for one and none is under way.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Question> {
        if now_ms >= self.next_beat_ms {
            self.next_beat_ms = now_ms + BEAT_MS;
            self.wanted.extend([Question::Heartbeat, Question::List]);
        }
        if self.asked.is_some() {
            return None;
        }
        let question = self.wanted.pop_first()?;
        self.asked = Some((question, now_ms));
        Some(question)
    }

    /// The question that was under way has come to an end: which it was, and when it was asked.
    pub(crate) fn end(&mut self) -> Option<(Question, u64)> {
        self.asked.take()
    }
}
