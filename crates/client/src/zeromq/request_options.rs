//! How long and how often a request is tried.

use std::time::Duration;

use crate::error::{Error, Misuse};

/// How long and how often a request is tried.
///
/// A request ends with a reply or a failure within [`longest`](Self::longest), but where a peer sends parts of a reply:
/// each part gives it the time of an attempt anew.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestOptions {
    /// Time for a reply to one attempt. Default 2.5 s, as in the Guide. Longer than the work takes, or work is done
    /// twice: at least 1 ms, at most an hour.
    pub timeout: Duration,
    /// Most times a request is sent, the first included. Default 3, as in the Guide; 1 to 1,000. Every attempt may be
    /// worked on: with more than one, requests must be such that doing them twice does no harm, or
    /// [deduplicated](Self::deduplicated).
    pub attempts_max: u32,
    /// The first pause between two attempts is at most this. Default 1 s.
    pub pause_min: Duration,
    /// Pauses double up to this. Each is drawn evenly between zero and its bound ("full jitter"). Default 32 s.
    pub pause_max: Duration,
    /// Whether a request has an id, by which an endpoint of SwarmMQ with the key `deduplicate` knows it again when it is
    /// sent again: it is done once, and has one reply, whole. Default no: other brokers, and SwarmMQ without that key,
    /// give the id to the worker as the first frame. Only an [`MdpClient`](super::MdpClient) can.
    pub deduplicated: bool,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(2500),
            attempts_max: 3,
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(32),
            deduplicated: false,
        }
    }
}

impl RequestOptions {
    /// Time for a reply to one attempt.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Most times a request is sent, the first included.
    #[must_use]
    pub fn attempts(self, attempts_max: u32) -> Self {
        Self { attempts_max, ..self }
    }

    /// Bounds of the first pause and of the longest.
    #[must_use]
    pub fn pauses(self, pause_min: Duration, pause_max: Duration) -> Self {
        Self { pause_min, pause_max, ..self }
    }

    /// Whether a request has an id, so that it is not done twice.
    #[must_use]
    pub fn deduplicated(self, deduplicated: bool) -> Self {
        Self { deduplicated, ..self }
    }

    /// The longest that a request without partial replies can take.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let mut total = self.timeout.saturating_mul(self.attempts_max);
        let mut bound = self.pause_min.min(self.pause_max);
        for _ in 1..self.attempts_max.min(ATTEMPTS_MAX) {
            total = total.saturating_add(bound);
            bound = bound.saturating_mul(2).min(self.pause_max);
        }
        total
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Misuse`] with the option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        if !(Duration::from_millis(1)..=SPAN_MAX).contains(&self.timeout) {
            return Err(misuse("timeout", format!("{:?}", self.timeout), "it is from 1 ms to 1 h"));
        }
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts_max) {
            return Err(misuse("attempts_max", self.attempts_max.to_string(), "it is from 1 to 1,000"));
        }
        validate_pauses(self.pause_min, self.pause_max)
    }

    /// Checks the ranges, and that requests have no ids, for a client that cannot write them.
    pub(crate) fn validate_without_ids(&self) -> Result<(), Error> {
        if self.deduplicated {
            return Err(misuse("deduplicated", "true".into(), "only an MdpClient writes ids"));
        }
        self.validate()
    }

    pub(crate) fn timeout_ms(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Most attempts that can be asked for.
const ATTEMPTS_MAX: u32 = 1000;
/// Longest time that can be asked for, anywhere in this module.
pub(crate) const SPAN_MAX: Duration = Duration::from_secs(3600);

pub(crate) fn validate_pauses(min: Duration, max: Duration) -> Result<(), Error> {
    if min > max {
        return Err(misuse("pause_min", format!("{min:?}"), "it is not longer than pause_max"));
    }
    if max > SPAN_MAX {
        return Err(misuse("pause_max", format!("{max:?}"), "it is at most 1 h"));
    }
    Ok(())
}

pub(crate) fn misuse(option: &'static str, value: String, reason: &'static str) -> Error {
    Misuse::Option { option, value, reason }.into()
}
