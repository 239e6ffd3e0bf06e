//! What the cluster tells of its work, for metrics.

use std::time::Duration;

/// Told of work as it is done. The methods are called often and must not block.
pub trait Observer: Send + Sync + 'static {
    /// A put of so many messages was answered, so long after it was submitted.
    fn put(&self, messages: u64, took: Duration);
    /// So many messages of so many bytes were handed to consumers; so many of them not for the first time.
    fn delivered(&self, messages: u64, bytes: u64, redelivered: u64);
    /// So many receipts were settled.
    fn settled(&self, receipts: u64);
    /// An entry of so many commands was put forward.
    fn proposed(&self, commands: u64, bytes: u64);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn put(&self, _messages: u64, _took: Duration) {}
    fn delivered(&self, _messages: u64, _bytes: u64, _redelivered: u64) {}
    fn settled(&self, _receipts: u64) {}
    fn proposed(&self, _commands: u64, _bytes: u64) {}
}
