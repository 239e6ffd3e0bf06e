//! A command on its way into an entry, and who waits for what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::Command;
use swarmmq_broker::{Outcome, SettlePlan};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::consensus::ProposeError;
use crate::observer::Observer;
use crate::peer::Peer;

/// A command and its origin.
pub(crate) struct Proposal {
    pub(crate) command: Command,
    /// About how many bytes it adds to an entry.
    pub(crate) bytes: usize,
    pub(crate) origin: Origin,
}

/// Who waits for a command.
pub(crate) enum Origin {
    /// A session.
    Peer(Waiting),
    /// A session, for a settlement of which some receipts were decided before.
    Settlement(Waiting, Box<SettlePlan>),
    /// A task of this node.
    Task(oneshot::Sender<Result<(u64, Outcome), ErrorReply>>),
    /// Nobody.
    Nobody,
}

/// A session that waits for an answer.
pub(crate) struct Waiting {
    pub(crate) peer: Arc<dyn Peer>,
    pub(crate) correlation: u64,
    pub(crate) since: Instant,
}

impl Waiting {
    pub(crate) fn answer(self, response: Response) {
        self.peer.reply(self.correlation, response);
    }
}

impl Origin {
    /// The command took effect.
    pub(crate) fn complete(self, index: u64, outcome: Outcome, observer: &dyn Observer, now: Instant) {
        match self {
            Self::Peer(waiting) => {
                let took = now.saturating_duration_since(waiting.since);
                observe(&outcome, took, observer);
                waiting.answer(outcome.into_response(index));
            }
            Self::Settlement(waiting, plan) => {
                let response = match outcome {
                    Outcome::Error(error) => Response::Error(error),
                    settled => Response::Settled(plan.complete(index, &settled)),
                };
                waiting.answer(response);
            }
            Self::Task(answer) => {
                let _gone = answer.send(Ok((index, outcome)));
            }
            Self::Nobody => {}
        }
    }

    /// The command took no effect, or whether it did is not known.
    pub(crate) fn fail(self, error: ErrorReply) {
        match self {
            Self::Peer(waiting) | Self::Settlement(waiting, _) => waiting.answer(error.into()),
            Self::Task(answer) => {
                let _gone = answer.send(Err(error));
            }
            Self::Nobody => {}
        }
    }
}

fn observe(outcome: &Outcome, took: Duration, observer: &dyn Observer) {
    if let Outcome::Put(reply) = outcome {
        let messages = reply.runs.iter().map(|run| u64::from(run.count)).sum();
        observer.put(messages, took);
    }
}

/// What a client is told of an entry that was not applied.
pub(crate) fn error_reply(error: &ProposeError) -> ErrorReply {
    match error {
        ProposeError::NotLeader { leader } => {
            let code = if leader.is_some() { ErrorCode::NotLeader } else { ErrorCode::Unavailable };
            ErrorReply { leader: leader.clone(), ..ErrorReply::new(code, error.to_string()) }
        }
        ProposeError::Unknown => ErrorReply::new(ErrorCode::Timeout, error.to_string()),
        ProposeError::Stopped { .. } => ErrorReply::new(ErrorCode::Unavailable, error.to_string()),
    }
}
