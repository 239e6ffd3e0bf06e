//! When to ask for a stored reply again, and when to stop.
//!
//! ```text
//!            not yet, 500, no answer: pause, then ask again
//!           ┌───────────┐
//!  Asking ──┴──▶ reply, unknown, malformed, or out of time: done
//! ```

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::backoff::Backoff;
use crate::zeromq::plain::RequestError;
use crate::zeromq::socket::Frames;
use crate::zeromq::titanic::TitanicError;

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask again at this time.
    Ask {
        /// Milliseconds since the beginning.
        at_ms: u64,
    },
    /// That is all.
    Done(Result<Frames, TitanicError>),
}

/// The machine. Times are milliseconds since the first question.
pub(crate) struct Retrieval {
    pauses: Backoff,
    limit_ms: u64,
    chance: StdRng,
}

impl Retrieval {
    /// `pauses` are the bounds of the first and of the longest; `seed` decides how long they are.
    pub(crate) fn new(pauses: (Duration, Duration), limit_ms: u64, seed: u64) -> Self {
        Self { pauses: Backoff::new(pauses.0, pauses.1), limit_ms, chance: StdRng::seed_from_u64(seed) }
    }

    /// Judges an answer.
    pub(crate) fn handle_answer(
        &mut self,
        now_ms: u64,
        answer: Result<Option<Frames>, TitanicError>,
    ) -> Next {
        match answer {
            Ok(Some(reply)) => return Next::Done(Ok(reply)),
            Ok(None) | Err(TitanicError::Unavailable | TitanicError::Request(RequestError::NoReply(_))) => {}
            Err(error) => return Next::Done(Err(error)),
        }
        if now_ms >= self.limit_ms {
            return Next::Done(Err(TitanicError::NotYet { waited_ms: now_ms }));
        }
        let pause = self.pauses.next_delay_drawn_by(&mut self.chance);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        // The last question is at the limit, not beyond.
        Next::Ask { at_ms: now_ms.saturating_add(pause_ms).min(self.limit_ms) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::zeromq::pirate::NoReply;

    fn no_reply() -> TitanicError {
        TitanicError::Request(RequestError::NoReply(NoReply { attempts: 3, waited_ms: 9, reason: None }))
    }

    #[test]
    fn what_will_not_change_is_the_end_at_once() {
        for error in [TitanicError::Unknown, TitanicError::Request(RequestError::EmptyRequest)] {
            let mut retrieval = Retrieval::new((Duration::ZERO, Duration::ZERO), 1000, 1);
            assert_eq!(retrieval.handle_answer(0, Err(error.clone())), Next::Done(Err(error)));
        }
    }

    proptest! {
        #[test]
        fn a_reply_is_found_or_the_time_is_up(
            seed in any::<u64>(), limit_ms in 0_u64..5000, answers in proptest::collection::vec(0_u8..3, 0..20),
            question_ms in 1_u64..50,
        ) {
            let bounds = (Duration::from_millis(10), Duration::from_millis(300));
            let mut retrieval = Retrieval::new(bounds, limit_ms, seed);
            let reply = vec![Bytes::from_static(b"reply")];
            let mut answers = answers.into_iter();
            let (mut now_ms, mut bound) = (question_ms, 10);
            loop {
                let answer = match answers.next() {
                    Some(0) => Ok(None),
                    Some(1) => Err(TitanicError::Unavailable),
                    Some(_) => Err(no_reply()),
                    None => Ok(Some(reply.clone())),
                };
                let there = matches!(answer, Ok(Some(_)));
                match retrieval.handle_answer(now_ms, answer) {
                    Next::Ask { at_ms } => {
                        prop_assert!(!there && at_ms >= now_ms && at_ms <= limit_ms);
                        prop_assert!(at_ms - now_ms <= bound);
                        bound = (bound * 2).min(300);
                        now_ms = at_ms + question_ms;
                    }
                    Next::Done(Ok(found)) => {
                        prop_assert!(there);
                        prop_assert_eq!(found, reply);
                        break;
                    }
                    Next::Done(Err(error)) => {
                        prop_assert!(!there && now_ms >= limit_ms && now_ms <= limit_ms + question_ms);
                        prop_assert_eq!(error, TitanicError::NotYet { waited_ms: now_ms });
                        break;
                    }
                }
            }
        }
    }
}
