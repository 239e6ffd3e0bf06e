//! What is done to each broker, and how much of it.

mod consume;
mod end_to_end;
mod put;

use std::time::Duration;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::broker::{Broker, Retention};
use crate::sample::Sample;
use crate::table::thousands;

/// The destination of every workload; each sample has a broker of its own.
const DESTINATION: &str = "measured";

/// One row of the comparison.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Workload {
    /// Acknowledged puts, a fixed number of them in flight.
    Put { payload_bytes: usize, in_flight: usize },
    /// A backlog is consumed and acknowledged to its end.
    Consume { payload_bytes: usize, retention: RetentionName, confirmed: bool },
    /// A message every `1 / rate` seconds, from its intended sending to its arrival.
    EndToEnd { payload_bytes: usize, rate: u64 },
}

/// [`Retention`] as it is written to the results.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RetentionName {
    Stream,
    Queue,
}

impl From<RetentionName> for Retention {
    fn from(name: RetentionName) -> Self {
        match name {
            RetentionName::Stream => Self::Stream,
            RetentionName::Queue => Self::Queue,
        }
    }
}

/// How much of a workload makes one sample. Time bounds a slow broker, the count bounds a fast one's disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Effort {
    /// Samples of each broker in each row.
    pub(crate) rounds: usize,
    /// Run before the clock starts.
    pub(crate) warm_up: Duration,
    /// Length of a sample of puts.
    pub(crate) put: Duration,
    /// Most puts in a sample.
    pub(crate) put_messages_max: u64,
    /// Longest time spent on putting the backlog that a sample consumes.
    pub(crate) backlog: Duration,
    /// Most messages in that backlog.
    pub(crate) backlog_messages_max: u64,
    /// Length of an end-to-end sample.
    pub(crate) end_to_end: Duration,
    /// A sample that takes longer has failed.
    pub(crate) sample_max: Duration,
}

impl Effort {
    /// Enough for figures to publish.
    pub(crate) fn full(rounds: usize) -> Self {
        Self {
            rounds,
            warm_up: Duration::from_millis(500),
            put: Duration::from_secs(3),
            put_messages_max: 500_000,
            backlog: Duration::from_secs(5),
            backlog_messages_max: 200_000,
            end_to_end: Duration::from_secs(6),
            sample_max: Duration::from_secs(120),
        }
    }

    /// Enough to see that everything works, and the order of magnitude.
    pub(crate) fn quick(rounds: usize) -> Self {
        Self {
            warm_up: Duration::from_millis(200),
            put: Duration::from_millis(700),
            backlog: Duration::from_secs(1),
            backlog_messages_max: 50_000,
            end_to_end: Duration::from_secs(2),
            ..Self::full(rounds)
        }
    }
}

impl Workload {
    /// Every row, for messages of the given sizes.
    pub(crate) fn all(payload_sizes_bytes: &[usize]) -> Vec<Self> {
        let mut workloads = Vec::new();
        for &payload_bytes in payload_sizes_bytes {
            for in_flight in [1, 64, 1_024] {
                workloads.push(Self::Put { payload_bytes, in_flight });
            }
        }
        for &payload_bytes in payload_sizes_bytes {
            for (retention, confirmed) in
                [(RetentionName::Stream, false), (RetentionName::Stream, true), (RetentionName::Queue, false)]
            {
                workloads.push(Self::Consume { payload_bytes, retention, confirmed });
            }
        }
        for &payload_bytes in payload_sizes_bytes {
            workloads.push(Self::EndToEnd { payload_bytes, rate: 1_000 });
        }
        workloads
    }

    /// What the row is called.
    pub(crate) fn title(&self) -> String {
        let size = |bytes: usize| match bytes {
            1_024 => "1 KiB".to_owned(),
            bytes => format!("{bytes} B"),
        };
        let count = |number: u64| thousands(number as f64);
        match *self {
            Self::Put { payload_bytes, in_flight } => {
                format!("put {}, {} in flight", size(payload_bytes), count(in_flight as u64))
            }
            Self::Consume { payload_bytes, retention, confirmed } => {
                let from = match retention {
                    RetentionName::Stream => "stream",
                    RetentionName::Queue => "queue",
                };
                let ack = if confirmed { "confirmed ack" } else { "ack" };
                format!("{from}: consume and {ack}, {}", size(payload_bytes))
            }
            Self::EndToEnd { payload_bytes, rate } => {
                format!("end to end at {}/s, {}", count(rate), size(payload_bytes))
            }
        }
    }

    /// Whether the row is about time (less is better) and not about messages per second.
    pub(crate) fn is_latency(&self) -> bool {
        matches!(self, Self::EndToEnd { .. })
    }

    /// Does it once, to a broker that holds nothing yet.
    pub(crate) async fn run(&self, broker: &impl Broker, effort: &Effort) -> Result<Sample> {
        match *self {
            Self::Put { payload_bytes, in_flight } => {
                put::measure(broker, payload_bytes, in_flight, effort).await
            }
            Self::Consume { payload_bytes, retention, confirmed } => {
                consume::measure(broker, payload_bytes, retention.into(), confirmed, effort).await
            }
            Self::EndToEnd { payload_bytes, rate } => {
                end_to_end::measure(broker, payload_bytes, rate, effort).await
            }
        }
    }
}

/// Makes payloads that begin with their number, so that a consumer can tell what it has got.
#[derive(Debug)]
struct Payloads {
    template: Bytes,
}

impl Payloads {
    const NUMBER_BYTES: usize = size_of::<u64>();

    fn new(payload_bytes: usize) -> Self {
        // Bytes that differ: a broker that squeezes runs of zeros would be measured on something nobody sends.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let filling = payload_bytes.saturating_sub(Self::NUMBER_BYTES);
        let template = (0..filling).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        Self { template: template.collect() }
    }

    fn numbered(&self, number: u64) -> Bytes {
        let mut payload = BytesMut::with_capacity(Self::NUMBER_BYTES + self.template.len());
        payload.extend_from_slice(&number.to_be_bytes());
        payload.extend_from_slice(&self.template);
        payload.freeze()
    }

    fn number(payload: &[u8]) -> Option<u64> {
        payload.first_chunk().map(|number| u64::from_be_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_its_number() {
        let payload = Payloads::new(128).numbered(77);
        assert_eq!(payload.len(), 128);
        assert_eq!(Payloads::number(&payload), Some(77));
    }
}
