//! A backlog, consumed and acknowledged to its end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::put::{Limit, put};
use super::{DESTINATION, Effort, Payloads};
use crate::broker::{Broker, Consumer, Delivery, Retention};
use crate::sample::Sample;

/// How many puts of the backlog are in flight; they are not measured.
const BACKLOG_IN_FLIGHT: usize = 1_024;
/// How many acknowledgements wait for their confirmation at most.
const CONFIRMING_MAX: usize = 1_024;
/// How often the broker is asked whether it has seen all acknowledgements.
const OUTSTANDING_POLL: Duration = Duration::from_micros(500);

/// Consumes the backlog; the clock stops when the broker says that nothing is unacknowledged.
pub(super) async fn measure(
    broker: &impl Broker,
    payload_bytes: usize,
    retention: Retention,
    confirmed: bool,
    effort: &Effort,
) -> Result<Sample> {
    broker.create(DESTINATION, retention).await?;
    let producer = broker.producer(DESTINATION).await?;
    let limit = Limit { messages: effort.backlog_messages_max, time: effort.backlog };
    let backlog = put(&producer, &Payloads::new(payload_bytes), BACKLOG_IN_FLIGHT, limit).await?.messages;

    let started = Instant::now();
    let mut consumer = broker.consumer(DESTINATION).await?;
    let redelivered = if confirmed {
        acknowledge_confirmed(&mut consumer, backlog).await?
    } else {
        acknowledge(&mut consumer, backlog).await?
    };
    while consumer.outstanding().await? > 0 {
        tokio::time::sleep(OUTSTANDING_POLL).await;
    }
    Ok(Sample { redelivered, ..Sample::new(backlog, started.elapsed()) })
}

async fn acknowledge(consumer: &mut impl Consumer, backlog: u64) -> Result<u64> {
    let mut seen = Seen::new(backlog);
    while !seen.is_complete() {
        let delivery = consumer.next().await?;
        seen.add(delivery.payload())?;
        delivery.ack().await?;
    }
    Ok(seen.repeated)
}

async fn acknowledge_confirmed(consumer: &mut impl Consumer, backlog: u64) -> Result<u64> {
    let mut seen = Seen::new(backlog);
    let mut confirming = FuturesUnordered::new();
    while !seen.is_complete() {
        tokio::select! {
            biased;
            Some(confirmation) = confirming.next() => confirmation?,
            delivery = consumer.next(), if confirming.len() < CONFIRMING_MAX => {
                let delivery = delivery?;
                seen.add(delivery.payload())?;
                confirming.push(delivery.ack_confirmed());
            }
        }
    }
    while let Some(confirmation) = confirming.next().await {
        confirmation?;
    }
    Ok(seen.repeated)
}

/// Which messages of the backlog have been delivered.
#[derive(Debug)]
struct Seen {
    delivered: Vec<bool>,
    missing: u64,
    repeated: u64,
}

impl Seen {
    fn new(backlog: u64) -> Self {
        Self { delivered: vec![false; backlog as usize], missing: backlog, repeated: 0 }
    }

    fn add(&mut self, payload: &[u8]) -> Result<()> {
        let number = Payloads::number(payload).context("a delivery is too short to be one of ours")?;
        match self.delivered.get_mut(number as usize) {
            None => bail!("message {number} was never put"),
            Some(delivered) if *delivered => self.repeated += 1,
            Some(delivered) => {
                *delivered = true;
                self.missing -= 1;
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_delivery_does_not_stand_for_a_missing_one() -> Result<()> {
        let payloads = Payloads::new(16);
        let mut seen = Seen::new(2);
        seen.add(&payloads.numbered(0))?;
        seen.add(&payloads.numbered(0))?;
        assert!(!seen.is_complete());
        seen.add(&payloads.numbered(1))?;
        assert!(seen.is_complete());
        assert_eq!(seen.repeated, 1);
        assert!(seen.add(&payloads.numbered(2)).is_err());
        Ok(())
    }
}
