//! Logs: text on a terminal, JSON elsewhere, to standard error.
//!
//! Standard error, so that what a command prints and what it logs can be told apart. A field `code` carries the
//! [`OperatorCode`](super::OperatorCode). What peers send is logged with `?`, which escapes line breaks and
//! control characters; keys, passwords and payloads are not logged at all.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::level::{LevelError, LogLevel, parse};
use crate::config::{LogFormat, TelemetryConfig};

/// Why the log could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The level in the configuration is not one.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The process has a log already.
    #[error("the log of this process is set up already")]
    Twice,
}

/// Sets up the log of the process and gives the handle on its level. Call it once, early.
///
/// # Errors
/// [`LogError::Twice`] if somebody has set it up before.
pub fn install(config: &TelemetryConfig) -> Result<LogLevel, LogError> {
    let is_terminal = std::io::stderr().is_terminal();
    let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let is_json = is_json(config.log_format, is_terminal);
    let (subscriber, level) = subscriber(config, is_json, has_colour, std::io::stderr)?;
    subscriber.try_init().map_err(|_| LogError::Twice)?;
    Ok(level)
}

fn is_json(format: LogFormat, is_terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// A log to any writer, for [`install`] and for tests.
fn subscriber<W>(
    config: &TelemetryConfig,
    is_json: bool,
    has_colour: bool,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, LogLevel), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&config.log_level)?);
    let level =
        LogLevel::new(&config.log_level, move |filter| handle.reload(filter).map_err(|_| LevelError::Gone));
    let registry = Registry::default().with(filter);
    let subscriber: Box<dyn Subscriber + Send + Sync> = if is_json {
        Box::new(registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)))
    } else {
        Box::new(registry.with(fmt::layer().with_ansi(has_colour).with_writer(writer)))
    };
    Ok((subscriber, level))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, subscriber::with_default, warn};

    use super::*;
    use crate::telemetry::OperatorCode;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(is_json: bool) -> (Box<dyn Subscriber + Send + Sync>, LogLevel, Lines) {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, level) =
            subscriber(&TelemetryConfig::default(), is_json, false, move || writer.clone()).unwrap();
        (subscriber, level, lines)
    }

    #[test]
    fn the_level_changes_while_the_node_runs() {
        let (subscriber, level, lines) = log(false);
        with_default(subscriber, || {
            debug!("before");
            level.set("info,swarmmq_node=debug").unwrap();
            debug!("between");
            assert!(level.set("inof").is_err());
            level.set("warn").unwrap();
            info!("after");
        });
        assert_eq!(level.current(), "warn");
        let text = lines.text();
        assert!(text.contains("between") && !text.contains("before") && !text.contains("after"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_object_with_code_and_fields() {
        let (subscriber, _, lines) = log(true);
        with_default(subscriber, || {
            warn!(code = %OperatorCode::PortInUse, client = ?"evil\n{\"level\":\"INFO\"}", "cannot listen");
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["code"], "SWMQ0001");
        assert_eq!(line["message"], "cannot listen");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_text_line_stays_one_line_whatever_a_peer_sends() {
        let (subscriber, _, lines) = log(false);
        with_default(subscriber, || info!(client = ?"a\nb\u{1b}[31m", "connected"));
        assert_eq!(lines.text().lines().count(), 1);
        assert!(!lines.text().contains('\u{1b}'), "{:?}", lines.text());
    }

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert!(!is_json(LogFormat::Auto, true));
        assert!(is_json(LogFormat::Auto, false));
        assert!(is_json(LogFormat::Json, true));
        assert!(!is_json(LogFormat::Text, false));
    }
}
