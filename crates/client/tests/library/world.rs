//! What the nodes of a test cluster hold together: logs, producer sessions and leases, as the protocol
//! promises them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::message::EncodedMessage;
use swarmmq_protocol::native::{Frame, encode_frame};
use swarmmq_protocol::request::{Put, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, PutReply, SettleOutcome, SettleReply};
use swarmmq_protocol::settings::DestinationSettings;
use swarmmq_protocol::{
    DestinationName, ErrorCode, ErrorReply, Message, ProducerId, Receipt, Request, Response, Sequence,
};
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    /// Something may be deliverable.
    pub(crate) changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<DestinationName, Log>,
    tokens: u64,
    /// Deliver so much more than there is credit for.
    generosity: u32,
    /// Refuse each message beyond this many in a log.
    messages_max: Option<usize>,
    /// How often all subscriptions were ended, and why the last time.
    ended: (u64, Option<ErrorCode>),
    most_leased: usize,
}

#[derive(Default)]
struct Log {
    messages: Vec<EncodedMessage>,
    sessions: HashMap<ProducerId, Session>,
    ready: BTreeSet<u64>,
    leased: BTreeMap<u64, u64>,
    settled: BTreeMap<u64, Verdict>,
    extended: Vec<Receipt>,
    attempts: HashMap<u64, u32>,
}

/// What is known of a producer: its epoch, and where each sequence of it was stored.
#[derive(Default)]
struct Session {
    epoch: u32,
    outcomes: Vec<PutOutcome>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn wake(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    pub(crate) fn messages(&self, name: &DestinationName) -> Vec<Message> {
        let state = self.state.lock();
        let log = state.logs.get(name);
        log.map_or_else(Vec::new, |log| log.messages.iter().map(|m| m.decode().unwrap()).collect())
    }

    pub(crate) fn fill(&self, name: &DestinationName, messages: impl Iterator<Item = Message>) {
        let mut state = self.state.lock();
        let log = state.logs.entry(name.clone()).or_default();
        for message in messages {
            log.store(message.encode().unwrap());
        }
        drop(state);
        self.wake();
    }

    /// No log takes more messages than this.
    pub(crate) fn limit(&self, messages: Option<usize>) {
        self.state.lock().messages_max = messages;
    }

    /// Nodes deliver so many messages beyond the credit they were given.
    pub(crate) fn be_generous(&self, messages: u32) {
        self.state.lock().generosity = messages;
    }

    pub(crate) fn end_subscriptions(&self, code: ErrorCode) {
        {
            let mut state = self.state.lock();
            state.ended = (state.ended.0 + 1, Some(code));
        }
        self.wake();
    }

    /// Forgets all producers, as after the time for which they are remembered.
    pub(crate) fn forget_producers(&self) {
        self.state.lock().logs.values_mut().for_each(|log| log.sessions.clear());
    }

    pub(crate) fn producer_epochs(&self, name: &DestinationName) -> Vec<u32> {
        self.state.lock().logs[name].sessions.values().map(|session| session.epoch).collect()
    }

    /// Ends all leases.
    pub(crate) fn expire_leases(&self) {
        for log in self.state.lock().logs.values_mut() {
            let leased = std::mem::take(&mut log.leased);
            log.ready.extend(leased.keys());
        }
        self.wake();
    }

    /// Waits until the log of `name` fulfils `condition`.
    pub(crate) async fn until<T>(&self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        crate::soon(what, async {
            loop {
                if let Some(value) = condition(self) {
                    return value;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
    }

    pub(crate) fn settled(&self, name: &DestinationName) -> BTreeMap<u64, Verdict> {
        self.state.lock().logs[name].settled.clone()
    }

    pub(crate) fn leased(&self, name: &DestinationName) -> usize {
        self.state.lock().logs[name].leased.len()
    }

    pub(crate) fn most_leased(&self) -> usize {
        self.state.lock().most_leased
    }

    pub(crate) fn extended(&self, name: &DestinationName) -> Vec<Receipt> {
        self.state.lock().logs[name].extended.clone()
    }

    pub(crate) fn serve(&self, request: Request) -> Response {
        let mut state = self.state.lock();
        let response = match request {
            Request::Put(put) => state.put(put),
            Request::Settle(settle) => state.settle(settle),
            Request::Pull(pull) => match state.lease(&pull.destination, pull.messages_max) {
                Some(deliveries) => Response::Messages(deliveries),
                None => unknown(),
            },
            Request::CreateDestination { destination, .. } => {
                state.logs.entry(destination).or_default();
                Response::Done { index: 1 }
            }
            Request::DeleteDestination { destination } => match state.logs.remove(&destination) {
                Some(_) => Response::Done { index: 2 },
                None => unknown(),
            },
            Request::DescribeDestination { destination } => match state.logs.get(&destination) {
                Some(log) => Response::Destination(Box::new(log.describe(destination))),
                None => unknown(),
            },
            Request::ListDestinations { prefix, after, limit } => Response::Destinations(
                state
                    .logs
                    .iter()
                    .filter(|(name, _)| name.as_str().starts_with(&prefix))
                    .filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after))
                    .take(limit as usize)
                    .map(|(name, log)| log.describe(name.clone()))
                    .collect(),
            ),
            _ => Response::Done { index: 3 },
        };
        drop(state);
        self.wake();
        response
    }
}

fn unknown() -> Response {
    Response::Error(ErrorReply::new(ErrorCode::UnknownDestination, "there is none of that name"))
}

impl Log {
    fn store(&mut self, message: EncodedMessage) -> Sequence {
        self.messages.push(message);
        let sequence = self.messages.len() as u64;
        self.ready.insert(sequence);
        Sequence(sequence)
    }

    fn describe(&self, name: DestinationName) -> DestinationInfo {
        let mut info = DestinationInfo::new(name, DestinationSettings::queue(), 0);
        info.last = self.messages.len() as u64;
        info
    }

    /// Which of the put's messages are new, or why none may be stored.
    fn check(&mut self, put: &Put) -> Result<usize, ErrorCode> {
        let Some(stamp) = put.stamp else { return Ok(0) };
        if stamp.sequence > 1 && !self.sessions.contains_key(&stamp.producer) {
            return Err(ErrorCode::UnknownProducer);
        }
        let session = self.sessions.entry(stamp.producer).or_default();
        if stamp.epoch < session.epoch {
            return Err(ErrorCode::Fenced);
        }
        if stamp.epoch > session.epoch {
            *session = Session { epoch: stamp.epoch, outcomes: Vec::new() };
        }
        let known = session.outcomes.len() as u64;
        if stamp.sequence > known + 1 {
            return Err(ErrorCode::SequenceGap);
        }
        Ok(usize::try_from(known + 1 - stamp.sequence).unwrap().min(put.messages.len()))
    }
}

impl State {
    fn put(&mut self, put: Put) -> Response {
        let max = self.messages_max.unwrap_or(usize::MAX);
        let Some(log) = self.logs.get_mut(&put.destination) else { return unknown() };
        let known = match log.check(&put) {
            Ok(known) => known,
            Err(code) => return Response::Error(ErrorReply::new(code, "the session is not in order")),
        };
        if put.expected_last.is_some_and(|last| last != log.messages.len() as u64) {
            return Response::Error(ErrorReply::new(ErrorCode::WrongRevision, "the last is another"));
        }
        let mut reply = PutReply { index: 1, runs: Vec::new() };
        for (place, message) in put.messages.into_iter().enumerate() {
            let outcome = if place < known {
                let stamp = put.stamp.unwrap();
                let session = &log.sessions[&stamp.producer];
                match session.outcomes[usize::try_from(stamp.sequence).unwrap() - 1 + place] {
                    PutOutcome::Stored(sequence) => PutOutcome::Duplicate(sequence),
                    other => other,
                }
            } else {
                let outcome = if log.messages.len() >= max {
                    PutOutcome::Refused(ErrorCode::DestinationFull)
                } else if message.decode().unwrap().header_value("refuse").is_some() {
                    PutOutcome::Refused(ErrorCode::Forbidden)
                } else {
                    PutOutcome::Stored(log.store(message))
                };
                if let Some(stamp) = put.stamp {
                    log.sessions.get_mut(&stamp.producer).unwrap().outcomes.push(outcome);
                }
                outcome
            };
            reply.push(outcome);
        }
        Response::Put(reply)
    }

    fn lease(&mut self, name: &DestinationName, most: u32) -> Option<Vec<Delivery>> {
        let log = self.logs.get_mut(name)?;
        let mut deliveries = Vec::new();
        while deliveries.len() < most as usize {
            let Some(sequence) = log.ready.pop_first() else { break };
            self.tokens += 1;
            log.leased.insert(sequence, self.tokens);
            let attempt = log.attempts.entry(sequence).or_default();
            *attempt += 1;
            deliveries.push(Delivery {
                receipt: Receipt { sequence: Sequence(sequence), token: self.tokens },
                attempt: *attempt,
                stored_ms: 1_700_000_000_000,
                message: log.messages[usize::try_from(sequence).unwrap() - 1].clone(),
            });
        }
        self.most_leased = self.most_leased.max(log.leased.len());
        Some(deliveries)
    }

    fn settle(&mut self, settle: Settle) -> Response {
        let Some(log) = self.logs.get_mut(&settle.destination) else { return unknown() };
        let outcomes = settle.receipts.iter().map(|receipt| {
            let sequence = receipt.sequence.0;
            if log.settled.contains_key(&sequence) {
                return SettleOutcome::AlreadySettled;
            }
            match log.leased.get(&sequence) {
                Some(token) if *token == receipt.token => {}
                // Its lease has ended and nobody has another.
                None if log.ready.contains(&sequence) && settle.verdict == Verdict::Ack => {}
                _ if sequence == 0 || sequence > log.messages.len() as u64 => return SettleOutcome::Unknown,
                _ => return SettleOutcome::Stale,
            }
            match &settle.verdict {
                Verdict::Extend { .. } => log.extended.push(*receipt),
                Verdict::Nack { .. } => {
                    log.leased.remove(&sequence);
                    log.ready.insert(sequence);
                }
                verdict => {
                    log.leased.remove(&sequence);
                    log.ready.remove(&sequence);
                    log.settled.insert(sequence, verdict.clone());
                }
            }
            SettleOutcome::Done
        });
        let outcomes = outcomes.collect();
        Response::Settled(SettleReply { index: 1, outcomes })
    }
}

/// The subscriptions of one connection.
pub(crate) struct Subscriptions {
    world: Arc<World>,
    all: BTreeMap<u64, One>,
}

struct One {
    destination: DestinationName,
    credit: u32,
    /// Ends before it.
    ended: u64,
    /// Receipts delivered under it.
    delivered: Vec<Receipt>,
}

impl Subscriptions {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, all: BTreeMap::new() }
    }

    pub(crate) fn subscribe(&mut self, id: u64, subscribe: Subscribe) -> Response {
        if !self.world.state.lock().logs.contains_key(&subscribe.destination) {
            return unknown();
        }
        let Subscribe { destination, credit, .. } = subscribe;
        let (credit, ended) = {
            let state = self.world.state.lock();
            (credit + state.generosity, state.ended.0)
        };
        self.all.insert(id, One { destination, credit, ended, delivered: Vec::new() });
        Response::Subscribed
    }

    pub(crate) fn unsubscribe(&mut self, id: u64) -> Response {
        self.release(id);
        Response::Done { index: 0 }
    }

    /// What was delivered under a subscription and is not settled is ready for others.
    fn release(&mut self, id: u64) {
        if let Some(one) = self.all.remove(&id) {
            let mut state = self.world.state.lock();
            let Some(log) = state.logs.get_mut(&one.destination) else { return };
            for receipt in one.delivered {
                if log.leased.get(&receipt.sequence.0) == Some(&receipt.token) {
                    log.leased.remove(&receipt.sequence.0);
                    log.ready.insert(receipt.sequence.0);
                }
            }
        }
        self.world.wake();
    }

    pub(crate) fn add_credit(&mut self, id: u64, credit: u32) {
        if let Some(one) = self.all.get_mut(&id) {
            one.credit += credit;
        }
    }

    pub(crate) fn deliver(&mut self, out: &mut BytesMut) {
        let (ends, code) = self.world.state.lock().ended;
        for (id, _) in self.all.extract_if(.., |_, one| one.ended < ends) {
            let why = ErrorReply::new(code.unwrap(), "as the script says");
            encode_frame(id, &Frame::Ended(why), out);
        }
        for (id, one) in &mut self.all {
            while one.credit > 0 {
                let leased = self.world.state.lock().lease(&one.destination, one.credit.min(100));
                let Some(deliveries) = leased.filter(|deliveries| !deliveries.is_empty()) else { break };
                one.credit -= u32::try_from(deliveries.len()).unwrap();
                one.delivered.extend(deliveries.iter().map(|delivery| delivery.receipt));
                encode_frame(*id, &Frame::Delivery(deliveries), out);
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let ids: Vec<_> = self.all.keys().copied().collect();
        ids.into_iter().for_each(|id| self.release(id));
    }
}
