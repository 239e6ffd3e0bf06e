//! What the clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use swarmmq_protocol::request::{Pull, Put, Request, Settle, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, Response, SettleOutcome};
use swarmmq_protocol::{
    DestinationName, EncodedMessage, GroupName, Message, ProducerId, ProducerStamp, Receipt,
};

use crate::history::{Effect, Event, History};
use crate::seed::Seed;
use crate::session::Session;

/// Most messages of one put.
const BATCH_MAX: u64 = 5;
/// Most puts of one producer under way at once.
const PIPELINE: usize = 4;
/// Bytes a payload is filled up with at most.
const FILL_MAX: u64 = 900;

/// A producer, whose place outlives the lives of the node.
pub(crate) struct Producer {
    id: u64,
    /// Every message up to this sequence was acknowledged.
    acknowledged: AtomicU64,
}

pub(crate) fn effect_of(message: &EncodedMessage) -> Result<Effect, String> {
    let payload = message.decode().map_err(|error| error.to_string())?.payload;
    let text = std::str::from_utf8(&payload).map_err(|error| error.to_string())?;
    let mut fields = text.split(' ').map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(producer)), Some(Ok(sequence))) => Ok(Effect { producer, sequence }),
        _ => Err(format!("a payload nobody wrote: {text}")),
    }
}

fn make(effect: Effect, seed: &mut Seed) -> EncodedMessage {
    let fill = "x".repeat(usize::try_from(seed.below(FILL_MAX)).unwrap_or(0));
    let text = format!("{} {} {fill}", effect.producer, effect.sequence);
    #[expect(clippy::expect_used, reason = "the payload is far below the limit and there is nothing else")]
    Message::new(text).encode().expect("a small message has an encoding")
}

impl Producer {
    pub(crate) fn new(id: u64) -> Arc<Self> {
        Arc::new(Self { id, acknowledged: AtomicU64::new(0) })
    }

    /// Puts until the life ends. What was not acknowledged in an earlier one is sent again first.
    pub(crate) async fn run(
        self: Arc<Self>,
        session: Arc<Session>,
        queue: DestinationName,
        history: History,
        mut seed: Seed,
    ) {
        loop {
            let mut next = self.acknowledged.load(Ordering::Acquire) + 1;
            let mut under_way = Vec::new();
            for _ in 0..PIPELINE {
                let first = next;
                let count = 1 + seed.below(BATCH_MAX);
                next += count;
                let effects: Vec<Effect> =
                    (first..next).map(|sequence| Effect { producer: self.id, sequence }).collect();
                for effect in &effects {
                    history.add(Event::Put { effect: *effect });
                }
                let put = Put {
                    destination: queue.clone(),
                    stamp: Some(ProducerStamp {
                        producer: ProducerId(u128::from(self.id)),
                        epoch: 0,
                        sequence: first,
                    }),
                    expected_last: None,
                    messages: effects.iter().map(|effect| make(*effect, &mut seed)).collect(),
                };
                under_way.push((effects, session.ask(Request::Put(put))));
            }
            for (effects, answer) in under_way {
                let response = answer.await;
                let Response::Put(reply) = response else { break };
                for (effect, outcome) in effects.iter().zip(reply.outcomes()) {
                    let (at, duplicate) = match outcome {
                        PutOutcome::Stored(at) => (at, false),
                        PutOutcome::Duplicate(at) => (at, true),
                        _ => continue,
                    };
                    history.add(Event::Stored { effect: *effect, at: at.0, duplicate });
                    self.acknowledged.store(effect.sequence, Ordering::Release);
                }
            }
            tokio::time::sleep(Duration::from_millis(seed.below(20))).await;
        }
    }
}

/// Pulls and settles until the life ends.
pub(crate) async fn consume(session: Arc<Session>, queue: DestinationName, history: History, mut seed: Seed) {
    loop {
        let max = 1 + seed.below(8);
        let deliveries = pull(&session, &queue, max, 200 + seed.below(2_000)).await;
        if deliveries.is_empty() {
            tokio::time::sleep(Duration::from_millis(1 + seed.below(50))).await;
        }
        let mut acks = Vec::new();
        for delivery in deliveries {
            note(&history, &delivery);
            match seed.below(20) {
                0 => {
                    settle(
                        &session,
                        &queue,
                        Verdict::Nack { delay_ms: seed.below(300) },
                        &[delivery.receipt],
                        &history,
                    )
                    .await
                }
                1 => {
                    settle(
                        &session,
                        &queue,
                        Verdict::Reject { reason: "chance".into() },
                        &[delivery.receipt],
                        &history,
                    )
                    .await
                }
                2 => {} // Forgotten: its lease runs out.
                _ => acks.push(delivery.receipt),
            }
        }
        if !acks.is_empty() {
            settle(&session, &queue, Verdict::Ack, &acks, &history).await;
        }
    }
}

pub(crate) async fn pull(
    session: &Session,
    queue: &DestinationName,
    max: u64,
    lease_ms: u64,
) -> Vec<Delivery> {
    let request = Request::Pull(Pull {
        destination: queue.clone(),
        group: GroupName::default_group(),
        messages_max: u32::try_from(max).unwrap_or(1),
        wait_ms: 100,
        lease_ms: u32::try_from(lease_ms).unwrap_or(0),
    });
    match session.ask(request).await {
        Response::Messages(deliveries) => deliveries,
        _ => Vec::new(),
    }
}

fn note(history: &History, delivery: &Delivery) {
    match effect_of(&delivery.message) {
        Ok(effect) => history.add(Event::Delivered {
            effect,
            at: delivery.receipt.sequence.0,
            attempt: delivery.attempt,
        }),
        // An effect nobody has: the first invariant finds it.
        Err(_) => history.add(Event::Dead { effect: Effect { producer: u64::MAX, sequence: u64::MAX } }),
    }
}

async fn settle(
    session: &Session,
    queue: &DestinationName,
    verdict: Verdict,
    receipts: &[Receipt],
    history: &History,
) {
    for receipt in receipts {
        history.add(Event::AckSent { at: receipt.sequence.0 });
    }
    let request = Request::Settle(Settle {
        destination: queue.clone(),
        group: GroupName::default_group(),
        verdict: verdict.clone(),
        receipts: receipts.to_vec(),
    });
    let Response::Settled(reply) = session.ask(request).await else { return };
    for (receipt, outcome) in receipts.iter().zip(reply.outcomes) {
        if outcome != SettleOutcome::Done {
            continue;
        }
        let at = receipt.sequence.0;
        match verdict {
            Verdict::Ack => history.add(Event::Acked { at }),
            Verdict::Reject { .. } => history.add(Event::Rejected { at }),
            _ => {}
        }
    }
}

/// Takes all there is, so that everything acknowledged comes out. Says how many messages came.
pub(crate) async fn drain(
    session: &Session,
    queue: &DestinationName,
    history: &History,
    event: impl Fn(Effect, &Delivery) -> Event,
) -> usize {
    let mut came = 0;
    let mut empty = 0;
    // Leases and delays of earlier lives are at most 2.5 s; each empty pull waits 100 ms.
    while empty < 60 {
        let deliveries = pull(session, queue, 64, 60_000).await;
        if deliveries.is_empty() {
            empty += 1;
            continue;
        }
        empty = 0;
        came += deliveries.len();
        for delivery in &deliveries {
            if let Ok(effect) = effect_of(&delivery.message) {
                history.add(event(effect, delivery));
            }
        }
        let receipts: Vec<Receipt> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        settle(session, queue, Verdict::Ack, &receipts, history).await;
    }
    came
}
