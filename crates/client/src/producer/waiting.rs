//! Messages that wait for room in the window, in the order of the calls.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use swarmmq_protocol::Message;
use tokio::time::Instant;

use crate::error::Error;
use crate::producer::confirmation::Confirmation;
use crate::producer::core::Core;
use crate::producer::line::Line;

/// Where the one that waits finds out.
#[derive(Debug, Default)]
struct Place(Mutex<Entry>);

#[derive(Debug, Default)]
enum Entry {
    #[default]
    Open,
    Awaited(Waker),
    Known(Result<Confirmation, Error>),
    /// It was taken, or nobody waits any more.
    Gone,
}

impl Place {
    fn tell(&self, result: Result<Confirmation, Error>) {
        let mut entry = self.0.lock();
        match std::mem::replace(&mut *entry, Entry::Gone) {
            Entry::Gone => {}
            before => {
                *entry = Entry::Known(result);
                drop(entry);
                if let Entry::Awaited(waker) = before {
                    waker.wake();
                }
            }
        }
    }
}

/// A message that has no room yet.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    message: Message,
    since: Instant,
    place: Arc<Place>,
}

/// Those that wait, first come first served. There is one for each caller that waits, and it goes
/// with the caller.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

/// What to tell a waiter, once nothing is locked.
#[derive(Debug)]
pub(super) struct Told(Arc<Place>, Result<Confirmation, Error>);

impl Told {
    pub(super) fn tell(self) {
        self.0.tell(self.1);
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// A number that all tickets so far are below.
    pub(super) fn next_ticket(&self) -> u64 {
        self.next_ticket
    }

    pub(super) fn is_served_below(&self, ticket: u64) -> bool {
        self.waiters.front().is_none_or(|waiter| waiter.ticket >= ticket)
    }

    pub(super) fn join(&mut self, message: Message, now: Instant, core: &Arc<Core>) -> Enqueueing {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let place = Arc::<Place>::default();
        self.waiters.push_back(Waiter { ticket, message, since: now, place: place.clone() });
        Enqueueing(Inner::Waiting(Ticket { core: core.clone(), number: ticket, place }))
    }

    fn leave(&mut self, ticket: u64) {
        if let Ok(at) = self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiters.remove(at);
        }
    }

    /// Serves the first waiter, if `line` has room for its message.
    pub(super) fn serve(&mut self, line: &mut Line, now: Instant) -> Option<Told> {
        if !line.has_room(self.waiters.front()?.message.encoded_len()) {
            return None;
        }
        let waiter = self.waiters.pop_front()?;
        let result = line.accept(&waiter.message, now).map_err(Error::from);
        Some(Told(waiter.place, result))
    }

    /// Sends the first waiter away, if its time is over.
    pub(super) fn expire(&mut self, limit: Duration, now: Instant) -> Option<Told> {
        if now < self.waiters.front()?.since + limit {
            return None;
        }
        let waiter = self.waiters.pop_front()?;
        let error = Error::TimedOut { operation: "room in the producer's window", limit, last: None };
        Some(Told(waiter.place, Err(error)))
    }

    /// When the first waiter came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiters.front().map(|waiter| waiter.since)
    }

    /// Sends all away.
    pub(super) fn abandon(&mut self, error: &Error) -> Vec<Told> {
        let waiters = std::mem::take(&mut self.waiters);
        waiters.into_iter().map(|waiter| Told(waiter.place, Err(error.clone()))).collect()
    }
}

/// The wait for room in the window.
#[derive(Debug)]
pub(super) struct Enqueueing(Inner);

#[derive(Debug)]
enum Inner {
    Known(Option<Result<Confirmation, Error>>),
    Waiting(Ticket),
}

#[derive(Debug)]
struct Ticket {
    core: Arc<Core>,
    number: u64,
    place: Arc<Place>,
}

impl Enqueueing {
    pub(super) fn known(result: Result<Confirmation, Error>) -> Self {
        Self(Inner::Known(Some(result)))
    }
}

impl Future for Enqueueing {
    type Output = Result<Confirmation, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Known(result) => Poll::Ready(result.take().unwrap_or(Err(Error::Closed))),
            Inner::Waiting(ticket) => {
                let mut entry = ticket.place.0.lock();
                match std::mem::replace(&mut *entry, Entry::Gone) {
                    Entry::Known(result) => Poll::Ready(result),
                    Entry::Gone => Poll::Ready(Err(Error::Closed)),
                    Entry::Open | Entry::Awaited(_) => {
                        *entry = Entry::Awaited(context.waker().clone());
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.place.0.lock(), Entry::Gone);
        if matches!(before, Entry::Open | Entry::Awaited(_)) {
            self.core.with_waiting(|waiting| waiting.leave(self.number));
        }
    }
}
