//! How a worker keeps in touch with its broker.

use std::time::Duration;

use crate::error::Error;
use crate::zeromq::request_options::{SPAN_MAX, misuse, validate_pauses};

/// How a worker keeps in touch with its broker. The interval must be about that of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// How often a heartbeat is sent, and expected. Default 1 s; 1 ms to 1 h.
    pub heartbeat_interval: Duration,
    /// A broker that is silent for so many intervals is gone. Default 3; 2 to 1,000. The RFCs say 3 to 5.
    pub liveness: u32,
    /// The first pause before registering again is at most this. Default 1 s.
    pub pause_min: Duration,
    /// Pauses double up to this, until the broker says something. Each is drawn evenly between zero and its bound ("full
    /// jitter"), so that workers do not come back all at once. Default 32 s.
    pub pause_max: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(1),
            liveness: 3,
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(32),
        }
    }
}

impl WorkerOptions {
    /// How often a heartbeat is sent and expected, and after how many silent intervals the broker is gone.
    #[must_use]
    pub fn heartbeats(self, heartbeat_interval: Duration, liveness: u32) -> Self {
        Self { heartbeat_interval, liveness, ..self }
    }

    /// Bounds of the first pause before registering again and of the longest.
    #[must_use]
    pub fn pauses(self, pause_min: Duration, pause_max: Duration) -> Self {
        Self { pause_min, pause_max, ..self }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Misuse`] with the option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        if !(Duration::from_millis(1)..=SPAN_MAX).contains(&self.heartbeat_interval) {
            let value = format!("{:?}", self.heartbeat_interval);
            return Err(misuse("heartbeat_interval", value, "it is from 1 ms to 1 h"));
        }
        if !(2..=1000).contains(&self.liveness) {
            return Err(misuse("liveness", self.liveness.to_string(), "it is from 2 to 1,000"));
        }
        validate_pauses(self.pause_min, self.pause_max)
    }

    pub(crate) fn interval_ms(&self) -> u64 {
        u64::try_from(self.heartbeat_interval.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a broker may be silent.
    pub(crate) fn silence_ms(&self) -> u64 {
        self.interval_ms().saturating_mul(u64::from(self.liveness))
    }
}
