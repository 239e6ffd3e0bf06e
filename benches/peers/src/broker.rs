//! What a broker must offer to be measured: the seam between the workloads and the clients.
//!
//! The workloads are written once, over these traits, and compiled for each client. So every contender is
//! driven by the same loop and read by the same clock, and a difference in a row is a difference between
//! the brokers and their clients, not between two benchmarks.

use std::future::Future;

use anyhow::Result;
use bytes::Bytes;

/// A connection to a running broker, through its own client library.
pub(crate) trait Broker: Send + Sync + 'static {
    /// The sending half.
    type Producer: Producer;
    /// The receiving half.
    type Consumer: Consumer;

    /// Makes an empty, durable destination.
    fn create(&self, name: &str, retention: Retention) -> impl Future<Output = Result<()>> + Send;

    /// Opens a producer on a destination that exists.
    fn producer(&self, name: &str) -> impl Future<Output = Result<Self::Producer>> + Send;

    /// Opens a durable consumer that starts at the first message and acknowledges each one by itself.
    fn consumer(&self, name: &str) -> impl Future<Output = Result<Self::Consumer>> + Send;
}

/// What becomes of a message once it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retention {
    /// It stays: the destination is a log with cursors.
    Stream,
    /// It goes: the destination is a work queue.
    Queue,
}

/// Puts messages on one destination over one connection.
pub(crate) trait Producer: Send + Sync + 'static {
    /// Resolves when the broker has acknowledged the message as stored.
    type Acknowledgement: Future<Output = Result<()>> + Send + 'static;

    /// Hands one message to the client.
    ///
    /// The outer future resolves when the client has taken the message, so that many can be in flight; it
    /// waits only when the client pushes back. A client whose send is lazy must be made to start here.
    fn send(&self, payload: Bytes) -> impl Future<Output = Result<Self::Acknowledgement>> + Send;
}

/// Takes messages from one destination over one connection.
pub(crate) trait Consumer: Send + 'static {
    /// A message that waits for its acknowledgement.
    type Delivery: Delivery;

    /// The next message; waits until there is one.
    fn next(&mut self) -> impl Future<Output = Result<Self::Delivery>> + Send;

    /// How many messages of the destination the broker has not yet seen acknowledged by this consumer.
    fn outstanding(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// A message that waits for its acknowledgement.
pub(crate) trait Delivery: Send + 'static {
    /// The message's bytes.
    fn payload(&self) -> &[u8];

    /// Sends the acknowledgement; resolves when the client has taken it.
    fn ack(self) -> impl Future<Output = Result<()>> + Send + 'static;

    /// Sends the acknowledgement; resolves when the broker has confirmed it.
    fn ack_confirmed(self) -> impl Future<Output = Result<()>> + Send + 'static;
}
