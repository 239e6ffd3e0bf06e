//! The library against a node made for tests, which speaks real frames over real TCP and misbehaves as
//! it is told.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test program a broken expectation is a failure"
)]

mod admin;
mod connection;
mod consumer;
mod encryption;
mod node;
mod producer;
mod specification;
mod tls;

use std::future::Future;
use std::time::Duration;

use swarmmq::{Client, ClientOptions, DestinationName, Message};

/// How long a test waits for something that must happen. It is only ever reached by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

/// Options with pauses that suit a test.
pub(crate) fn options(node: &node::Node) -> ClientOptions {
    Client::builder()
        .address(node.address())
        .reconnect_delay(Duration::from_millis(2), Duration::from_millis(20))
        .request_timeout(PATIENCE)
}

pub(crate) async fn connect(node: &node::Node) -> Client {
    soon("a connection", options(node).connect()).await.unwrap()
}

/// A message that says which it is.
pub(crate) fn numbered(number: u64) -> Message {
    Message::new(number.to_string())
}

pub(crate) fn number_of(message: &Message) -> u64 {
    std::str::from_utf8(&message.payload).unwrap().parse().unwrap()
}
