//! What a rule has to say about one line.

use crate::terminal::Paint;

/// Whether the finding stops `verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Warning,
    Error,
}

/// One broken rule at one place, with the reason and the way out.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The rule's short name, as in `error[arrow]`.
    pub(crate) rule: &'static str,
    /// Relative to the root of the workspace.
    pub(crate) path: String,
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) why: &'static str,
    pub(crate) todo: String,
}

impl Finding {
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Three lines for a person; the first is one that an editor can jump to.
    pub(crate) fn show(&self, paint: Paint) -> String {
        let head = match self.severity {
            Severity::Error => paint.red(&format!("error[{}]", self.rule)),
            Severity::Warning => paint.yellow(&format!("warning[{}]", self.rule)),
        };
        let place = paint.bold(&format!("{}:{}", self.path, self.line));
        format!("{place}: {head}: {}\n    why: {}\n    do:  {}", self.what, self.why, self.todo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_place_what_why_and_what_to_do() {
        let finding = Finding {
            severity: Severity::Error,
            rule: "arrow",
            path: "crates/broker/Cargo.toml".into(),
            line: 14,
            what: "what".into(),
            why: "why",
            todo: "do".into(),
        };
        let shown = finding.show(Paint::plain());
        assert_eq!(shown, "crates/broker/Cargo.toml:14: error[arrow]: what\n    why: why\n    do:  do");
    }
}
