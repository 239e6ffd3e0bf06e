//! When a lease is to be renewed. Pure: times and chance come in as arguments.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::backoff::Backoff;

/// Longest time for one attempt, and longest pause behind one that failed.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The timing of one lease.
///
/// A third of the lease is left to each of: waiting, an attempt that fails, and the ones after it. So one lost attempt
/// never loses the lease.
#[derive(Debug)]
pub(super) struct LeaseClock {
    ttl: Duration,
    due: Instant,
    held_until: Option<Instant>,
    backoff: Backoff,
}

impl LeaseClock {
    /// A lease that is not held, and is due at once.
    pub(super) fn new(now: Instant, ttl: Duration) -> Self {
        let pause_max = (ttl / 6).min(ATTEMPT_MAX);
        let pause_min = (ttl / 60).min(pause_max);
        Self { ttl, due: now, held_until: None, backoff: Backoff::new(pause_min, pause_max) }
    }

    /// When to announce next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// How long one attempt may take.
    pub(super) fn attempt_limit(&self) -> Duration {
        (self.ttl / 3).min(ATTEMPT_MAX)
    }

    /// Whether the registry certainly still has the lease.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// An announcement that was sent at `sent` has been answered. The lease began no earlier than that.
    pub(super) fn handle_announced(&mut self, sent: Instant) {
        self.held_until = Some(sent + self.ttl);
        self.due = sent + self.ttl / 3;
        self.backoff.reset();
    }

    /// An announcement has failed.
    pub(super) fn handle_failed(&mut self, now: Instant, chance: &mut impl Rng) {
        self.due = now + self.backoff.next_delay_drawn_by(chance);
    }

    /// What is to be announced has changed: it is due at once.
    pub(super) fn handle_changed(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// What becomes of an attempt: how long it takes, as a part of what it may, and whether it is answered.
    fn attempt() -> impl Strategy<Value = (f64, bool)> {
        (0.0..=1.0, prop::bool::weighted(0.7))
    }

    proptest! {
        /// Whatever the times and whatever fails: one failure after a success never loses the lease, and a registry
        /// that is back is found within a pause.
        #[test]
        fn one_lost_attempt_never_loses_the_lease(
            ttl_ms in 100_u64..120_000, attempts in proptest::collection::vec(attempt(), 1..60), seed in any::<u64>(),
        ) {
            let ttl = Duration::from_millis(ttl_ms);
            let mut now = Instant::now();
            let mut chance = StdRng::seed_from_u64(seed);
            let mut clock = LeaseClock::new(now, ttl);
            prop_assert_eq!(clock.due(), now);
            let (mut failures, mut was_held) = (0, false);
            for (takes, is_answered) in attempts {
                prop_assert!(clock.due() <= now + ttl / 3, "it never waits for longer than a third");
                now = now.max(clock.due());
                if failures <= 1 && was_held {
                    prop_assert!(clock.is_held(now), "{failures} failures at {ttl:?}");
                }
                let sent = now;
                now += clock.attempt_limit().mul_f64(takes);
                if is_answered {
                    clock.handle_announced(sent);
                    prop_assert!(clock.is_held(now));
                    (failures, was_held) = (0, true);
                } else {
                    clock.handle_failed(now, &mut chance);
                    failures += 1;
                    prop_assert!(clock.due() <= now + ttl / 6);
                }
            }
        }
    }

    #[test]
    fn what_has_changed_is_told_at_once() {
        let now = Instant::now();
        let mut clock = LeaseClock::new(now, Duration::from_secs(60));
        clock.handle_announced(now);
        assert_eq!(clock.due(), now + Duration::from_secs(20));
        clock.handle_changed(now + Duration::from_secs(1));
        assert_eq!(clock.due(), now + Duration::from_secs(1));
        assert!(!clock.is_held(now + Duration::from_secs(60)));
    }
}
