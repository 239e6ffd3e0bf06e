//! Messages that travel in one put.

use std::sync::Arc;

use swarmmq_protocol::message::MessageError;
use swarmmq_protocol::response::{PutOutcome, PutReply};
use swarmmq_protocol::{ErrorCode, ErrorReply, Message, MessageBatch, ProducerStamp};
use tokio::time::Instant;

use crate::error::Error;
use crate::producer::confirmation::{Confirmation, Outcomes, Stored};

/// Messages that are sent together, and again together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Recognises the answer. Rises in the order of acceptance.
    pub(super) number: u64,
    pub(super) messages: MessageBatch,
    /// Who waits for which of the messages, in their order.
    pub(super) parts: Vec<Part>,
    /// Given when it is sent first, and again when it can be told for certain that it was not stored.
    pub(super) stamp: Option<ProducerStamp>,
    /// What answers under this stamp are recognised by: an answer to what the batch was before is none to it.
    pub(super) ticket: u64,
    pub(super) progress: Progress,
    /// Whether it may be stored although no answer says so.
    pub(super) uncertain: bool,
    /// Whether it was given a second stamp because the node did not know the session.
    pub(super) restamped: bool,
    /// Whether those who wait have been told that the time is over.
    pub(super) expired: bool,
    /// When its first message was accepted.
    pub(super) accepted: Instant,
    /// Why the last try failed.
    pub(super) last: Option<Error>,
}

/// Where a batch stands in the current attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It was never sent, or is to be sent again.
    Queued,
    /// It was sent then, and is not answered.
    Sent(Instant),
    /// It was answered with an error, or the connection was lost: it waits for the next attempt.
    Answered,
}

/// Messages of a batch whose outcomes stand together.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// What became of a batch, to be told once the line is unlocked.
#[derive(Debug)]
pub(super) struct Resolved {
    parts: Vec<Part>,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Answered(PutReply),
    Failed(Arc<Error>),
}

impl Batch {
    pub(super) fn new(number: u64, now: Instant) -> Self {
        Self {
            number,
            messages: MessageBatch::default(),
            parts: Vec::new(),
            stamp: None,
            ticket: 0,
            progress: Progress::Queued,
            uncertain: false,
            restamped: false,
            expired: false,
            accepted: now,
            last: None,
        }
    }

    /// Adds a message and says how much the batch has grown.
    pub(super) fn add(&mut self, message: &Message) -> Result<(Confirmation, usize), MessageError> {
        let bytes = self.messages.bytes();
        self.messages.push(message)?;
        let confirmation = match self.parts.last_mut() {
            Some(part) => {
                part.count += 1;
                part.outcomes.add()
            }
            None => {
                let outcomes = Arc::<Outcomes>::default();
                self.parts.push(Part { outcomes: outcomes.clone(), first: 0, count: 1 });
                outcomes.add()
            }
        };
        Ok((confirmation, self.messages.bytes() - bytes))
    }

    /// Whether it was sent at least once under its stamp.
    pub(super) fn is_tried(&self) -> bool {
        self.stamp.is_some()
    }

    pub(super) fn answered(self, reply: PutReply) -> Resolved {
        Resolved { parts: self.parts, verdict: Verdict::Answered(reply) }
    }

    /// It is given up because of `error`.
    pub(super) fn failed(self, error: Error) -> Resolved {
        let error = self.as_it_is_told(error);
        Resolved { parts: self.parts, verdict: Verdict::Failed(Arc::new(error)) }
    }

    /// Those who wait are told that the time is over; the batch is not given up.
    pub(super) fn expire(&mut self, error: Error) -> Resolved {
        self.expired = true;
        let error = Error::OutcomeUnknown { cause: Box::new(error) };
        Resolved { parts: self.parts.clone(), verdict: Verdict::Failed(Arc::new(error)) }
    }

    fn as_it_is_told(&self, error: Error) -> Error {
        if self.uncertain && !error.is_uncertain() {
            Error::OutcomeUnknown { cause: Box::new(error) }
        } else {
            error
        }
    }

    /// Takes out the messages that were refused because the destination was full: as a batch that is
    /// to be sent again, and those that are settled.
    pub(super) fn split_refused_as_full(self, reply: &PutReply) -> (Option<Self>, Vec<Resolved>) {
        let is_full: Vec<bool> = reply
            .outcomes()
            .map(|outcome| outcome == PutOutcome::Refused(ErrorCode::DestinationFull))
            .collect();
        let mut again = Vec::new();
        let mut settled = Vec::new();
        let mut outcomes = reply.outcomes();
        for part in &self.parts {
            for place in part.first..part.first + part.count {
                let single = Part { outcomes: part.outcomes.clone(), first: place, count: 1 };
                match outcomes.next() {
                    Some(PutOutcome::Refused(ErrorCode::DestinationFull)) => again.push(single),
                    Some(outcome) => {
                        let mut reply = PutReply { index: reply.index, runs: Vec::new() };
                        reply.push(outcome);
                        settled.push(Resolved { parts: vec![single], verdict: Verdict::Answered(reply) });
                    }
                    None => {}
                }
            }
        }
        let messages = self.messages.select(|place| is_full.get(place as usize).copied().unwrap_or(false));
        let again = (!again.is_empty()).then(|| Self {
            messages,
            parts: again,
            stamp: None,
            ticket: 0,
            progress: Progress::Queued,
            uncertain: false,
            last: Some(Error::Refused(ErrorReply::new(
                ErrorCode::DestinationFull,
                "the destination is full",
            ))),
            ..self
        });
        (again, settled)
    }
}

impl Resolved {
    /// The first error among the outcomes.
    pub(super) fn failure(&self) -> Option<Error> {
        match &self.verdict {
            Verdict::Failed(error) => Some((**error).clone()),
            Verdict::Answered(reply) => reply.runs.iter().find_map(|run| match run.outcome {
                PutOutcome::Refused(code) => Some(refused(code)),
                _ => None,
            }),
        }
    }

    /// Tells those who wait.
    pub(super) fn tell(self) {
        match self.verdict {
            Verdict::Answered(reply) => {
                let mut results = reply.outcomes().map(result_of);
                for part in &self.parts {
                    part.outcomes.resolve(part.first, results.by_ref().take(part.count));
                }
            }
            Verdict::Failed(error) => {
                for part in &self.parts {
                    let results = std::iter::repeat_n(Err(error.clone()), part.count);
                    part.outcomes.resolve(part.first, results);
                }
            }
        }
    }
}

fn result_of(outcome: PutOutcome) -> Result<Stored, Arc<Error>> {
    match outcome {
        PutOutcome::Stored(sequence) => Ok(Stored { sequence, duplicate: false }),
        PutOutcome::Duplicate(sequence) => Ok(Stored { sequence, duplicate: true }),
        PutOutcome::Refused(code) => Err(Arc::new(refused(code))),
        _ => Err(Arc::new(Error::Protocol { reason: "it answered a put with an unknown outcome".into() })),
    }
}

fn refused(code: ErrorCode) -> Error {
    Error::Refused(ErrorReply::new(code, "this message of the put was refused"))
}
