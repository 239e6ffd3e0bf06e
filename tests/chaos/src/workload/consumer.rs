//! Consumers, good and less good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use swarmmq::{Client, Delivered, DestinationName, Error, GroupName};
use tokio::time::Instant;

use crate::history::Kind;
use crate::workload::recorder::Recorder;

/// Messages a consumer holds at most.
const CREDIT: u32 = 256;
/// Short, so that what was left to its lease comes again during the run.
const LEASE: Duration = Duration::from_secs(2);
/// How long a put-back message waits.
const NACK_DELAY: Duration = Duration::from_millis(20);
/// For so long a restless consumer stays.
const STAY_MS: std::ops::Range<u64> = 500..3_000;
/// A pause before subscribing again after an error.
const PAUSE: Duration = Duration::from_millis(20);

/// Who consumes what, and how well.
#[derive(Debug, Clone)]
pub(super) struct Consuming {
    pub(super) client: Client,
    pub(super) destination: DestinationName,
    pub(super) group: GroupName,
    pub(super) recorder: Arc<Recorder>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) manners: Manners,
    pub(super) seed: u64,
}

/// How many of a thousand messages a consumer does not acknowledge, and whether it leaves now and then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) nack: u32,
    pub(super) expire: u32,
    pub(super) reject: u32,
    pub(super) is_restless: bool,
}

/// A settlement's number, and what came of it.
type Settling = FuturesUnordered<BoxFuture<'static, (usize, Result<(), Error>)>>;

/// Consumes until it is told to stop, and then waits for what it settled to be answered.
pub(super) async fn consume(consuming: Consuming) {
    let mut random = StdRng::seed_from_u64(consuming.seed);
    let mut settling = Settling::new();
    while !consuming.stopping.load(Ordering::Relaxed) {
        stay(&consuming, &mut settling, &mut random).await;
    }
    while let Some((settlement, result)) = settling.next().await {
        consuming.recorder.settled(consuming.group.as_str(), settlement, &result);
    }
}

/// Subscribes and consumes, until it leaves with what it holds, the subscription fails, or it is told to stop.
async fn stay(consuming: &Consuming, settling: &mut Settling, random: &mut StdRng) {
    let Consuming { client, destination, group, recorder, .. } = consuming;
    let subscribing = client.consumer(destination).group(group).credit(CREDIT).lease(LEASE).build();
    let Ok(mut consumer) = subscribing.await else {
        // sleep: between two attempts while the node is away.
        tokio::time::sleep(PAUSE).await;
        return;
    };
    let leaves = Instant::now() + Duration::from_millis(random.random_range(STAY_MS));
    // Looks now and then whether it is to stop, as nothing may ever come.
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            Some((settlement, result)) = settling.next(), if !settling.is_empty() => {
                recorder.settled(group.as_str(), settlement, &result);
            }
            next = consumer.next() => match next {
                Some(Ok(delivered)) => handle(consuming, delivered, settling, random),
                // sleep: between two attempts while the node is away.
                Some(Err(_)) | None => return tokio::time::sleep(PAUSE).await,
            },
            _ = look.tick() => {
                let is_leaving = consuming.manners.is_restless && Instant::now() > leaves;
                if is_leaving || consuming.stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

fn handle(consuming: &Consuming, delivered: Delivered, settling: &mut Settling, random: &mut StdRng) {
    let Consuming { recorder, group, manners, .. } = consuming;
    let group = group.as_str();
    let Some(key) = recorder.delivered(group, &delivered) else { return };
    let Manners { nack, expire, reject, .. } = *manners;
    let drawn = random.random_range(0..1000);
    if drawn < expire {
        // Dropped: it comes again when its lease ends.
        return;
    }
    let kind = match drawn - expire {
        drawn if drawn < nack => Kind::Nack,
        drawn if drawn < nack + reject => Kind::Reject,
        _ => Kind::Ack,
    };
    let settlement = recorder.settlement(group, key, delivered.receipt().token, kind);
    let numbered = move |result| (settlement, result);
    use futures_util::FutureExt as _;
    settling.push(match kind {
        Kind::Ack => delivered.ack().map(numbered).boxed(),
        Kind::Nack => delivered.nack(NACK_DELAY).map(numbered).boxed(),
        Kind::Reject => delivered.reject("chaos").map(numbered).boxed(),
    });
}

/// Takes dead letters until it is told to stop. Each is recorded every time it comes.
pub(super) async fn bury(
    client: Client,
    letters: DestinationName,
    recorder: Arc<Recorder>,
    stopping: Arc<AtomicBool>,
) {
    while !stopping.load(Ordering::Relaxed) {
        let subscribing = client.consumer(&letters).credit(CREDIT).lease(LEASE).build();
        let Ok(mut consumer) = subscribing.await else {
            // sleep: between two attempts while the node is away.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut look = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                next = consumer.next() => match next {
                    Some(Ok(delivered)) => {
                        recorder.dead(&delivered);
                        delivered.ack_later();
                    }
                    Some(Err(_)) | None => break,
                },
                _ = look.tick() => if stopping.load(Ordering::Relaxed) { return },
            }
        }
    }
}
