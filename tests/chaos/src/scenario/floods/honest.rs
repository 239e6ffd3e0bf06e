//! Clients that put one message after the other, and a consumer that takes them.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use swarmmq::{Client, DestinationName, Message};
use tokio::task::JoinSet;

const CLIENTS: usize = 4;
const PAYLOAD_BYTES: usize = 128;
const CREDIT: u32 = 1_024;

/// How long puts took, µs.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn p99_us(&self) -> f64 {
        self.0.value_at_quantile(0.99) as f64
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7} puts, p50 {:>6} µs, p99 {:>6} µs, most {:>7} µs",
            self.0.len(),
            self.0.value_at_quantile(0.5),
            self.0.value_at_quantile(0.99),
            self.0.max()
        )
    }
}

/// Puts for `time`. Each put must be stored.
pub(super) async fn put_for(address: &str, time: Duration) -> Result<Latencies> {
    let queue = DestinationName::new("chaos.honest")?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, queue) = (address.to_owned(), queue.clone());
        clients.spawn(async move { put(&address, &queue, time).await });
    }
    let mut all = Histogram::new(3)?;
    let mut consuming = JoinSet::new();
    consuming.spawn(consume(address.to_owned(), queue));
    while let Some(ended) = clients.join_next().await {
        all.add(ended?.context("an honest client's put failed")?)?;
    }
    Ok(Latencies(all))
}

async fn put(address: &str, queue: &DestinationName, time: Duration) -> Result<Histogram<u64>> {
    // A connection of its own: the flood must not keep new clients out either.
    let client = Client::connect(address).await?;
    let producer = client.producer(queue).build();
    let mut latencies = Histogram::new(3)?;
    let began = Instant::now();
    while began.elapsed() < time {
        let sent = Instant::now();
        producer.send(Message::new(vec![b'h'; PAYLOAD_BYTES])).await?;
        latencies.record(u64::try_from(sent.elapsed().as_micros())?)?;
    }
    Ok(latencies)
}

async fn consume(address: String, queue: DestinationName) -> Result<()> {
    let client = Client::connect(address).await?;
    let mut consumer = client.consumer(&queue).credit(CREDIT).build().await?;
    while let Some(delivered) = consumer.next().await {
        delivered?.ack_later();
    }
    Ok(())
}
