//! Requests that wait for their answer one by one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_protocol::{Request, Response};
use tokio::sync::oneshot;

use crate::connection::endpoint::{Endpoint, Frames, Token};
use crate::connection::link::Link;
use crate::error::Error;

type Answer = Result<Response, Error>;

/// The single requests of a link.
#[derive(Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    /// Not written yet, in the order of their numbers.
    queue: VecDeque<(u64, Request)>,
    /// Not answered yet, written or not.
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    next_number: u64,
    /// Whether the link knows that there is something to write.
    is_ready: bool,
}

/// The wait for the answer to one request. Dropping it takes a request back that is not written yet.
pub(crate) struct Call {
    calls: Arc<Calls>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    /// Queues `request` on `link`.
    pub(crate) fn begin(link: &Link, request: Request) -> Self {
        let calls = link.calls().clone();
        let (sender, answer) = oneshot::channel();
        let (number, wake) = {
            let mut state = calls.0.lock();
            let number = state.next_number;
            state.next_number += 1;
            state.queue.push_back((number, request));
            state.waiting.insert(number, sender);
            (number, !std::mem::replace(&mut state.is_ready, true))
        };
        if wake {
            link.mark_ready(calls.clone());
        }
        Self { calls, number, answer }
    }

    /// Whether the request may have reached the node.
    pub(crate) fn is_written(&self) -> bool {
        let state = self.calls.0.lock();
        state.queue.binary_search_by_key(&self.number, |(number, _)| *number).is_err()
    }

    /// The answer, or how the connection was lost.
    pub(crate) async fn answer(&mut self) -> Answer {
        (&mut self.answer).await.unwrap_or(Err(Error::Closed))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.calls.0.lock();
        state.waiting.remove(&self.number);
        if let Ok(place) = state.queue.binary_search_by_key(&self.number, |(number, _)| *number) {
            state.queue.remove(place);
        }
    }
}

impl Endpoint for Calls {
    fn poll_frames(self: Arc<Self>, out: &mut Frames<'_>) -> bool {
        let mut state = self.0.lock();
        while out.has_room() {
            let Some((number, request)) = state.queue.pop_front() else { break };
            out.request(self.clone(), Token { number, attempt: 0 }, &request);
        }
        state.is_ready = !state.queue.is_empty();
        state.is_ready
    }

    fn handle_reply(self: Arc<Self>, token: Token, reply: Answer) {
        let waiting = self.0.lock().waiting.remove(&token.number);
        if let Some(sender) = waiting {
            let _ = sender.send(reply);
        }
    }

    fn handle_closed(self: Arc<Self>) {
        let mut state = self.0.lock();
        state.is_ready = false;
        while let Some((number, _)) = state.queue.pop_front() {
            if let Some(sender) = state.waiting.remove(&number) {
                let _ = sender.send(Err(Error::Closed));
            }
        }
    }
}
