//! How much a Titanic keeps, and for how long.

use swarmmq_protocol::limits::MESSAGE_BYTES_DEFAULT;

/// Milliseconds of a week.
const WEEK_MS: u64 = 7 * 24 * 3_600_000;

/// What a record has beside the frames of a message: a length for each of them, and what says whose they are.
const RECORD_BYTES: usize = 8 * 1024;

/// The limits of stored requests, beside those of the [pool](crate::exchange::PoolLimits). Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitanicLimits {
    /// Most bytes of a request, and of a reply with all its parts, all frames together. Default 1 MiB. A larger request
    /// is answered 400, and a larger reply ends its request.
    pub message_bytes_max: usize,
    /// Most requests that are not closed, answered or not. Default 100,000. Further ones are answered 500.
    pub requests_max: usize,
    /// Most bytes of requests without a reply, each counted for its record and 256 bytes more. Default 128 MiB. Further
    /// requests are answered 500.
    pub request_bytes_max: usize,
    /// Bytes of replies that are not closed, counted as requests are, from which on no further request is given to a
    /// worker. Default 128 MiB. The replies to those that workers have by then come on top.
    pub reply_bytes_max: usize,
    /// Most requests of one service that are given to its workers, or wait for them beside those of other clients.
    /// Default 1,000.
    pub working_max: usize,
    /// How long a request may be without a reply. Default a week: long enough for workers that come back after a long
    /// weekend. At least 1.
    pub request_ttl_ms: u64,
    /// How long a reply is kept that nobody closes. Default a week, as a client may be away as long as a worker. At
    /// least 1.
    pub reply_ttl_ms: u64,
    /// How long a worker may have a request until it is given out again although the worker is not known to be dead.
    /// Default an hour. At least 1.
    pub work_ms: u64,
}

impl Default for TitanicLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            requests_max: 100_000,
            request_bytes_max: 128 << 20,
            reply_bytes_max: 128 << 20,
            working_max: 1000,
            request_ttl_ms: WEEK_MS,
            reply_ttl_ms: WEEK_MS,
            work_ms: 3_600_000,
        }
    }
}

impl TitanicLimits {
    /// How large a message the queue has to take.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.message_bytes_max.saturating_add(RECORD_BYTES)
    }
}
