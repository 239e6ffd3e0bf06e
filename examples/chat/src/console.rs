//! What a person sees: a line for each thing that happened, with who says it.

use std::io::{self, IsTerminal, Write};

/// Writes lines to standard output, with colours if that is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    name: String,
    colours: bool,
}

impl Console {
    /// A console whose lines begin with `[name]`.
    pub(crate) fn new(name: &str) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { name: printable(name), colours: io::stdout().is_terminal() && !refused }
    }

    /// Says something.
    pub(crate) fn say(&self, text: &str) {
        self.write("36", text);
    }

    /// Says that something is wrong.
    pub(crate) fn warn(&self, text: &str) {
        self.write("33;1", text);
    }

    /// Who cannot write to standard output has nobody who reads it: nothing else is worse for it.
    fn write(&self, colour: &str, text: &str) {
        let (name, text) = (&self.name, printable(text));
        let line = if self.colours {
            format!("\u{1b}[{colour}m[{name}]\u{1b}[0m {text}\n")
        } else {
            format!("[{name}] {text}\n")
        };
        let mut out = io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// A text as it may be shown: others wrote it, and a terminal obeys what stands in it.
pub(crate) fn printable(text: &str) -> String {
    let show = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(printable("olá\u{1b}[2J\n\u{9b}x"), "olá\u{fffd}[2J\u{fffd}\u{fffd}x");
    }
}
