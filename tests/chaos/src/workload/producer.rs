//! Producers: one that leaves retries to the library, and one that retries by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use swarmmq::protocol::request::Put;
use swarmmq::protocol::response::PutOutcome;
use swarmmq::protocol::{Request, Response};
use swarmmq::{Client, DestinationName, Message, MessageId};

use crate::history::{Key, Outcome};
use crate::workload::payload;
use crate::workload::recorder::Recorder;

/// Puts of a session under way.
const WINDOW: usize = 64;
/// Single puts under way.
const SINGLES: usize = 16;
/// Messages that consumers may be behind before producers wait for them, so that the end is soon drained.
const BACKLOG_MAX: u64 = 10_000;
/// A pause after a refusal or behind slow consumers.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a single put whose outcome is unknown is put again.
const TRIES_MAX: usize = 50;

/// Who produces where.
#[derive(Debug, Clone)]
pub(super) struct Producing {
    pub(super) client: Client,
    pub(super) destination: DestinationName,
    pub(super) recorder: Arc<Recorder>,
    pub(super) stopping: Arc<AtomicBool>,
    /// Its number among all producers of the destination.
    pub(super) producer: u32,
    /// How many groups each message is delivered to.
    pub(super) groups: u64,
    /// Whether it waits for consumers.
    pub(super) is_throttled: bool,
}

impl Producing {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    async fn wait_for_consumers(&self) {
        while self.is_throttled && !self.is_stopping() {
            let counts = self.recorder.counts();
            if counts.stored < counts.acked / self.groups + BACKLOG_MAX {
                return;
            }
            // sleep: until the consumers have caught up.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Puts under a producer session until it is told to stop, and then waits for every answer.
pub(super) async fn session(producing: Producing) {
    let Producing { client, destination, recorder, .. } = &producing;
    let producer = client.producer(destination).build();
    let mut under_way = FuturesUnordered::new();
    let mut number = 0;
    while !producing.is_stopping() {
        producing.wait_for_consumers().await;
        number += 1;
        let key = Key { producer: producing.producer, number };
        let attempt = recorder.put(key, true);
        match producer.enqueue(Message::new(payload::make(key))).await {
            Ok(confirmation) => under_way.push(confirmation.map(move |result| (key, attempt, result))),
            Err(error) => recorder.put_ended(key, attempt, Err(error)),
        }
        let mut is_refused = false;
        while under_way.len() >= WINDOW
            && let Some((key, attempt, result)) = under_way.next().await
        {
            is_refused |= result.is_err();
            recorder.put_ended(key, attempt, result);
        }
        if is_refused {
            // sleep: between two attempts while the node is away.
            tokio::time::sleep(PAUSE).await;
        }
    }
    while let Some((key, attempt, result)) = under_way.next().await {
        recorder.put_ended(key, attempt, result);
    }
}

/// Puts single messages with ids, several at once, until it is told to stop.
pub(super) async fn singles(producing: Producing) {
    let mut under_way = FuturesUnordered::new();
    let mut number = 0;
    while !producing.is_stopping() {
        producing.wait_for_consumers().await;
        number += 1;
        under_way.push(single(&producing, Key { producer: producing.producer, number }));
        while under_way.len() >= SINGLES && under_way.next().await.is_some() {}
    }
    while under_way.next().await.is_some() {}
}

/// Puts a message, and again with the same id for as long as nobody knows whether it is stored.
async fn single(producing: &Producing, key: Key) {
    let id = MessageId(u128::from(key.producer) << 64 | u128::from(key.number));
    for _ in 0..TRIES_MAX {
        let attempt = producing.recorder.put(key, false);
        let outcome = put(producing, key, id).await;
        let is_settled = matches!(outcome, Outcome::Stored { .. });
        producing.recorder.put_answered(key, attempt, outcome);
        if is_settled {
            return;
        }
        // sleep: between two attempts while the node is away.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn put(producing: &Producing, key: Key, id: MessageId) -> Outcome {
    let message = match Message::new(payload::make(key)).id(id).encode() {
        Ok(message) => message,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let destination = producing.destination.clone();
    let request = Put { destination, stamp: None, expected_last: None, messages: vec![message] };
    match producing.client.request(Request::Put(request)).await {
        Ok(Response::Put(reply)) => match reply.outcomes().next() {
            Some(PutOutcome::Stored(sequence)) => Outcome::Stored { sequence: sequence.0, duplicate: false },
            Some(PutOutcome::Duplicate(sequence)) => {
                Outcome::Stored { sequence: sequence.0, duplicate: true }
            }
            Some(PutOutcome::Refused(code)) => Outcome::Refused(code.to_string()),
            _ => Outcome::Unknown("an answer without an outcome".into()),
        },
        Ok(_) => Outcome::Unknown("an answer to something else".into()),
        Err(error) if error.is_uncertain() => Outcome::Unknown(error.to_string()),
        Err(error) => Outcome::Refused(error.to_string()),
    }
}
