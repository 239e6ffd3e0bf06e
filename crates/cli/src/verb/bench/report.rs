//! What a measurement found.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use swarmmq::DestinationKind;

use crate::console::{Console, Table};
use crate::failure::Failure;
use crate::quantity::{show_bytes, show_count, show_latency};

/// Latencies beyond this count as this. Nothing waits longer than a request's time.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// Three digits keep a value within 0.1 % of what it was.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies, without each one being kept.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Result<Self, Failure> {
        Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, SIGNIFICANT_DIGITS)
            .map(Self)
            .map_err(|error| Failure::failed(format!("the bounds of the latencies are wrong: {error}")))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Summary {
            mean: self.0.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1000.0,
        }
    }
}

/// Latencies, in microseconds.
#[derive(Debug, Serialize)]
struct Summary {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) bench: &'static str,
    /// From what to what the latencies are.
    pub(super) latency_of: &'static str,
    pub(super) kind: DestinationKind,
    pub(super) payload_bytes: usize,
    pub(super) in_flight: u32,
    pub(super) rate: Option<f64>,
    pub(super) messages: u64,
    pub(super) redelivered: u64,
    pub(super) elapsed: Duration,
    pub(super) latencies: Latencies,
}

/// A measurement, as a program reads it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    kind: &'static str,
    payload_bytes: usize,
    in_flight: u32,
    rate: Option<f64>,
    messages: u64,
    redelivered: u64,
    elapsed_s: f64,
    messages_per_second: f64,
    megabytes_per_second: f64,
    latency_of: &'static str,
    latency_us: Summary,
}

impl From<Measured> for Report {
    fn from(measured: Measured) -> Self {
        // Nothing takes no time; a clock that says so would make the rates infinite.
        let elapsed_s = measured.elapsed.as_secs_f64().max(1e-9);
        let messages_per_second = measured.messages as f64 / elapsed_s;
        Self {
            bench: measured.bench,
            kind: if measured.kind == DestinationKind::Stream { "stream" } else { "queue" },
            payload_bytes: measured.payload_bytes,
            in_flight: measured.in_flight,
            rate: measured.rate,
            messages: measured.messages,
            redelivered: measured.redelivered,
            elapsed_s,
            messages_per_second,
            megabytes_per_second: messages_per_second * measured.payload_bytes as f64 / 1e6,
            latency_of: measured.latency_of,
            latency_us: measured.latencies.summary(),
        }
    }
}

impl Report {
    pub(super) fn print(&self, console: &Console) -> Result<(), Failure> {
        if console.is_json() {
            return console.object(self);
        }
        let mut facts = Table::facts();
        let rate = self.rate.map(|rate| format!(", {rate}/s wanted")).unwrap_or_default();
        let (size, in_flight) =
            (show_bytes(self.payload_bytes as u64), show_count(u64::from(self.in_flight)));
        facts.fact(self.bench, format!("{}, {size} each, {in_flight} in flight{rate}", self.kind));
        facts.fact("messages", format!("{} in {:.2} s", show_count(self.messages), self.elapsed_s));
        let per_second = show_count(self.messages_per_second.round() as u64);
        facts.fact("throughput", format!("{per_second} messages/s, {:.2} MB/s", self.megabytes_per_second));
        facts.fact("latency", self.latency_of);
        let latency = &self.latency_us;
        for (name, us) in [
            ("  p50", latency.p50),
            ("  p99", latency.p99),
            ("  p99.9", latency.p999),
            ("  max", latency.max),
        ] {
            facts.fact(name, show_latency(us));
        }
        if self.redelivered > 0 {
            facts.fact("redelivered", show_count(self.redelivered));
        }
        facts.print(console)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new().unwrap();
        for us in 1..=1000 {
            latencies.record(Duration::from_micros(us));
        }
        let summary = latencies.summary();
        for (actual, expected) in [(summary.p50, 500.0), (summary.p99, 990.0), (summary.max, 1000.0)] {
            assert!((actual - expected).abs() <= expected * 0.001, "{actual} is not {expected}");
        }
    }
}
