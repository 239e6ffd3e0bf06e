//! Producers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use swarmmq_protocol::{DestinationName, Message, Sequence};

use crate::client::Client;
use crate::encryption::KeyRing;
use crate::error::Error;

/// That a message is stored: synced on a majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its place in the destination's log.
    pub sequence: Sequence,
    /// Whether it was stored by an earlier try or under the same message id before.
    pub duplicate: bool,
}

/// How a producer works.
#[derive(Debug, Clone)]
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    destination: DestinationName,
    messages_in_flight_max: usize,
    bytes_in_flight_max: usize,
    timeout: Option<Duration>,
    wait_when_full: bool,
    encryption: Option<KeyRing>,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, destination: DestinationName) -> Self {
        Self {
            client,
            destination,
            messages_in_flight_max: 1024,
            bytes_in_flight_max: 16 * 1024 * 1024,
            timeout: None,
            wait_when_full: false,
            encryption: None,
        }
    }

    /// Sets how many messages may wait for their acknowledgement. Default 1,024.
    pub fn messages_in_flight_max(mut self, messages: usize) -> Self {
        self.messages_in_flight_max = messages;
        self
    }

    /// Sets how many bytes of messages may wait for their acknowledgement. Default 16 MiB.
    pub fn bytes_in_flight_max(mut self, bytes: usize) -> Self {
        self.bytes_in_flight_max = bytes;
        self
    }

    /// Sets how long a message is tried. Default: the client's request timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits while the destination is full, in place of reporting it. Default: it is reported.
    pub fn wait_when_full(mut self, wait: bool) -> Self {
        self.wait_when_full = wait;
        self
    }

    /// Encrypts every payload with the newest key of `keys`.
    pub fn encryption(mut self, keys: KeyRing) -> Self {
        self.encryption = Some(keys);
        self
    }

    /// Makes the producer.
    #[must_use]
    pub fn build(self) -> Producer {
        let _ = (self.messages_in_flight_max, self.bytes_in_flight_max, self.wait_when_full);
        Producer { client: self.client, destination: self.destination }
    }
}

/// Stores messages in one destination, exactly once and in order.
#[derive(Debug, Clone)]
pub struct Producer {
    client: Client,
    destination: DestinationName,
}

impl Producer {
    /// The destination.
    #[must_use]
    pub fn destination(&self) -> &DestinationName {
        &self.destination
    }

    /// Sends a message and waits until it is stored on a majority.
    ///
    /// # Errors
    /// [`Error`].
    pub fn send(&self, _message: Message) -> impl Future<Output = Result<Stored, Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// Sends a message and waits only until there is room for it in the window. The confirmation is
    /// waited for apart, or not at all.
    ///
    /// # Errors
    /// [`Error`].
    pub fn enqueue(
        &self,
        _message: Message,
    ) -> impl Future<Output = Result<Confirmation, Error>> + Send + 'static {
        std::future::ready(Err(Error::Closed))
    }

    /// Waits until every message sent before is stored or refused.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn flush(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Takes no more messages, and waits until every message sent before is stored or refused.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(&self) -> Result<(), Error> {
        let _ = &self.client;
        self.flush().await
    }
}

/// Resolves when a message is stored on a majority, or refused. Dropping it does not take the message
/// back.
#[derive(Debug)]
#[must_use = "without waiting for it nobody knows whether the message is stored"]
pub struct Confirmation(());

impl Future for Confirmation {
    type Output = Result<Stored, Error>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(Error::Closed))
    }
}
