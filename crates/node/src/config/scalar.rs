//! Plain values: switches, numbers, texts, paths, names, and lists of them.

use std::path::PathBuf;

use swarmmq_protocol::{DestinationName, GroupName, NameError};

use super::fields::{Report, Value};
use super::problem::{ProblemKind, shown};
use super::tree::{Node, Yaml};

impl Value for bool {
    const EXPECTED: &'static str = "true or false";
    const KIND: &'static str = "true or false";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match node.value {
            Yaml::Bool(value) => Ok(value),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = "a whole number";
            const KIND: &'static str = "number";

            fn parse(node: &Node) -> Result<Self, ProblemKind> {
                let Yaml::Integer(value) = node.value else { return Err(Self::wrong_type(node)) };
                Self::try_from(value).map_err(|_| ProblemKind::OutOfRange {
                    value: value.to_string(),
                    least: Self::MIN.to_string(),
                    most: Self::MAX.to_string(),
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

number!(u16, u32, u64);

impl Value for String {
    const EXPECTED: &'static str = "a text (put a number or true and false in quotes)";
    const KIND: &'static str = "text";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => Ok(text.clone()),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "the path of a file or folder";
    const KIND: &'static str = "path";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) if text.is_empty() => Err(Self::invalid(text, "it is empty".to_owned())),
            Yaml::Text(text) if text.contains('\0') => {
                Err(Self::invalid(text, "a path has no NUL".to_owned()))
            }
            Yaml::Text(text) => Ok(Self::from(text)),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

macro_rules! name {
    ($($type:ty, $expected:literal;)+) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;
            const KIND: &'static str = "name";

            fn parse(node: &Node) -> Result<Self, ProblemKind> {
                match &node.value {
                    Yaml::Text(text) => Self::new(text)
                        .map_err(|error| ProblemKind::Name { text: shown(text), error }),
                    _ => Err(Self::wrong_type(node)),
                }
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

name! {
    DestinationName, "the name of a destination, as orders.eu (a number in quotes)";
    GroupName, "the name of a group, as billing (a number in quotes)";
    Label, "a name, as node-1 (a number in quotes)";
}

/// A name that the configuration gives to a node, an endpoint, a user or a key.
///
/// 1 to 200 bytes of the alphabet of destination names, so that it can stand in a metric, a log line and
/// a file name as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(DestinationName);

impl Label {
    /// Checks `text` and makes it a label.
    ///
    /// # Errors
    /// [`NameError`] says which character is wrong and where.
    pub fn new(text: &str) -> Result<Self, NameError> {
        DestinationName::new(text).map(Self)
    }

    /// A label whose text was written by us.
    #[expect(clippy::expect_used, reason = "each caller passes a literal, and a test makes every default")]
    pub(crate) fn of(text: &'static str) -> Self {
        Self(DestinationName::new(text).expect("the literal is a name"))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const KIND: &'static str = T::KIND;

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match node.value {
            Yaml::Null => Ok(None),
            _ => T::parse(node).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::show)
    }
}

impl<T: Value> Value for Vec<T> {
    const EXPECTED: &'static str = "a list, as [one, two]";
    const KIND: &'static str = "list";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Null => Ok(Self::new()),
            Yaml::List(items) => items.iter().map(T::parse).collect(),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Yaml::List(items) = &node.value else {
            return match Self::parse(node) {
                Ok(value) => Some(value),
                Err(kind) => {
                    report.problem(path, node.place, kind);
                    None
                }
            };
        };
        let read = |(index, item): (usize, &Node)| T::read(item, &format!("{path}[{index}]"), report);
        // Every item is looked at, so that all that are wrong are reported.
        let values: Vec<Option<T>> = items.iter().enumerate().map(read).collect();
        values.into_iter().collect()
    }
}

/// Makes an enum a value that is one of some words.
macro_rules! words {
    ($type:ty, $expected:literal, $($variant:path = $word:literal),+ $(,)?) => {
        impl $crate::config::fields::Value for $type {
            const EXPECTED: &'static str = $expected;
            const KIND: &'static str = "word";

            fn parse(
                node: &$crate::config::tree::Node,
            ) -> Result<Self, $crate::config::problem::ProblemKind> {
                match &node.value {
                    $crate::config::tree::Yaml::Text(text) => match text.as_str() {
                        $($word => Ok($variant),)+
                        _ => Err(Self::invalid(text, None)),
                    },
                    _ => Err(Self::wrong_type(node)),
                }
            }

            fn show(&self) -> String {
                match self { $($variant => $word.to_owned(),)+ }
            }
        }
    };
}
pub(crate) use words;
