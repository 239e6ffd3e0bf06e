//! The log level, and changing it while the node runs.

use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;

/// Most bytes of a log level.
pub const LEVEL_BYTES_MAX: usize = 1024;

/// Why a text is not a log level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// It is longer than anything that makes sense.
    #[error("a log level has at most {LEVEL_BYTES_MAX} bytes, this one has {length}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// There is nothing in it.
    #[error("a log level must not be empty")]
    Empty,
    /// A level there is not.
    #[error("there is no level {word:?}: it must be off, error, warn, info, debug or trace")]
    Level {
        /// What stands there.
        word: String,
    },
    /// A module's name with characters that none has.
    #[error("{word:?} is not the name of a module: a level of one is written as swarmmq_node=debug")]
    Module {
        /// What stands there.
        word: String,
    },
    /// The log was not set up by this program, or is gone.
    #[error("the log of this process cannot be changed")]
    Gone,
}

/// Reads `info` or `info,swarmmq_node=debug`.
///
/// Stricter than the filter's own grammar, in which a misspelt level is the name of a module that is then logged in full,
/// and in which a regular expression may stand.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, LevelError> {
    if text.len() > LEVEL_BYTES_MAX {
        return Err(LevelError::TooLong { length: text.len() });
    }
    if text.trim().is_empty() {
        return Err(LevelError::Empty);
    }
    let mut directives = Vec::new();
    for word in text.split(',').map(str::trim) {
        let (module, level) = word.split_once('=').unwrap_or(("", word));
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if word.contains('=') && (module.is_empty() || !module.chars().all(allowed)) {
            return Err(LevelError::Module { word: word.to_owned() });
        }
        let level = level.to_ascii_lowercase();
        if !["off", "error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
            return Err(LevelError::Level { word: level });
        }
        directives.push(if module.is_empty() { level } else { format!("{module}={level}") });
    }
    // What consensus says of its ordinary work, warnings at each start among it, would drown what the node says.
    let is_off = directives.iter().any(|directive| directive == "off");
    if !is_off && !directives.iter().any(|directive| directive.starts_with("openraft")) {
        directives.push("openraft=error".to_owned());
    }
    EnvFilter::builder().parse(directives.join(",")).map_err(|_| LevelError::Module { word: text.to_owned() })
}

type Reload = dyn Fn(EnvFilter) -> Result<(), LevelError> + Send + Sync;

/// A handle on the log level of the process. Clones share it.
#[derive(Clone)]
pub struct LogLevel {
    current: Arc<Mutex<String>>,
    reload: Arc<Reload>,
}

impl LogLevel {
    pub(crate) fn new(
        current: &str,
        reload: impl Fn(EnvFilter) -> Result<(), LevelError> + Send + Sync + 'static,
    ) -> Self {
        Self { current: Arc::new(Mutex::new(current.to_owned())), reload: Arc::new(reload) }
    }

    /// A level that nothing listens to, for a node whose host has set up the log itself.
    #[must_use]
    pub fn detached() -> Self {
        Self::new("off", |_| Err(LevelError::Gone))
    }

    /// The level as it was last set.
    #[must_use]
    pub fn current(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the level from now on.
    ///
    /// # Errors
    /// [`LevelError`] says what is wrong with `text`; the level stays as it was.
    pub fn set(&self, text: &str) -> Result<(), LevelError> {
        let filter = parse(text)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.reload)(filter)?;
        text.trim().clone_into(&mut current);
        Ok(())
    }
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_levels_of_modules_are_read() {
        for text in ["info", "WARN", "info,swarmmq_node=debug", "off, swarmmq_node::native=trace"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn consensus_says_no_more_than_it_is_asked_to() {
        let directives = |text: &str| parse(text).unwrap().to_string();
        for text in ["debug", "info", "error", "info,swarmmq_node=debug"] {
            assert!(directives(text).contains("openraft=error"), "{}", directives(text));
        }
        assert!(directives("info,openraft=debug").contains("openraft=debug"));
        assert_eq!(directives("off"), "off");
    }

    #[test]
    fn a_misspelt_level_is_refused_instead_of_logging_everything() {
        assert_eq!(parse("inof").err(), Some(LevelError::Level { word: "inof".into() }));
        assert_eq!(parse("a=b=c").err(), Some(LevelError::Level { word: "b=c".into() }));
        assert_eq!(parse(" ").err(), Some(LevelError::Empty));
        assert_eq!(parse("=info").err(), Some(LevelError::Module { word: "=info".into() }));
        assert!(matches!(
            parse("[{a=~\"(a+)+$\"}]=info"),
            Err(LevelError::Module { .. } | LevelError::Level { .. })
        ));
        assert_eq!(parse(&"x".repeat(2000)).err(), Some(LevelError::TooLong { length: 2000 }));
    }
}
