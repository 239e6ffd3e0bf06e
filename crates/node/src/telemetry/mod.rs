//! Logs and metrics, and the stable codes that both use.
//!
//! - [`metrics`]: counters, gauges and histograms; handles are obtained once, so that a request pays for an atomic
//!   addition and nothing else. Rendered as Prometheus text.
//! - [`logs`]: text on a terminal, JSON elsewhere; the level changes at run time.
//! - [`OperatorCode`]: what an operator looks up in `docs/errors.md`.

mod code;
pub(crate) mod level;
pub mod logs;
pub mod metrics;
mod startup;

pub use code::OperatorCode;
pub use level::{LEVEL_BYTES_MAX, LevelError, LogLevel};
pub use startup::{banner, log_startup};

#[cfg(test)]
mod documentation;
