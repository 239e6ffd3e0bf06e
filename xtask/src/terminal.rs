//! What a recipe prints: colours where a person looks, plain text where a log is kept.

use std::io::IsTerminal;

/// Colours for one stream, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours when standard error is a terminal and `NO_COLOR` is not set.
    pub(crate) fn for_terminal() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { on: std::io::stderr().is_terminal() && !refused }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { on: false }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33;1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32;1", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
