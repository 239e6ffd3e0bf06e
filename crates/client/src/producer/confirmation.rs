//! The wait for acknowledgements, shared by the messages that travel together.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use swarmmq_protocol::Sequence;

use crate::error::Error;

/// That a message is stored: synced on a majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its place in the destination's log.
    pub sequence: Sequence,
    /// Whether it was there before: stored by an earlier try of the same message, or by another
    /// message with the same id.
    pub duplicate: bool,
}

/// Resolves when a message is stored on a majority, or will not be.
///
/// Dropping it does not take the message back. Waiting for it again after it resolved gives the same
/// result.
///
/// # Errors
/// Those of [`crate::Producer::send`].
#[derive(Debug)]
#[must_use = "without waiting for it nobody knows whether the message is stored"]
pub struct Confirmation {
    batch: Arc<Outcomes>,
    place: usize,
}

/// The outcomes of messages that were encoded into one batch. One allocation for all of them.
#[derive(Debug, Default)]
pub(super) struct Outcomes(Mutex<Vec<Outcome>>);

#[derive(Debug, Clone)]
enum Outcome {
    /// Not known, and nobody waits yet.
    Open,
    /// Not known.
    Awaited(Waker),
    Stored(Stored),
    Failed(Arc<Error>),
}

impl Outcomes {
    /// Makes a place for one more message.
    pub(super) fn add(self: &Arc<Self>) -> Confirmation {
        let mut outcomes = self.0.lock();
        outcomes.push(Outcome::Open);
        Confirmation { batch: self.clone(), place: outcomes.len() - 1 }
    }

    /// Says what became of the messages from `first` on, one for each result.
    pub(super) fn resolve(&self, first: usize, results: impl Iterator<Item = Result<Stored, Arc<Error>>>) {
        let mut wakers = Vec::new();
        {
            let mut outcomes = self.0.lock();
            for (outcome, result) in outcomes.iter_mut().skip(first).zip(results) {
                if matches!(outcome, Outcome::Stored(_) | Outcome::Failed(_)) {
                    continue;
                }
                let known = match result {
                    Ok(stored) => Outcome::Stored(stored),
                    Err(error) => Outcome::Failed(error),
                };
                if let Outcome::Awaited(waker) = std::mem::replace(outcome, known) {
                    wakers.push(waker);
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Confirmation {
    type Output = Result<Stored, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcomes = self.batch.0.lock();
        let Some(outcome) = outcomes.get_mut(self.place) else { return Poll::Ready(Err(Error::Closed)) };
        match outcome {
            Outcome::Stored(stored) => Poll::Ready(Ok(*stored)),
            Outcome::Failed(error) => Poll::Ready(Err((**error).clone())),
            Outcome::Awaited(waker) if waker.will_wake(context.waker()) => Poll::Pending,
            Outcome::Open | Outcome::Awaited(_) => {
                *outcome = Outcome::Awaited(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Confirmation {
    fn drop(&mut self) {
        let mut outcomes = self.batch.0.lock();
        if let Some(outcome @ Outcome::Awaited(_)) = outcomes.get_mut(self.place) {
            *outcome = Outcome::Open;
        }
    }
}
