//! What the node counts, and how it is read.
//!
//! [`Metrics`] is made once for each node and shared; there is no global recorder, so that two nodes in one process do
//! not count into each other. Everything countable is there from the start with the value 0, and the
//! number of series is bounded: listeners by the configuration, destinations by `telemetry.max_destinations`, the rest
//! by the enums in the labels.
//!
//! Counters and gauges are those of `metrics-exporter-prometheus`. Histograms are our own: the exporter's keep every
//! sample with its time (24 bytes, and a look at the clock) until somebody scrapes, which at a million messages a second
//! is 24 MB a second; ours are a fixed row of atomic counters.

mod definitions;
mod destinations;
mod exposition;
mod histogram;
mod journal;
mod listener;
mod node;
mod process;
mod requests;

pub use definitions::{Definition, Kind, names};
pub use destinations::OTHER;
pub use exposition::Exposition;
pub use histogram::Histogram;
pub use journal::JournalMetrics;
pub use listener::{DropReason, HandshakeFailure, ListenerMetrics, OpenConnection};
pub use node::{Metrics, NodeSample};
pub use requests::{DeliveryMetrics, PutMetrics, RequestMetrics, SettlementMetrics};

#[cfg(test)]
pub(crate) mod strict;
#[cfg(test)]
mod tests;
