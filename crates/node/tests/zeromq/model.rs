//! Shards in memory: one queue, and a switch for what they answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use swarmmq_cluster::Peer;
use swarmmq_node::shards::{Shards, Tie};
use swarmmq_protocol::id::{Receipt, Sequence};
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::request::Verdict;
use swarmmq_protocol::response::{Delivery, PutOutcome, PutReply, Response, SettleOutcome, SettleReply};
use swarmmq_protocol::settings::DestinationSettings;
use swarmmq_protocol::{EncodedMessage, ErrorCode, ErrorReply, Request};

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// All that was ever stored, in order.
    pub(crate) stored: Vec<EncodedMessage>,
    pub(crate) ready: VecDeque<u64>,
    pub(crate) leased: BTreeMap<u64, u64>,
    tokens: u64,
    /// Answers wait until [`Model::release`].
    pub(crate) holds: bool,
    pub(crate) held: Vec<(Arc<dyn Peer>, u64, Request)>,
    /// Puts and subscriptions are refused with this.
    pub(crate) refuses: Option<ErrorCode>,
    pub(crate) refused: usize,
    /// Requests that were submitted.
    pub(crate) submitted: usize,
    pub(crate) subscribers: Vec<(Arc<dyn Peer>, u64)>,
    pub(crate) credit: u32,
    /// For how long the last subscriber asked to lease what it gets.
    pub(crate) lease_ms: u32,
    pub(crate) written: usize,
    pub(crate) ties: usize,
    /// What is ready is delivered to the last subscriber at once. The leases of those before it are void.
    pub(crate) delivers: bool,
}

impl Model {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(crate) fn payloads(&self) -> Vec<Bytes> {
        self.with(|state| state.stored.iter().map(|message| message.decode().unwrap().payload).collect())
    }

    fn deliver(&self) {
        let (subscriber, deliveries) = self.with(|state| {
            let subscriber = state.subscribers.last().filter(|_| state.delivers).cloned();
            let taken = subscriber.as_ref().map(|_| std::iter::from_fn(|| state.lease()).collect::<Vec<_>>());
            (subscriber, taken.unwrap_or_default())
        });
        if let Some((peer, subscription)) = subscriber
            && !deliveries.is_empty()
        {
            peer.deliver(subscription, deliveries);
        }
    }

    /// Answers what is held, the last first, and holds no more.
    pub(crate) fn release(&self) {
        let held = self.with(|state| {
            state.holds = false;
            std::mem::take(&mut state.held)
        });
        for (peer, correlation, request) in held.into_iter().rev() {
            let response = self.with(|state| state.apply(request));
            peer.reply(correlation, response);
        }
    }
}

impl State {
    pub(crate) fn lease(&mut self) -> Option<Delivery> {
        let sequence = self.ready.pop_front()?;
        self.tokens += 1;
        self.leased.insert(sequence, self.tokens);
        Some(Delivery {
            receipt: Receipt { sequence: Sequence(sequence), token: self.tokens },
            attempt: 1,
            stored_ms: 1,
            message: self.stored[usize::try_from(sequence).unwrap() - 1].clone(),
        })
    }

    fn apply(&mut self, request: Request) -> Response {
        match request {
            Request::Put(put) => {
                if let Some(code) = self.refuses {
                    self.refused += 1;
                    return ErrorReply::new(code, "the test says so").into();
                }
                let mut reply = PutReply { index: 1, runs: Vec::new() };
                for message in put.messages {
                    self.stored.push(message);
                    let sequence = self.stored.len() as u64;
                    self.ready.push_back(sequence);
                    reply.push(PutOutcome::Stored(Sequence(sequence)));
                }
                Response::Put(reply)
            }
            Request::Pull(pull) => {
                Response::Messages((0..pull.messages_max).map_while(|_| self.lease()).collect())
            }
            Request::Settle(settle) => {
                let outcomes = settle.receipts.iter().map(|receipt| {
                    let sequence = receipt.sequence.0;
                    match self.leased.get(&sequence) {
                        Some(token) if *token != receipt.token => return SettleOutcome::Stale,
                        None => return SettleOutcome::AlreadySettled,
                        Some(_) => {}
                    }
                    match settle.verdict {
                        Verdict::Ack | Verdict::Reject { .. } => {
                            self.leased.remove(&sequence);
                        }
                        Verdict::Nack { .. } => {
                            self.leased.remove(&sequence);
                            self.ready.push_back(sequence);
                        }
                        _ => {}
                    }
                    SettleOutcome::Done
                });
                Response::Settled(SettleReply { index: 1, outcomes: outcomes.collect() })
            }
            Request::Subscribe(_) => match self.refuses {
                Some(code) => ErrorReply::new(code, "the test says so").into(),
                None => Response::Subscribed,
            },
            Request::DescribeDestination { destination } => {
                let mut info = DestinationInfo::new(destination, DestinationSettings::queue(), 0);
                info.messages = (self.ready.len() + self.leased.len()) as u64;
                Response::Destination(Box::new(info))
            }
            _ => Response::Done { index: 1 },
        }
    }
}

impl Shards for Model {
    fn attach(&self, peer: Arc<dyn Peer>) -> Box<dyn Tie> {
        self.with(|state| state.ties += 1);
        Box::new(ModelTie { model: self.clone(), peer })
    }
}

struct ModelTie {
    model: Model,
    peer: Arc<dyn Peer>,
}

impl Tie for ModelTie {
    fn submit(&self, correlation: u64, request: Request) {
        let response = self.model.with(|state| {
            state.submitted += 1;
            match &request {
                Request::Subscribe(subscribe) => {
                    state.credit = state.credit.saturating_add(subscribe.credit);
                    state.lease_ms = subscribe.lease_ms;
                    if state.delivers {
                        state.ready = state.leased.keys().chain(&state.ready).copied().collect();
                        state.leased.clear();
                    }
                    state.subscribers.push((self.peer.clone(), correlation));
                }
                // An empty queue: a pull that waits is never answered.
                Request::Pull(pull) if pull.wait_ms > 0 && state.ready.is_empty() => return None,
                _ => {}
            }
            if state.holds {
                state.held.push((self.peer.clone(), correlation, request));
                return None;
            }
            Some(state.apply(request))
        });
        if let Some(response) = response {
            self.peer.reply(correlation, response);
        }
        self.model.deliver();
    }

    fn credit(&self, _subscription: u64, messages: u32) {
        self.model.with(|state| state.credit = state.credit.saturating_add(messages));
    }

    fn written(&self, _subscription: u64, bytes: usize) {
        self.model.with(|state| state.written += bytes);
    }
}

impl Drop for ModelTie {
    fn drop(&mut self) {
        self.model.with(|state| state.ties -= 1);
    }
}
