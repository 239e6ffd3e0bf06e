//! A histogram that costs two atomic additions a record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of durations, in tenths of a microsecond: 50 µs to 10 s. A sync takes 0.1 to 10 ms, the promise for a
/// message is 50 ms, and the last ones tell slow from stuck.
const DURATION_BOUNDS: &[u64] = &[
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
];

/// Upper bounds of counts.
const COUNT_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536];

/// Tenths of a microsecond in a second. Nanoseconds would let the sum of all durations wrap around within a year.
const TICKS_PER_SECOND: f64 = 1e7;

/// Counts by size. Shared and written from any thread; never blocks, never allocates.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    per_unit: f64,
    /// One more than the bounds: the last one has no bound.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram of durations.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(DURATION_BOUNDS, TICKS_PER_SECOND)
    }

    /// A histogram of counts.
    #[must_use]
    pub fn of_counts() -> Self {
        Self::new(COUNT_BOUNDS, 1.0)
    }

    fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, per_unit, counts, sum: AtomicU64::new(0) }
    }

    /// Records a duration once.
    pub fn record(&self, duration: Duration) {
        self.record_many(duration, 1);
    }

    /// Records a duration for each of `times` things that took as long, as the messages of one batch.
    pub fn record_many(&self, duration: Duration, times: u64) {
        self.add(u64::try_from(duration.as_nanos() / 100).unwrap_or(u64::MAX), times);
    }

    /// Records a count.
    pub fn record_count(&self, count: u64) {
        self.add(count, 1);
    }

    fn add(&self, value: u64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        self.sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    /// Each bound with the number of records up to it; the last bound is infinite.
    pub(crate) fn cumulative(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.per_unit);
        let mut total = 0;
        let up_to = self.counts.iter().map(|count| {
            total += count.load(Ordering::Relaxed);
            total
        });
        bounds.chain([f64::INFINITY]).zip(up_to).collect()
    }

    /// The sum of everything recorded, in seconds or things.
    pub(crate) fn sum(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64 / self.per_unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_counts_below_it() {
        let histogram = Histogram::of_durations();
        histogram.record(Duration::from_micros(50));
        histogram.record_many(Duration::from_micros(51), 3);
        histogram.record(Duration::from_secs(60));
        let counts = histogram.cumulative();
        assert_eq!(counts[0], (0.00005, 1));
        assert_eq!(counts[1], (0.0001, 4));
        assert_eq!(counts[counts.len() - 2], (10.0, 4));
        assert_eq!(counts[counts.len() - 1], (f64::INFINITY, 5));
        assert!((histogram.sum() - 60.000_203).abs() < 1e-9, "{}", histogram.sum());
    }
}
