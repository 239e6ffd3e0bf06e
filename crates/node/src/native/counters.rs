//! What the native listener counts.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::telemetry::OperatorCode;
use crate::telemetry::metrics::{HandshakeFailure, ListenerMetrics, Metrics};
use crate::throttle::Throttle;

/// What the native listener counts beside the node's metrics: finer reasons, for logs and tests.
///
/// Reasons are a fixed set of labels; nothing that a peer sends becomes one.
#[derive(Debug)]
pub struct NativeCounters {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener: Arc<ListenerMetrics>,
    accept_errors: AtomicU64,
    accept_throttle: Throttle,
    refused: Mutex<BTreeMap<&'static str, Reason>>,
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Default)]
struct Reason {
    count: u64,
    throttle: Throttle,
}

impl NativeCounters {
    /// Counts into `metrics` too.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            listener: metrics.listener("native"),
            metrics,
            accept_errors: AtomicU64::new(0),
            accept_throttle: Throttle::default(),
            refused: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Times that `accept` failed, as without file descriptors left.
    #[must_use]
    pub fn accept_errors_total(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Connections closed before they were welcome, for a reason.
    #[must_use]
    pub fn refused_total(&self, reason: &str) -> u64 {
        self.refused.lock().get(reason).map_or(0, |reason| reason.count)
    }

    /// Sessions that ended, for a reason.
    #[must_use]
    pub fn ended_total(&self, reason: &str) -> u64 {
        self.ended.lock().get(reason).copied().unwrap_or(0)
    }

    /// Counts and logs that `accept` failed.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(silent) = self.accept_throttle.admits(tokio::time::Instant::now()) {
            tracing::error!(
                code = %OperatorCode::AcceptFailed,
                silent,
                "connections cannot be accepted now: {error} (if it is the number of open files, raise the limit)"
            );
        }
    }

    /// Counts a connection that is not let in. Says whether to log it, and how many were not before it.
    pub(crate) fn refused(&self, reason: &'static str) -> Option<u64> {
        self.listener.handshake_failed(failure(reason));
        let mut refused = self.refused.lock();
        let entry = refused.entry(reason).or_default();
        entry.count += 1;
        entry.throttle.admits(tokio::time::Instant::now())
    }

    /// Counts a session that has ended.
    pub(crate) fn ended(&self, reason: &'static str) {
        *self.ended.lock().entry(reason).or_default() += 1;
    }
}

fn failure(reason: &str) -> HandshakeFailure {
    match reason {
        "limit" | "evicted" => HandshakeFailure::Limit,
        "handshake_timeout" => HandshakeFailure::Timeout,
        "tls_handshake" => HandshakeFailure::Tls,
        "unauthenticated" => HandshakeFailure::Unauthenticated,
        "left" | "io" | "stopping" => HandshakeFailure::Closed,
        _ => HandshakeFailure::Protocol,
    }
}

/// The operator's code for a reason.
pub(crate) fn code(reason: &str) -> OperatorCode {
    match failure(reason) {
        HandshakeFailure::Limit => OperatorCode::ConnectionsAtLimit,
        HandshakeFailure::Timeout => OperatorCode::HandshakeTimeout,
        HandshakeFailure::Tls | HandshakeFailure::Unauthenticated => OperatorCode::PeerRefused,
        _ => OperatorCode::PeerMisbehaved,
    }
}
