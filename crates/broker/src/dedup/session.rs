//! Producer sessions: what became of the last messages of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::response::PutOutcome;
use swarmmq_protocol::{ProducerStamp, Sequence};

use crate::fault::fault;

/// Of how many messages of a session the outcomes are remembered at least. A retry of an older one is
/// still recognised; only where it was stored is not known any more.
pub(crate) const RESULTS_MIN: u64 = 8192;

/// The sessions of a destination.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: BTreeMap<u128, Session>,
    /// By when they were last heard of.
    idle: BTreeSet<(u64, u128)>,
}

/// A session. The results cover its sequences up to `last` without a gap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) epoch: u32,
    /// The highest sequence it has used.
    pub(crate) last: u64,
    pub(crate) last_ms: u64,
    pub(crate) results: VecDeque<Results>,
    /// How many messages the results are of.
    covered: u64,
}

/// What became of some messages that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Results {
    pub(crate) count: u32,
    pub(crate) result: SessionResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionResult {
    /// Stored, or found stored: the first under this sequence and the others behind it.
    At(u64),
    Refused(ErrorCode),
}

impl Session {
    pub(crate) fn restored(epoch: u32, last: u64, last_ms: u64) -> Self {
        Self { epoch, last, last_ms, results: VecDeque::new(), covered: 0 }
    }

    pub(crate) fn push_results(&mut self, results: Results) {
        self.covered += u64::from(results.count);
        self.results.push_back(results);
    }

    /// Of how many messages the outcomes are remembered.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// Adds the outcome of the next message.
    fn push(&mut self, result: SessionResult) {
        self.last += 1;
        self.covered += 1;
        if let Some(run) = self.results.back_mut() {
            let goes_on = match (run.result, result) {
                (SessionResult::At(first), SessionResult::At(next)) => {
                    first.checked_add(u64::from(run.count)) == Some(next)
                }
                (SessionResult::Refused(a), SessionResult::Refused(b)) => a == b,
                _ => false,
            };
            if goes_on && run.count < u32::MAX {
                run.count += 1;
                // One run of a whole session would never be let go; it costs nothing either.
                return;
            }
        }
        self.results.push_back(Results { count: 1, result });
        while let Some(oldest) = self.results.front()
            && self.covered - u64::from(oldest.count) >= RESULTS_MIN
        {
            self.covered -= u64::from(oldest.count);
            self.results.pop_front();
        }
    }

    /// What became of `count` messages from `sequence` on, all of which it has used.
    fn outcomes(&self, sequence: u64, count: u64) -> Vec<PutOutcome> {
        let mut outcomes = Vec::new();
        let mut start = self.last + 1 - self.covered;
        for older in sequence..(sequence + count).min(start).max(sequence) {
            debug_assert!(older < start, "what is older than the results");
            outcomes.push(PutOutcome::Duplicate(Sequence(0)));
        }
        let from = sequence + outcomes.len() as u64;
        for run in &self.results {
            let end = start + u64::from(run.count);
            for at in from.max(start)..end.min(sequence + count) {
                outcomes.push(match run.result {
                    SessionResult::At(first) => PutOutcome::Duplicate(Sequence(first + (at - start))),
                    SessionResult::Refused(code) => PutOutcome::Refused(code),
                });
            }
            start = end;
        }
        outcomes
    }
}

/// The error for a session that is not known, or is too old, or has left something out.
fn refuse(code: ErrorCode, explanation: String) -> ErrorReply {
    ErrorReply::new(code, explanation)
}

impl Sessions {
    /// Which of the `count` messages of a put are repeated: their first outcomes. The others are new.
    ///
    /// # Errors
    /// `Fenced`, `SequenceGap`, `UnknownProducer`.
    pub(crate) fn check(
        &self,
        stamp: &ProducerStamp,
        count: u64,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<Vec<PutOutcome>, ErrorReply> {
        let ProducerStamp { producer, epoch, sequence } = *stamp;
        let known = self.by_id.get(&producer.0).filter(|session| session.is_alive(now_ms, ttl_ms));
        let Some(session) = known else {
            if sequence != 1 {
                return Err(refuse(
                    ErrorCode::UnknownProducer,
                    format!(
                        "producer {producer} is not known here: its first message has sequence 1, not {sequence}"
                    ),
                ));
            }
            return Ok(Vec::new());
        };
        if epoch < session.epoch {
            return Err(refuse(
                ErrorCode::Fenced,
                format!("producer {producer} goes on in epoch {}, this put is of {epoch}", session.epoch),
            ));
        }
        let last = if epoch > session.epoch { 0 } else { session.last };
        if sequence > last + 1 {
            return Err(refuse(
                ErrorCode::SequenceGap,
                format!("the next message of producer {producer} has sequence {}, not {sequence}", last + 1),
            ));
        }
        let repeated = (last + 1 - sequence).min(count);
        if fault!(RetryIsStored) {
            return Ok(Vec::new());
        }
        Ok(session.outcomes(sequence, repeated))
    }

    /// Notes the outcomes of the new messages of a put, and that the session was heard of. The longest
    /// idle sessions go where there would be more than `producers_max`.
    pub(crate) fn record(
        &mut self,
        stamp: &ProducerStamp,
        new: impl Iterator<Item = PutOutcome>,
        now_ms: u64,
        ttl_ms: u64,
        producers_max: u64,
    ) {
        let id = stamp.producer.0;
        // Two at most, so that a limit that was lowered is reached without one put paying for it all.
        for _ in 0..2 {
            if !self.by_id.contains_key(&id) && self.by_id.len() as u64 >= producers_max {
                self.forget_idlest();
            }
        }
        let session = self.by_id.entry(id).or_default();
        self.idle.remove(&(session.last_ms, id));
        if session.epoch != stamp.epoch || !session.is_alive(now_ms, ttl_ms) {
            *session = Session { epoch: stamp.epoch, ..Session::default() };
        }
        session.last_ms = now_ms;
        for outcome in new {
            match outcome {
                PutOutcome::Stored(sequence) | PutOutcome::Duplicate(sequence) => {
                    session.push(SessionResult::At(sequence.0));
                }
                PutOutcome::Refused(_) if fault!(RefusalIsForgotten) => {}
                PutOutcome::Refused(code) => session.push(SessionResult::Refused(code)),
                // A kind of outcome that this crate does not make.
                _ => session.push(SessionResult::Refused(ErrorCode::Internal)),
            }
        }
        self.idle.insert((now_ms, id));
    }

    /// When the longest idle one is to be forgotten: now (0) if there are too many.
    pub(crate) fn next_due(&self, ttl_ms: u64, producers_max: u64) -> Option<u64> {
        let (last_ms, _) = self.idle.first()?;
        if self.by_id.len() as u64 > producers_max {
            return Some(0);
        }
        Some(last_ms.saturating_add(ttl_ms))
    }

    pub(crate) fn forget_idlest(&mut self) {
        if let Some((_, id)) = self.idle.pop_first() {
            self.by_id.remove(&id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, &Session)> + '_ {
        self.by_id.iter().map(|(id, session)| (*id, session))
    }

    pub(crate) fn insert(&mut self, id: u128, session: Session) {
        self.idle.insert((session.last_ms, id));
        self.by_id.insert(id, session);
    }
}

impl Session {
    fn is_alive(&self, now_ms: u64, ttl_ms: u64) -> bool {
        self.last_ms.saturating_add(ttl_ms) > now_ms
    }
}
