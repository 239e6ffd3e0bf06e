//! When each message should be sent.

use std::time::Duration;

use tokio::time::Instant;

/// A schedule of even steps. The nth message belongs to its moment however late the ones before it were: who
/// measures from there does not leave out the time in which nothing could be sent ("coordinated omission").
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: Instant,
    per_second: f64,
}

impl Pace {
    pub(crate) fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second }
    }

    /// The moment of the nth message, from 0.
    pub(crate) fn moment(&self, nth: u64) -> Instant {
        self.start + Duration::from_secs_f64(nth as f64 / self.per_second)
    }

    /// Waits until it is time for the nth message, and gives its moment, which may be past.
    pub(crate) async fn reach(&self, nth: u64) -> Instant {
        let moment = self.moment(nth);
        tokio::time::sleep_until(moment).await;
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_drift() {
        let start = Instant::now();
        let pace = Pace::new(start, 3.0);
        assert_eq!(pace.moment(0), start);
        assert_eq!(pace.moment(3_000_000), start + Duration::from_secs(1_000_000));
    }
}
