//! Where messages come from: a subscription, or, where they are counted, pulls.

use std::time::Duration;

use futures_util::FutureExt as _;
use swarmmq::{Client, Consumer, Delivered, DestinationName, Error, GroupName};

use super::Consume;

/// Most messages written out before they are settled.
const BATCH: usize = 256;
/// How long one pull waits where the verb waits for ever. The next one follows.
const PULL_WAIT: Duration = Duration::from_secs(20);

/// Why no more messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// None came for as long as the user wants to wait.
    Idle,
    /// There were as many as were asked for.
    Counted,
    /// A signal came.
    Interrupted,
}

/// Messages, in batches.
pub(super) enum Source {
    /// As they come. What is on its way to us when we end goes back.
    Subscription { consumer: Consumer, idle: Option<Duration> },
    /// No more than are wanted: a message that was leased and is not wanted would have had a delivery, and groups
    /// give up messages that had too many.
    Pulls {
        client: Client,
        destination: DestinationName,
        group: GroupName,
        left: u64,
        batch: usize,
        idle: Option<Duration>,
    },
}

impl Source {
    pub(super) async fn open(verb: &Consume, client: &Client, idle: Option<Duration>) -> Result<Self, Error> {
        let (destination, group) = (verb.destination.clone(), verb.group.clone());
        if let Some(left) = verb.count {
            let batch = verb.in_flight.map_or(BATCH, |most| BATCH.min(most as usize));
            return Ok(Self::Pulls { client: client.clone(), destination, group, left, batch, idle });
        }
        let mut consumer = client.consumer(&destination).group(&group);
        if let Some(in_flight) = verb.in_flight {
            consumer = consumer.credit(in_flight);
        }
        if let Some(lease) = verb.lease {
            consumer = consumer.lease(lease);
        }
        Ok(Self::Subscription { consumer: consumer.build().await?, idle })
    }

    /// The next messages, at least one, or why there are none.
    pub(super) async fn next_batch(&mut self) -> Result<Result<Vec<Delivered>, Ended>, Error> {
        match self {
            Self::Subscription { consumer, idle } => next_of(consumer, *idle).await,
            Self::Pulls { left: 0, .. } => Ok(Err(Ended::Counted)),
            Self::Pulls { client, destination, group, left, batch, idle } => {
                let messages_max = u32::try_from(*left).unwrap_or(u32::MAX).min(*batch as u32);
                loop {
                    let wait = idle.unwrap_or(PULL_WAIT);
                    let messages = client.pull(destination, group, messages_max, wait).await?;
                    if !messages.is_empty() {
                        *left = left.saturating_sub(messages.len() as u64);
                        return Ok(Ok(messages));
                    }
                    if idle.is_some() {
                        return Ok(Err(Ended::Idle));
                    }
                }
            }
        }
    }

    /// Gives back what was not settled.
    pub(super) async fn close(self) {
        if let Self::Subscription { consumer, .. } = self {
            consumer.close().await;
        }
    }
}

/// Waits for one message, and takes those that are there already with it.
async fn next_of(
    consumer: &mut Consumer,
    idle: Option<Duration>,
) -> Result<Result<Vec<Delivered>, Ended>, Error> {
    let first = match idle {
        Some(idle) => tokio::time::timeout(idle, consumer.next()).await.ok(),
        None => Some(consumer.next().await),
    };
    let Some(first) = first else { return Ok(Err(Ended::Idle)) };
    let mut batch = vec![first.ok_or(Error::Closed)??];
    while batch.len() < BATCH {
        match consumer.next().now_or_never() {
            Some(Some(delivered)) => batch.push(delivered?),
            Some(None) | None => break,
        }
    }
    Ok(Ok(batch))
}
