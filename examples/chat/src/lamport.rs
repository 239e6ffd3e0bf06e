//! Lamport's logical clock.

/// Highest clock of a record. No chat gets there by counting.
pub(crate) const CLOCK_MAX: u64 = 1 << 62;

/// Up to here a server follows the clock of another one, from wherever it is itself. What is above is left for counting:
/// else a clock near [`CLOCK_MAX`] would make the next record of whoever followed it one that nobody takes.
pub(crate) const FOLLOWED_MAX: u64 = CLOCK_MAX / 2;

/// How far ahead of a server the clock of a client may be. Without it one client with a nonsensical clock would use up
/// all numbers at once, for everybody.
pub(crate) const LEAD_MAX: u64 = 1 << 32;

/// Counts events: one that can have been caused by another has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LamportClock(u64);

impl LamportClock {
    /// A clock that has come to `at`.
    pub(crate) fn new(at: u64) -> Self {
        Self(at)
    }

    /// The number of the latest event.
    pub(crate) fn now(self) -> u64 {
        self.0
    }

    /// Whether a server follows the clock of another one: up to [`FOLLOWED_MAX`], or as far above as counting leads, so
    /// that servers which were brought up to there go on to hear each other.
    pub(crate) fn follows(self, remote: u64) -> bool {
        remote <= self.0.max(FOLLOWED_MAX).saturating_add(LEAD_MAX).min(CLOCK_MAX)
    }

    /// A message was received whose sender was at `remote`: `max(local, remote) + 1`.
    pub(crate) fn receive(&mut self, remote: u64) {
        self.0 = self.0.max(remote).saturating_add(1);
    }

    /// A message is sent: `+ 1`. The number is the message's.
    pub(crate) fn send(&mut self) -> u64 {
        self.0 = self.0.saturating_add(1);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_as_lamport_says() {
        let mut clock = LamportClock::new(5);
        assert_eq!(clock.send(), 6);
        clock.receive(3);
        assert_eq!(clock.now(), 7);
        clock.receive(20);
        assert_eq!(clock.now(), 21);
        assert_eq!(clock.send(), 22);
        clock.receive(u64::MAX);
        assert_eq!(clock.send(), u64::MAX);
    }

    #[test]
    fn who_followed_as_far_as_it_may_is_followed_by_others() {
        let mut clock = LamportClock::new(0);
        let highest = FOLLOWED_MAX + LEAD_MAX;
        assert!(clock.follows(highest) && !clock.follows(highest + 1) && !clock.follows(CLOCK_MAX));
        clock.receive(highest);
        let mut other = clock;
        let next = clock.send();
        assert!(next < CLOCK_MAX && other.follows(next));
        other.receive(next);
        assert!(clock.follows(other.send()));
        assert!(!LamportClock::new(CLOCK_MAX).follows(CLOCK_MAX + 1));
    }
}
