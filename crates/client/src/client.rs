//! The client: one connection, and what is made from it.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_protocol::native::Welcome;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::consumer::{ConsumerBuilder, Delivered};
use crate::error::Error;
use crate::options::ClientOptions;
use crate::producer::ProducerBuilder;

/// A connection to a cluster. Cheap to clone; all clones are the same connection.
///
/// The connection comes back by itself, for as long as the client is not closed. When the last clone
/// and all producers and consumers made from it are dropped, it is closed.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<ClientOptions>,
}

/// What a client has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections made, the first included.
    pub connections: u64,
    /// Attempts to connect that failed.
    pub failed_attempts: u64,
    /// Settlements that nobody waited for and that did not take effect.
    pub failed_settlements: u64,
}

impl Client {
    /// The options to connect with.
    #[must_use]
    pub fn builder() -> ClientOptions {
        ClientOptions::default()
    }

    /// Connects to the node at `address` (`host:port`) with default options.
    ///
    /// # Errors
    /// As [`ClientOptions::connect`].
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        Self::connect_with(ClientOptions::default().address(address)).await
    }

    /// Connects with `options`.
    ///
    /// # Errors
    /// As [`ClientOptions::connect`].
    pub async fn connect_with(options: ClientOptions) -> Result<Self, Error> {
        options.validate()?;
        let client = Self { options: Arc::new(options) };
        let _ = client.options.connect_timeout;
        Err(Error::Closed)
    }

    /// What the node said of itself when it welcomed the client, or `None` while there is no
    /// connection.
    #[must_use]
    pub fn welcome(&self) -> Option<Welcome> {
        None
    }

    /// What the client has counted.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// A producer for `destination`.
    #[must_use]
    pub fn producer(&self, destination: &DestinationName) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), destination.clone())
    }

    /// A consumer of `destination`.
    #[must_use]
    pub fn consumer(&self, destination: &DestinationName) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), destination.clone())
    }

    /// Leases up to `messages_max` messages once, and waits for the first for at most `wait`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pull(
        &self,
        _destination: &DestinationName,
        _group: &GroupName,
        _messages_max: u32,
        _wait: Duration,
    ) -> Result<Vec<Delivered>, Error> {
        Err(Error::Closed)
    }

    /// Closes the connection. What waits for an answer is told that the client is closed.
    pub async fn close(&self) {}
}
