//! The one list of keys: each section names its keys once, and reading a file, suggesting the nearest key
//! and checking the documentation all walk that list.

use std::collections::BTreeMap;

use super::problem::{PROBLEMS_MAX, Place, Problem, ProblemKind, shown};
use super::tree::{Entry, Node, Yaml};

/// How alike two keys must be for one to be suggested, from 0 to 1.
const SUGGESTION_LIKENESS_MIN: f64 = 0.75;

/// A part of the configuration with keys of its own.
pub(crate) trait Section: Default {
    /// Names every key and the field it fills. Take the struct apart without `..`, so that the compiler
    /// finds a field without a key.
    fn fields(&mut self, fields: &mut Fields<'_>);
}

/// A value of one key.
pub(crate) trait Value: Sized {
    /// What the key takes, with an example: it ends the sentence "expected …".
    const EXPECTED: &'static str;
    /// The kind in the table of keys.
    const KIND: &'static str;

    /// Makes the value of what stands in the file.
    fn parse(node: &Node) -> Result<Self, ProblemKind>;

    /// The value as it would be written in a file.
    fn show(&self) -> String;

    /// Makes the value, or reports why not. Lists report each item at its own place.
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match Self::parse(node) {
            Ok(value) => Some(value),
            Err(kind) => {
                report.problem(path, node.place, kind);
                None
            }
        }
    }

    /// The error for a value of another type.
    fn wrong_type(node: &Node) -> ProblemKind {
        ProblemKind::WrongType { expected: Self::EXPECTED, found: node.found() }
    }

    /// The error for a text that is not such a value.
    fn invalid(text: &str, reason: impl Into<Option<String>>) -> ProblemKind {
        ProblemKind::Invalid { text: shown(text), expected: Self::EXPECTED, reason: reason.into() }
    }
}

/// One key, as the documentation lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Its path; a list item is `[]`, as in `zeromq.endpoints[].bind`.
    pub path: String,
    /// What it takes: `size`, `duration`, `number`, `text`, ….
    pub kind: &'static str,
    /// Its default, as it would be written in a file; `none` if there is no value.
    pub default: String,
}

/// What reading has found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    /// Where each value and section stands, by path.
    pub(crate) places: BTreeMap<String, Place>,
}

impl Report {
    pub(crate) fn problem(&mut self, path: &str, place: Option<Place>, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.to_owned(), place, kind });
        }
    }

    fn stands(&mut self, path: &str, place: Option<Place>) {
        if let Some(place) = place {
            self.places.insert(path.to_owned(), place);
        }
    }
}

/// The visitor of a section's keys.
pub(crate) struct Fields<'a> {
    path: String,
    task: Task<'a>,
}

enum Task<'a> {
    Read { entries: &'a [Entry], known: Vec<&'static str>, report: &'a mut Report },
    Describe { keys: &'a mut Vec<Key> },
}

impl Fields<'_> {
    /// A key with one value, or with a list of plain values.
    pub(crate) fn value<T: Value>(&mut self, key: &'static str, field: &mut T) {
        let path = join(&self.path, key);
        match &mut self.task {
            Task::Describe { keys } => keys.push(Key { path, kind: T::KIND, default: field.show() }),
            Task::Read { entries, known, report } => {
                known.push(key);
                if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
                    report.stands(&path, entry.value.place);
                    if let Some(value) = T::read(&entry.value, &path, report) {
                        *field = value;
                    }
                }
            }
        }
    }

    /// A key with a section of its own.
    pub(crate) fn section<S: Section>(&mut self, key: &'static str, field: &mut S) {
        let path = join(&self.path, key);
        match &mut self.task {
            Task::Describe { keys } => describe_into(field, path, keys),
            Task::Read { entries, known, report } => {
                known.push(key);
                if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
                    read_section(field, &entry.value, &path, report);
                }
            }
        }
    }

    /// A key with a list of sections. A file that has the key replaces the whole list.
    pub(crate) fn list<S: Section>(&mut self, key: &'static str, field: &mut Vec<S>) {
        const EXPECTED: &str = "a list of sections (each begins with `- `)";
        let path = join(&self.path, key);
        match &mut self.task {
            Task::Describe { keys } => describe_into(&mut S::default(), format!("{path}[]"), keys),
            Task::Read { entries, known, report } => {
                known.push(key);
                let Some(entry) = entries.iter().find(|entry| entry.key == key) else { return };
                report.stands(&path, entry.value.place);
                let items = match &entry.value.value {
                    Yaml::Null => &[],
                    Yaml::List(items) => items.as_slice(),
                    _ => {
                        let found = entry.value.found();
                        let kind = ProblemKind::WrongType { expected: EXPECTED, found };
                        return report.problem(&path, entry.value.place, kind);
                    }
                };
                field.clear();
                for (index, item) in items.iter().enumerate() {
                    let mut section = S::default();
                    read_section(&mut section, item, &format!("{path}[{index}]"), report);
                    field.push(section);
                }
            }
        }
    }
}

/// Fills `section` from what stands at `path`, and reports keys that it does not have.
pub(crate) fn read_section<S: Section>(section: &mut S, node: &Node, path: &str, report: &mut Report) {
    const EXPECTED: &str = "a section with keys of its own";
    report.stands(path, node.place);
    let entries = match &node.value {
        Yaml::Null => return,
        Yaml::Map(entries) => entries,
        _ => {
            let kind = ProblemKind::WrongType { expected: EXPECTED, found: node.found() };
            return report.problem(path, node.place, kind);
        }
    };
    let mut fields =
        Fields { path: path.to_owned(), task: Task::Read { entries, known: Vec::new(), report } };
    section.fields(&mut fields);
    let Task::Read { known, report, .. } = fields.task else { return };
    let unknown = entries.iter().filter(|entry| !known.contains(&entry.key.as_str()));
    // Looking for the nearest key takes time, and further ones are not reported.
    for entry in unknown.take(PROBLEMS_MAX) {
        let suggestion = nearest(&entry.key, &known);
        let key = shown(&entry.key);
        let kind = ProblemKind::UnknownKey { key: key.clone(), suggestion, known: known.clone() };
        report.problem(&join(path, &key), entry.place, kind);
    }
}

/// Every key below `section` with its kind and default.
pub(crate) fn describe<S: Section>(section: &mut S) -> Vec<Key> {
    let mut keys = Vec::new();
    describe_into(section, String::new(), &mut keys);
    keys
}

fn describe_into<S: Section>(section: &mut S, path: String, keys: &mut Vec<Key>) {
    section.fields(&mut Fields { path, task: Task::Describe { keys } });
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The known key that `key` was most likely meant to be.
fn nearest(key: &str, known: &[&'static str]) -> Option<String> {
    let like = key.to_lowercase().replace('-', "_");
    let like: String = like.chars().take(100).collect();
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&like, &known.to_lowercase()), *known))
        .filter(|(likeness, _)| *likeness >= SUGGESTION_LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known.to_owned())
}
