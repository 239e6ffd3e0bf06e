//! Events through a durable queue, each processed once.
//!
//! The id of an event is the id of its message. What was done with it is a message of the same id in the stream
//! `{queue}.processed`, and it is put there before the event is acknowledged:
//!
//! ```text
//!  producer ── put (id) ──▶ queue ── lease ──▶ consumer ── put (id) ──▶ processed ── then ack ──▶ queue
//! ```
//!
//! - A producer that is not sure whether an event is stored puts it again: the queue knows the id.
//! - A consumer that dies before the acknowledgement leaves the event to another, whose put to `processed` is recognised as
//!   a duplicate if the first one got so far.
//!
//! So every event that was stored is in `processed` exactly once, for as long as both remember ids: [`REMEMBERED`] and
//! [`IDS_MAX`] events.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use swarmmq::{Client, DestinationName, DestinationSettings, Error, ErrorCode, Message, MessageId, Producer};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// For how long ids of events are remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// How many ids of events are remembered.
const IDS_MAX: u64 = 2_000_000;
/// How long a put that failed waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Most events on their way to the queue.
const UNDER_WAY_MAX: usize = 1024;

/// The queue and the stream of what was done.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) queue: DestinationName,
    pub(crate) processed: DestinationName,
}

impl Names {
    pub(crate) fn of(queue: &str) -> Result<Self> {
        let processed = format!("{queue}.processed");
        Ok(Self {
            queue: queue.parse().context("--queue")?,
            processed: processed.parse().context("--queue")?,
        })
    }

    /// Makes both, or finds them made.
    pub(crate) async fn make(&self, client: &Client) -> Result<()> {
        let settings =
            [(&self.queue, DestinationSettings::queue()), (&self.processed, DestinationSettings::stream())];
        for (name, mut settings) in settings {
            settings.dedup_window_ms = u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX);
            settings.dedup_ids_max = IDS_MAX;
            match client.create_destination(name, settings).await {
                Err(error) if error.code() == Some(ErrorCode::AlreadyExists) => {
                    bail!("{name} exists with other settings: delete it, or take another --queue")
                }
                made => made.with_context(|| format!("cannot make {name}"))?,
            }
        }
        Ok(())
    }
}

/// The id of an event as that of a message.
pub(crate) fn message_id(event_id: &str) -> Result<MessageId> {
    let uuid =
        uuid::Uuid::parse_str(event_id).with_context(|| format!("the event id {event_id:?} is no UUID"))?;
    Ok(MessageId(uuid.as_u128()))
}

/// Puts a message until it is known to be stored: its id tells a second one from the first. It has no end while the node
/// is away; who wants to end drops it.
pub(crate) async fn put_for_certain(producer: Producer, message: Message) -> Result<bool> {
    loop {
        match producer.send(message.clone()).await {
            Ok(stored) => return Ok(stored.duplicate),
            Err(error @ (Error::OutcomeUnknown { .. } | Error::TimedOut { .. })) => {
                warn!("putting it again: {error}");
            }
            Err(error) if error.is_uncertain() || error.is_retryable() => warn!("putting it again: {error}"),
            Err(error) => return Err(error.into()),
        }
        sleep(AGAIN).await;
    }
}

/// An event that is stored.
pub(crate) struct Settled {
    pub(crate) event_id: String,
    pub(crate) bytes: usize,
    pub(crate) latency_us: u64,
}

type Putting = std::pin::Pin<Box<dyn Future<Output = Result<Settled>> + Send>>;

/// The producers' end of the queue.
pub(crate) struct Outlet {
    names: Names,
    producer: Producer,
    under_way: FuturesUnordered<Putting>,
}

impl Outlet {
    pub(crate) async fn open(client: Client, queue: &str) -> Result<Self> {
        let names = Names::of(queue)?;
        names.make(&client).await?;
        info!("Events go through the durable queue {}", names.queue);
        let producer = client.producer(&names.queue).build();
        Ok(Self { names, producer, under_way: FuturesUnordered::new() })
    }

    /// What stands for an endpoint.
    pub(crate) fn endpoint(&self) -> String {
        format!("swarmmq:{}", self.names.queue)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.under_way.len() < UNDER_WAY_MAX
    }

    pub(crate) fn has_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(crate) fn put(&mut self, event_id: String, bytes: Vec<u8>) -> Result<()> {
        let length = bytes.len();
        let message = Message::new(bytes).id(message_id(&event_id)?);
        let (producer, began) = (self.producer.clone(), Instant::now());
        self.under_way.push(Box::pin(async move {
            put_for_certain(producer, message).await?;
            let latency_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            Ok(Settled { event_id, bytes: length, latency_us })
        }));
        Ok(())
    }

    /// Waits for the next event that is stored, and gives all that are.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn settled(&mut self) -> Result<Vec<Settled>> {
        let mut all = match self.under_way.next().await {
            Some(first) => vec![first?],
            None => std::future::pending().await,
        };
        while let Some(Some(next)) = self.under_way.next().now_or_never() {
            all.push(next?);
        }
        Ok(all)
    }
}
