//! Figures that are told while it runs, and at the end: events a second, and how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::Instant;

/// How often figures are told.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Longest latency that is told apart from longer ones, microseconds: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Counts and latencies, of an interval and of all the time.
pub(crate) struct Figures {
    what: &'static str,
    json: bool,
    all: Period,
    recent: Period,
}

struct Period {
    began: Instant,
    events: u64,
    bytes: u64,
    latencies: Histogram<u64>,
}

impl Period {
    fn new() -> anyhow::Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Self { began: Instant::now(), events: 0, bytes: 0, latencies })
    }

    fn add(&mut self, bytes: usize, latency_us: u64) {
        self.events += 1;
        self.bytes += bytes as u64;
        self.latencies.saturating_record(latency_us.max(1));
    }

    fn clear(&mut self) {
        (self.began, self.events, self.bytes) = (Instant::now(), 0, 0);
        self.latencies.reset();
    }
}

impl Figures {
    /// `what` says what is counted, as `sent`.
    pub(crate) fn new(what: &'static str, json: bool) -> anyhow::Result<Self> {
        Ok(Self { what, json, all: Period::new()?, recent: Period::new()? })
    }

    pub(crate) fn add(&mut self, bytes: usize, latency_us: u64) {
        self.all.add(bytes, latency_us);
        self.recent.add(bytes, latency_us);
    }

    pub(crate) fn events(&self) -> u64 {
        self.all.events
    }

    /// Tells the figures since they were told last.
    pub(crate) fn tell(&mut self) {
        self.print("interval", &self.recent);
        self.recent.clear();
    }

    /// Tells the figures of all the time.
    pub(crate) fn tell_all(&self) {
        self.print("total", &self.all);
    }

    fn print(&self, period: &str, of: &Period) {
        let seconds = of.began.elapsed().as_secs_f64().max(1e-9);
        let rate = of.events as f64 / seconds;
        let ms = |quantile: f64| of.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let (p50, p99) = if of.events == 0 { (0.0, 0.0) } else { (ms(0.5), ms(0.99)) };
        if self.json {
            let figures = json!({
                "figures": period, "what": self.what, "events": of.events, "bytes": of.bytes,
                "seconds": seconds, "events_per_second": rate, "p50_ms": p50, "p99_ms": p99,
            });
            println!("{figures}");
        } else {
            let (what, events, bytes) = (self.what, of.events, of.bytes);
            println!(
                "{period}: {events} {what} ({bytes} bytes) in {seconds:.1} s: {rate:.1} messages/s, latency p50 {p50:.2} ms, p99 {p99:.2} ms"
            );
        }
    }
}
