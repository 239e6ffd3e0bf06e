//! How a producer is made.

use std::time::Duration;

use swarmmq_protocol::DestinationName;

use crate::client::Client;
use crate::encryption::KeyRing;
use crate::producer::Producer;
use crate::producer::core::Core;
use crate::producer::line::Limits;

/// How a producer works. Made by [`Client::producer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    destination: DestinationName,
    limits: Limits,
    encryption: Option<KeyRing>,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, destination: DestinationName) -> Self {
        let limits = Limits {
            messages_max: 1024,
            bytes_max: 16 * 1024 * 1024,
            timeout: client.request_timeout(),
            answer_timeout: client.request_timeout(),
            wait_when_full: false,
        };
        Self { client, destination, limits, encryption: None }
    }

    /// Sets how many messages may wait for their acknowledgement, at least 1. Default 1,024. What a
    /// node takes to sync one batch, the others use to gather the next.
    pub fn messages_in_flight_max(mut self, messages: usize) -> Self {
        self.limits.messages_max = messages.max(1);
        self
    }

    /// Sets how many bytes of messages may wait for their acknowledgement. Default 16 MiB. A single
    /// message may be larger.
    pub fn bytes_in_flight_max(mut self, bytes: usize) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// Sets how long a message is tried, from the call on, at least 1 ms. Default: the client's request
    /// timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Waits while the destination is full, up to the timeout, in place of reporting it. Default: it is
    /// reported.
    pub fn wait_when_full(mut self, wait: bool) -> Self {
        self.limits.wait_when_full = wait;
        self
    }

    /// Encrypts every payload with the newest key of `keys`.
    pub fn encryption(mut self, keys: KeyRing) -> Self {
        self.encryption = Some(keys);
        self
    }

    /// Makes the producer. Nothing is sent before the first message.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn build(self) -> Producer {
        let core = Core::new(self.destination, self.limits, &self.client.shared);
        Producer::new(self.client, core, self.encryption)
    }
}
