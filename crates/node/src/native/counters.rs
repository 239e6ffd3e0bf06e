//! What the native listener counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use parking_lot::Mutex;

use crate::throttle::Throttle;

/// A number that only grows, and stands in the metrics too.
#[derive(Debug)]
pub(crate) struct Count {
    value: AtomicU64,
    exported: Counter,
}

impl Count {
    fn new(exported: Counter) -> Self {
        Self { value: AtomicU64::new(0), exported }
    }

    pub(crate) fn add(&self, more: u64) {
        self.value.fetch_add(more, Ordering::Relaxed);
        self.exported.increment(more);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// What the native listener counts. Reasons are a fixed set of labels.
#[derive(Debug)]
pub struct NativeCounters {
    pub(crate) accepted: Count,
    accept_errors: Count,
    accept_throttle: Throttle,
    pub(crate) requests: Count,
    pub(crate) bytes_read: Count,
    pub(crate) bytes_written: Count,
    refused: Mutex<BTreeMap<&'static str, Reason>>,
    ended: Mutex<BTreeMap<&'static str, Count>>,
}

#[derive(Debug)]
struct Reason {
    count: Count,
    throttle: Throttle,
}

impl Default for NativeCounters {
    fn default() -> Self {
        Self {
            accepted: Count::new(metrics::counter!("swarmmq_native_connections_accepted_total")),
            accept_errors: Count::new(metrics::counter!("swarmmq_native_accept_errors_total")),
            accept_throttle: Throttle::default(),
            requests: Count::new(metrics::counter!("swarmmq_native_requests_total")),
            bytes_read: Count::new(metrics::counter!("swarmmq_native_read_bytes_total")),
            bytes_written: Count::new(metrics::counter!("swarmmq_native_written_bytes_total")),
            refused: Mutex::default(),
            ended: Mutex::default(),
        }
    }
}

impl NativeCounters {
    /// Connections that `accept` gave.
    #[must_use]
    pub fn accepted_total(&self) -> u64 {
        self.accepted.get()
    }

    /// Times that `accept` failed, as without file descriptors left.
    #[must_use]
    pub fn accept_errors_total(&self) -> u64 {
        self.accept_errors.get()
    }

    /// Requests read, refused ones included.
    #[must_use]
    pub fn requests_total(&self) -> u64 {
        self.requests.get()
    }

    /// Connections closed before they were welcome, for a reason.
    #[must_use]
    pub fn refused_total(&self, reason: &str) -> u64 {
        self.refused.lock().get(reason).map_or(0, |reason| reason.count.get())
    }

    /// Sessions that ended, for a reason.
    #[must_use]
    pub fn ended_total(&self, reason: &str) -> u64 {
        self.ended.lock().get(reason).map_or(0, Count::get)
    }

    /// Counts and logs that `accept` failed.
    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        self.accept_errors.add(1);
        if self.accept_throttle.admits(tokio::time::Instant::now()).is_some() {
            tracing::error!(
                "connections cannot be accepted now: {error} (raise the limit of open files if it is that)"
            );
        }
    }

    /// Counts a connection that is not let in, and says whether to log it.
    pub(crate) fn refused(&self, reason: &'static str) -> bool {
        let mut refused = self.refused.lock();
        let entry = refused.entry(reason).or_insert_with(|| Reason {
            count: Count::new(
                metrics::counter!("swarmmq_native_connections_refused_total", "reason" => reason),
            ),
            throttle: Throttle::default(),
        });
        entry.count.add(1);
        entry.throttle.admits(tokio::time::Instant::now()).is_some()
    }

    /// Counts a session that has ended.
    pub(crate) fn ended(&self, reason: &'static str) {
        let mut ended = self.ended.lock();
        ended
            .entry(reason)
            .or_insert_with(|| {
                Count::new(metrics::counter!("swarmmq_native_sessions_ended_total", "reason" => reason))
            })
            .add(1);
    }
}
