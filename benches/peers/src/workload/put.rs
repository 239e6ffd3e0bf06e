//! Acknowledged puts over one connection, with a window of them in flight.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{DESTINATION, Effort, Payloads};
use crate::broker::{Broker, Producer, Retention};
use crate::sample::{Latencies, Sample};

/// Where a series of puts ends: at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) messages: u64,
    pub(super) time: Duration,
}

/// Puts for the time of a sample, after a warm-up on the same connection.
pub(super) async fn measure(
    broker: &impl Broker,
    payload_bytes: usize,
    in_flight: usize,
    effort: &Effort,
) -> Result<Sample> {
    broker.create(DESTINATION, Retention::Stream).await?;
    let producer = broker.producer(DESTINATION).await?;
    let payloads = Payloads::new(payload_bytes);
    let warm_up = Limit { messages: effort.put_messages_max, time: effort.warm_up };
    put(&producer, &payloads, in_flight, warm_up).await?;
    let limit = Limit { messages: effort.put_messages_max, time: effort.put };
    put(&producer, &payloads, in_flight, limit).await
}

/// Keeps `in_flight` puts unacknowledged until the limit, then waits for the last acknowledgement.
///
/// A latency runs from the hand-over to the client until its acknowledgement reaches this task.
pub(super) async fn put<P: Producer>(
    producer: &P,
    payloads: &Payloads,
    in_flight: usize,
    limit: Limit,
) -> Result<Sample> {
    let mut latencies = Latencies::new()?;
    let mut window = FuturesUnordered::new();
    let mut sent = 0;
    let started = Instant::now();
    loop {
        while window.len() < in_flight && sent < limit.messages && started.elapsed() < limit.time {
            let begun = Instant::now();
            let acknowledgement = producer.send(payloads.numbered(sent)).await?;
            window.push(async move { acknowledgement.await.map(|()| begun.elapsed()) });
            sent += 1;
        }
        match window.next().await {
            Some(latency) => latencies.record(latency?),
            None => return Ok(Sample::new(sent, started.elapsed()).with_latency(&latencies)),
        }
    }
}
