//! What a server has to ask the reference: one question after the other, each as often as it is needed.

use std::collections::BTreeSet;

use crate::reference::protocol::Question;

/// How often a server says that it is alive, and asks who is.
pub(crate) const BEAT_MS: u64 = 1_000;

/// Questions that wait, and the one that is asked.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    rank: Option<u64>,
    wanted: BTreeSet<Question>,
    asked: Option<(Question, u64)>,
    next_beat_ms: u64,
}

impl Questions {
    /// Wants something to be asked soon.
    pub(crate) fn want(&mut self, question: Question) {
        self.wanted.insert(question);
    }

    /// The next question, if it is time for one and none is under way. A server without a rank asks for that alone: not
    /// every reference understands the heartbeat of a stranger.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Question> {
        if now_ms >= self.next_beat_ms {
            self.next_beat_ms = now_ms + BEAT_MS;
            self.wanted.extend([Question::Rank, Question::Heartbeat, Question::List]);
        }
        if self.rank.is_some() {
            self.wanted.remove(&Question::Rank);
        }
        if self.asked.is_some() {
            return None;
        }
        let wanted = self.wanted.first().copied();
        let question = wanted.filter(|question| self.rank.is_some() || *question == Question::Rank)?;
        self.wanted.remove(&question);
        self.asked = Some((question, now_ms));
        Some(question)
    }

    /// The question that was under way has come to an end: which it was, and when it was asked.
    pub(crate) fn end(&mut self) -> Option<(Question, u64)> {
        self.asked.take()
    }

    /// The reference gave a rank. `true` if it is another than before.
    pub(crate) fn handle_rank(&mut self, rank: u64) -> bool {
        self.rank.replace(rank) != Some(rank)
    }

    /// The reference does not know the server: it has to ask for its rank again.
    pub(crate) fn forget_rank(&mut self) {
        self.rank = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_at_a_time_and_nothing_before_there_is_a_rank() {
        let mut questions = Questions::default();
        questions.want(Question::Clock);
        assert_eq!(questions.next(0), Some(Question::Rank));
        assert_eq!(questions.next(10), None);
        assert_eq!(questions.end(), Some((Question::Rank, 0)));
        assert_eq!(questions.next(20), None, "a reference that refuses is not asked without a pause");
        assert_eq!(questions.next(BEAT_MS), Some(Question::Rank));
        questions.end();
        assert!(questions.handle_rank(3) && !questions.handle_rank(3));
        for question in [Question::Heartbeat, Question::List, Question::Clock] {
            assert_eq!(questions.next(BEAT_MS), Some(question));
            questions.end();
        }
        assert_eq!(questions.next(BEAT_MS), None);
        questions.forget_rank();
        assert_eq!(questions.next(2 * BEAT_MS), Some(Question::Rank));
    }
}
