//! The ZeroMQ patterns over real sockets, against peers that are made for the tests and misbehave as they are told.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test program a broken expectation is a failure"
)]

mod node;
mod peer;
mod requests;
mod servers;
mod subscribers;
mod titanic;
mod workers;

use std::future::Future;
use std::time::Duration;

/// How long a test waits for something that must happen. It is only ever reached by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}
