//! Consumers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use swarmmq_protocol::{DestinationName, GroupName, Message, Receipt, Sequence};

use crate::client::Client;
use crate::encryption::KeyRing;
use crate::error::Error;

/// How a consumer works.
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    destination: DestinationName,
    group: GroupName,
    credit: u32,
    lease: Option<Duration>,
    auto_extend: bool,
    encryption: Option<KeyRing>,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, destination: DestinationName) -> Self {
        Self {
            client,
            destination,
            group: GroupName::default_group(),
            credit: 256,
            lease: None,
            auto_extend: false,
            encryption: None,
        }
    }

    /// Consumes for this group. Default `default`.
    pub fn group(mut self, group: &GroupName) -> Self {
        self.group = group.clone();
        self
    }

    /// Sets how many messages the consumer holds at most that are not settled. Default 256.
    pub fn credit(mut self, credit: u32) -> Self {
        self.credit = credit;
        self
    }

    /// Sets the time to settle a message. Default: the group's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Extends the lease of every message held, until it is settled or dropped. Needs
    /// [`Self::lease`]. Default: off.
    pub fn auto_extend(mut self, auto_extend: bool) -> Self {
        self.auto_extend = auto_extend;
        self
    }

    /// Decrypts payloads with the keys of `keys`.
    pub fn encryption(mut self, keys: KeyRing) -> Self {
        self.encryption = Some(keys);
        self
    }

    /// Subscribes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn build(self) -> Result<Consumer, Error> {
        let _ = (self.client, self.destination, self.group, self.credit, self.lease, self.auto_extend);
        Err(Error::Closed)
    }
}

/// A stream of messages for one group.
#[derive(Debug)]
pub struct Consumer(());

impl Consumer {
    /// The next message, or `None` when the consumer is closed.
    pub async fn next(&mut self) -> Option<Result<Delivered, Error>> {
        std::future::poll_fn(|context| self.poll_delivered(context)).await
    }

    fn poll_delivered(&mut self, _context: &mut Context<'_>) -> Poll<Option<Result<Delivered, Error>>> {
        let () = self.0;
        Poll::Ready(None)
    }

    /// Unsubscribes, after what was settled has been sent. Messages held and not settled become ready
    /// for others.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn close(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Stream for Consumer {
    type Item = Result<Delivered, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_delivered(context)
    }
}

/// A message that is leased to this consumer.
#[derive(Debug)]
#[must_use = "a message that is not settled comes again when its lease ends"]
pub struct Delivered {
    message: Message,
    receipt: Receipt,
    attempt: u32,
    stored_ms: u64,
}

impl Delivered {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its place in the destination's log.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.receipt.sequence
    }

    /// Which delivery of the message this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it was stored, ms since 1970.
    #[must_use]
    pub fn stored_ms(&self) -> u64 {
        self.stored_ms
    }

    /// What it is settled with.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// It is done.
    ///
    /// # Errors
    /// [`Error`].
    pub fn ack(self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// It could not be done now: it comes again, after `delay`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn nack(self, _delay: Duration) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// It will never be done: it becomes a dead letter, with this reason (at most 1 KiB).
    ///
    /// # Errors
    /// [`Error`].
    pub fn reject(
        self,
        _reason: impl Into<String>,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// It takes longer: the lease ends in `lease` from now.
    ///
    /// # Errors
    /// [`Error`].
    pub fn extend(&self, _lease: Duration) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// It is done, and nobody waits for the node to know. Failures are counted in
    /// [`crate::Statistics::failed_settlements`].
    pub fn ack_later(self) {}
}
