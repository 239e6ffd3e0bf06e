//! Colours.

/// Colours for one stream, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colours on a terminal that knows them, unless `NO_COLOR` is set.
    pub(crate) fn of(is_terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(is_terminal && !refused && !dumb)
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.wrap("33;1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32;1", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
