//! What became of the messages of a run.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use swarmmq::{Confirmation, DestinationName, Error, Stored};
use tokio::sync::{mpsc, watch};

use crate::console::{Console, Progress};
use crate::failure::Failure;
use crate::quantity::show_count;

/// A message on its way, or one that could not even be sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// From 0.
    pub(super) nth: u64,
    pub(super) outcome: Result<Confirmation, Error>,
}

/// Tells the one who sends that there is no point in going on.
#[derive(Debug, Clone)]
pub(super) struct Watch(Arc<watch::Sender<bool>>);

impl Watch {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(super) fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until there is no point in going on.
    pub(super) async fn over(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|over| *over).await;
    }

    fn end(&self) {
        self.0.send_replace(true);
    }
}

/// One stored message, as a program reads it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    destination: &'a str,
    sequence: u64,
    duplicate: bool,
}

/// Counts what became of messages, in the order they were sent.
#[derive(Debug)]
pub(super) struct Tally {
    console: Console,
    destination: DestinationName,
    watch: Watch,
    progress: Progress,
    began: Instant,
    stored: u64,
    duplicates: u64,
    last: Option<Stored>,
    refused: u64,
    failure: Option<Failure>,
}

impl Tally {
    pub(super) fn new(
        console: Console,
        destination: DestinationName,
        watch: Watch,
        progress: Progress,
    ) -> Self {
        Self {
            console,
            destination,
            watch,
            progress,
            began: Instant::now(),
            stored: 0,
            duplicates: 0,
            last: None,
            refused: 0,
            failure: None,
        }
    }

    /// Waits for every confirmation. The first failure ends the sending, not the waiting.
    pub(super) async fn collect(mut self, mut sent: mpsc::Receiver<Sent>) -> Self {
        while let Some(Sent { nth, outcome }) = sent.recv().await {
            let outcome = match outcome {
                Ok(confirmation) => confirmation.await,
                Err(error) => Err(error),
            };
            let result = match outcome {
                Ok(stored) => self.count(stored),
                Err(error) => {
                    self.refused += 1;
                    Err(Failure::from(error).during(format_args!("message {}", nth + 1)))
                }
            };
            if let Err(failure) = result {
                self.watch.end();
                self.failure.get_or_insert(failure);
            }
        }
        self
    }

    fn count(&mut self, stored: Stored) -> Result<(), Failure> {
        self.stored += 1;
        self.duplicates += u64::from(stored.duplicate);
        self.last = Some(stored);
        self.progress.set(self.stored);
        if !self.console.is_json() {
            return Ok(());
        }
        self.console.object(&Record {
            destination: self.destination.as_str(),
            sequence: stored.sequence.0,
            duplicate: stored.duplicate,
        })
    }

    /// Says what was done, and gives what the verb ends with. `fed` says whether a signal ended the sending.
    pub(super) fn report(self, fed: Result<bool, Failure>) -> Result<(), Failure> {
        let Self {
            console, destination, began, stored, duplicates, last, refused, failure, progress, ..
        } = self;
        drop(progress);
        let failure = failure.or_else(|| fed.as_ref().err().cloned());
        let sentence = match last {
            Some(last) if stored == 1 => format!("stored in {destination} as {}", last.sequence),
            _ => {
                let seconds = began.elapsed().as_secs_f64();
                let rate = show_count((stored as f64 / seconds) as u64);
                format!(
                    "{} messages stored in {destination} in {seconds:.1} s ({rate}/s)",
                    show_count(stored)
                )
            }
        };
        let sentence = match duplicates {
            0 => sentence,
            1 if stored == 1 => format!("{sentence}; it was there before"),
            duplicates => format!("{sentence}; {} were there before", show_count(duplicates)),
        };
        if failure.is_none() || stored > 0 {
            console.summary(sentence)?;
        }
        match failure {
            Some(failure) if refused > 1 => {
                let others = show_count(refused - 1);
                Err(Failure { message: format!("{} (and {others} more)", failure.message), ..failure })
            }
            Some(failure) => Err(failure),
            None if fed.is_ok_and(|interrupted| interrupted) => Err(Failure::interrupted()),
            None => Ok(()),
        }
    }
}
