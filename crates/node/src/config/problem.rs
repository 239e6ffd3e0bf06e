//! What can be wrong with a configuration, and how an operator is told.

use std::fmt;
use std::path::PathBuf;

use swarmmq_protocol::NameError;

/// Most problems of one file that are reported: after so many, reading on helps nobody.
pub const PROBLEMS_MAX: usize = 20;

/// Most characters of a value that are repeated in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// A place in a file. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The kinds of problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is not YAML, or YAML beyond the limits (nesting, aliases, documents).
    #[error("{0}")]
    Syntax(String),
    /// The file could not be read.
    #[error("cannot read {file}: {reason}", file = .file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is larger than any configuration is.
    #[error("the file has {actual} bytes, a configuration has at most {limit}")]
    FileTooLarge {
        /// Its size.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is not text.
    #[error("the file is not UTF-8 text: the byte at offset {offset} is 0x{byte:02x}")]
    NotUtf8 {
        /// Of the first wrong byte.
        offset: usize,
        /// That byte.
        byte: u8,
    },
    /// A key that this section does not have.
    #[error("unknown key {key:?}{}", hint(.suggestion.as_deref(), .known))]
    UnknownKey {
        /// As it stands in the file.
        key: String,
        /// The nearest key there is.
        suggestion: Option<String>,
        /// All keys of the section.
        known: Vec<&'static str>,
    },
    /// The same key twice in one section.
    #[error(
        "the key {key:?} stands here a second time: which of the two counts would be a guess, remove one"
    )]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the key takes, with an example.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A text that is not a value of this key.
    #[error("{text:?} is not {expected}{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Invalid {
        /// As it stands in the file, shortened.
        text: String,
        /// What the key takes, with an example.
        expected: &'static str,
        /// What exactly is wrong.
        reason: Option<String>,
    },
    /// A value that is too small or too large.
    #[error("{value} is out of range: it must be from {least} to {most}")]
    OutOfRange {
        /// The value.
        value: String,
        /// The least.
        least: String,
        /// The most.
        most: String,
    },
    /// A text that is not a name.
    #[error("{text:?} is not a name: {error}")]
    Name {
        /// The text, shortened.
        text: String,
        /// Why not.
        error: NameError,
    },
    /// A key that must be there.
    #[error("{key:?} is missing: {why}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// Two items of a list that must differ.
    #[error("{value} is used twice, first by {first}")]
    Twice {
        /// What both have.
        value: String,
        /// The path of the first one.
        first: String,
    },
    /// Values that contradict each other.
    #[error("{0}")]
    Conflict(String),
    /// The node is not one of the cluster's.
    #[error("the node {id:?} is not in cluster.nodes, which has: {}", .known.join(", "))]
    UnknownNode {
        /// The id that was asked for.
        id: String,
        /// The ids there are.
        known: Vec<String>,
    },
    /// A cluster of several nodes.
    #[error("cluster.nodes has {count} nodes: this version runs one node; the cluster comes next")]
    SeveralNodes {
        /// How many.
        count: usize,
    },
    /// A file that another key names cannot be used.
    #[error("{file}: {reason}", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The master key is not one. What it was is not repeated.
    #[error(
        "the master key from {source_name} is not 64 hexadecimal digits (make one with `openssl rand -hex 32`)"
    )]
    MasterKey {
        /// Where it came from.
        source_name: String,
    },
}

fn hint(suggestion: Option<&str>, known: &[&'static str]) -> String {
    match suggestion {
        Some(suggestion) => format!(", did you mean {suggestion:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are: {}", known.join(", ")),
    }
}

/// Shortens a text for a message.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// One problem, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, as `zeromq.endpoints[0].bind`; an override is named as its flag. May be empty.
    pub path: String,
    /// Where it stands in the file, if it stands there.
    pub place: Option<Place>,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl Problem {
    /// A problem of the value at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, kind: ProblemKind) -> Self {
        Self { path: path.into(), place: None, kind }
    }
}

/// Why a configuration cannot be used: every problem found, up to [`PROBLEMS_MAX`].
///
/// Displays one line a problem: `file:line:column: path: what`. Stable code SWMQ0101.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The file, if the text came from one.
    pub file: Option<PathBuf>,
    /// At least one problem, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { file: None, problems }
    }

    pub(crate) fn one(kind: ProblemKind) -> Self {
        Self::new(vec![Problem::new("", kind)])
    }

    pub(crate) fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&self.file, problem.place) {
                (Some(file), Some(place)) => write!(f, "{}:{place}: ", file.display())?,
                (Some(file), None) => write!(f, "{}: ", file.display())?,
                (None, Some(place)) => write!(f, "line {}, column {}: ", place.line, place.column)?,
                (None, None) => {}
            }
            if !problem.path.is_empty() {
                write!(f, "{}: ", problem.path)?;
            }
            write!(f, "{}", problem.kind)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
