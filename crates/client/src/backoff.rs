//! Pauses between attempts.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Pauses whose bound doubles from a least to a most, each drawn evenly between zero and its bound.
///
/// The even draw ("full jitter") spreads clients that were cut off together over the whole time.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, attempts: 0 }
    }

    /// The next pause.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.next_delay_drawn_by(&mut rand::rng())
    }

    /// The next pause, by a source of chance that the caller has, so that it can be the same again.
    pub(crate) fn next_delay_drawn_by(&mut self, chance: &mut impl Rng) -> Duration {
        let bound = self.bound();
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(chance.random_range(0.0..=1.0))
    }

    /// What the next pause is at most.
    pub(crate) fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts.min(31)).unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_most_and_pauses_stay_below_them() {
        let (min, max) = (Duration::from_millis(50), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max);
        let mut bounds = Vec::new();
        for _ in 0..100 {
            let bound = backoff.bound();
            assert!(backoff.next_delay() <= bound);
            bounds.push(bound.as_millis());
        }
        assert_eq!(bounds[..9], [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(bounds[99], 5000);
        backoff.reset();
        assert_eq!(backoff.bound(), min);
    }
}
