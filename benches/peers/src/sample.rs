//! What one workload on one broker yields once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies beyond this are counted as this; the longest acknowledgement any client waits for is half of it.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Three digits keep a bucket within 0.1 % of its value, far below the spread between runs.
const SIGNIFICANT_DIGITS: u8 = 3;

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Messages in the measured part.
    pub(crate) messages: u64,
    /// Length of the measured part.
    pub(crate) elapsed_s: f64,
    /// `messages / elapsed_s`.
    pub(crate) per_second: f64,
    /// Absent where a workload has no latency of its own.
    pub(crate) latency: Option<Latency>,
    /// Deliveries of a message that had been delivered before.
    pub(crate) redelivered: u64,
    /// What syncing 4 KiB cost just before the sample.
    pub(crate) disk_sync_us: f64,
}

impl Sample {
    pub(crate) fn new(messages: u64, elapsed: Duration) -> Self {
        let elapsed_s = elapsed.as_secs_f64();
        Self {
            messages,
            elapsed_s,
            per_second: messages as f64 / elapsed_s,
            latency: None,
            redelivered: 0,
            disk_sync_us: 0.0,
        }
    }

    #[must_use]
    pub(crate) fn with_latency(mut self, latencies: &Latencies) -> Self {
        self.latency = Some(latencies.summary());
        self
    }
}

/// Percentiles of one measurement, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// Collects latencies without keeping each one.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, SIGNIFICANT_DIGITS);
        Ok(Self(histogram.context("the bounds of the histogram are wrong")?))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    pub(crate) fn summary(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max() as f64 / 1_000.0,
        }
    }
}
