//! A subscriber that is too slow ends itself: the Guide's Suicidal Snail.

use std::time::Duration;

/// How a publisher writes when a message was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimestampFormat {
    /// Eight bytes, the most significant first: milliseconds since 1970 (UTC).
    #[default]
    BinaryMillis,
    /// Decimal digits: milliseconds since 1970 (UTC), as the Guide's example in C.
    TextMillis,
    /// A decimal number: seconds since 1970 (UTC), as the Guide's example in Python.
    TextSeconds,
}

impl TimestampFormat {
    /// Reads a frame as milliseconds; `None` where it is not of this format.
    #[must_use]
    pub fn read(self, frame: &[u8]) -> Option<u64> {
        match self {
            Self::BinaryMillis => Some(u64::from_be_bytes(frame.try_into().ok()?)),
            Self::TextMillis => std::str::from_utf8(frame).ok()?.parse().ok(),
            Self::TextSeconds => {
                let seconds: f64 = std::str::from_utf8(frame).ok()?.parse().ok()?;
                let micros = Duration::try_from_secs_f64(seconds).ok()?.as_micros();
                u64::try_from((micros + 500) / 1000).ok()
            }
        }
    }
}

/// Messages are older than they may be: the subscriber cannot keep up, or the clocks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message is {age_ms} ms old, more than {limit_ms} ms: the subscriber cannot keep up")]
pub struct TooOld {
    /// How old the first one was.
    pub age_ms: u64,
    /// How old one may be.
    pub limit_ms: u64,
}

/// Judges the ages of messages. The first that is too old is the end.
#[derive(Debug)]
pub(crate) struct Snail {
    limit_ms: u64,
    end: Option<TooOld>,
}

impl Snail {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), end: None }
    }

    /// Whether it has ended.
    pub(crate) fn check(&self) -> Result<(), TooOld> {
        self.end.map_or(Ok(()), Err)
    }

    /// Judges a message made at `made_ms`, where it is `wall_ms` now. One from the future is new: clocks differ.
    pub(crate) fn handle_message(&mut self, wall_ms: u64, made_ms: u64) -> Result<(), TooOld> {
        self.check()?;
        let age_ms = wall_ms.saturating_sub(made_ms);
        if age_ms > self.limit_ms {
            self.end = Some(TooOld { age_ms, limit_ms: self.limit_ms });
        }
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps_are_read_in_their_format_alone() {
        use TimestampFormat::{BinaryMillis, TextMillis, TextSeconds};
        let made_ms = 1_700_000_000_123_u64;
        assert_eq!(BinaryMillis.read(&made_ms.to_be_bytes()), Some(made_ms));
        assert_eq!(TextMillis.read(b"1700000000123"), Some(made_ms));
        assert_eq!(TextSeconds.read(b"1700000000.123"), Some(made_ms));
        for (format, frame) in [
            (BinaryMillis, &b"1700000000123"[..]),
            (BinaryMillis, b""),
            (TextMillis, b"1700000000.123"),
            (TextMillis, b"-1"),
            (TextMillis, b"99999999999999999999999"),
            (TextSeconds, b"nan"),
            (TextSeconds, b"inf"),
            (TextSeconds, b"-1.5"),
            (TextSeconds, b"1e300"),
            (TextSeconds, b"\xff"),
        ] {
            assert_eq!(format.read(frame), None, "{format:?} {frame:?}");
        }
    }

    #[test]
    fn a_message_may_be_as_old_as_the_limit_and_no_older() {
        let mut snail = Snail::new(Duration::from_millis(1000));
        assert_eq!(snail.handle_message(5000, 4000), Ok(()));
        assert_eq!(snail.handle_message(5000, 3999), Err(TooOld { age_ms: 1001, limit_ms: 1000 }));
    }

    proptest! {
        #[test]
        fn the_first_message_that_is_too_old_ends_it_and_none_before(
            messages in proptest::collection::vec((0_u64..5000, 0_u64..5000), 1..30), limit_ms in 0_u64..3000,
        ) {
            let mut snail = Snail::new(Duration::from_millis(limit_ms));
            let mut end = None;
            for (wall_ms, made_ms) in messages {
                let age_ms = wall_ms.saturating_sub(made_ms);
                if age_ms > limit_ms {
                    end = end.or(Some(TooOld { age_ms, limit_ms }));
                }
                prop_assert_eq!(snail.handle_message(wall_ms, made_ms).err(), end);
                prop_assert_eq!(snail.check().err(), end);
            }
        }
    }
}
