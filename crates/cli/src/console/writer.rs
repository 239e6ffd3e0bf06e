//! The one place that writes.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::{Paint, Progress, printable};
use crate::failure::Failure;

/// Where a verb writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    /// For standard output.
    pub(crate) paint: Paint,
    paint_error: Paint,
}

impl Console {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            json,
            quiet,
            paint: Paint::of(io::stdout().is_terminal()),
            paint_error: Paint::of(io::stderr().is_terminal()),
        }
    }

    /// Whether a program reads the results.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at standard output as it is written.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes one line of a result for a person.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.as_ref())?;
        Ok(out.flush()?)
    }

    /// Writes one object of a result for a program.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        write_object(&mut out, value)?;
        Ok(out.flush()?)
    }

    /// Writes what was done: a sentence for a person, an object for a program.
    pub(crate) fn done(&self, sentence: impl AsRef<str>, value: &impl Serialize) -> Result<(), Failure> {
        if self.json { self.object(value) } else { self.line(sentence) }
    }

    /// Says at the end what was done, to a person.
    pub(crate) fn summary(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        if self.json || self.quiet { Ok(()) } else { self.line(text) }
    }

    /// Says something beside the results, to a person. Nobody is told when that fails.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.json && !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
        }
    }

    /// Says what a person must hear of.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let _ = if self.json {
            let warning = serde_json::json!({ "warning": text.as_ref() });
            writeln!(io::stderr().lock(), "{warning}")
        } else {
            let label = self.paint_error.warning("warning:");
            writeln!(io::stderr().lock(), "{label} {}", text.as_ref())
        };
    }

    /// Says why the program ends.
    pub(crate) fn fail(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let mut err = io::stderr().lock();
        let _ = if self.json {
            let report = serde_json::json!({ "error": {
                "code": failure.code,
                "message": failure.message,
                "hint": failure.hint,
                "exit_code": failure.exit as u8,
            }});
            writeln!(err, "{report}")
        } else {
            let code = failure.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
            let label = self.paint_error.error("error:");
            let _ = writeln!(err, "{label} {}{code}", printable(failure.message.as_bytes(), true));
            match &failure.hint {
                Some(hint) => writeln!(err, "{} {hint}", self.paint_error.dim(" hint:")),
                None => Ok(()),
            }
        };
    }

    /// Progress of long work, shown only to a person who looks.
    pub(crate) fn progress(&self, total: Option<u64>) -> Progress {
        let shown = !self.json && !self.quiet && io::stderr().is_terminal();
        if shown { Progress::shown(total) } else { Progress::hidden() }
    }
}

/// Writes `value` as one line.
pub(crate) fn write_object(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(|error| {
        // Only the writer can fail: our values are all representable.
        io::Error::new(error.io_error_kind().unwrap_or(io::ErrorKind::Other), error)
    })?;
    out.write_all(b"\n")
}
