//! `telemetry`: logs and metrics.

use super::fields::{Fields, Section};
use super::scalar::words;

/// `telemetry`: what the node tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// How log lines look. Default `auto`: text on a terminal, JSON otherwise.
    pub log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives as `info,swarmmq_node=debug`.
    /// Default `info`. It can be changed at run time; `debug` costs throughput.
    pub log_level: String,
    /// How many destinations have metrics of their own; the rest is summed under `-other`. Default 200; at most
    /// 10,000. Each costs about 10 lines of every scrape.
    pub max_destinations: u32,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_format: LogFormat::Auto, log_level: "info".to_owned(), max_destinations: 200 }
    }
}

impl Section for TelemetryConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { log_format, log_level, max_destinations } = self;
        fields.value("log_format", log_format);
        fields.value("log_level", log_level);
        fields.value("max_destinations", max_destinations);
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

words!(
    LogFormat,
    "a log format: auto, text or json",
    LogFormat::Auto = "auto",
    LogFormat::Text = "text",
    LogFormat::Json = "json",
);
