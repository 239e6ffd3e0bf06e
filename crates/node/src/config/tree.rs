//! YAML as a tree in which every value knows its place.
//!
//! The crate `serde-saphyr` was chosen by its source: it denies `unsafe`, does not panic on any input,
//! refuses duplicate keys, and counts events, nodes, nesting and the events that aliases replay
//! *while* it parses, so that a "billion laughs" ends at a limit of ours and not at the end of
//! memory. The limits below are far above any configuration and far below what costs anything.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, budget::BudgetBreach, options::DuplicateKeyPolicy};

use super::problem::{ConfigError, Place, Problem, ProblemKind, shown};

/// Most values in a file, those that aliases repeat included.
const NODES_MAX: usize = 50_000;
/// Most events that all aliases of a file replay together.
const ALIAS_EVENTS_MAX: usize = 10_000;
/// All texts of a file together, those that aliases repeat included, have at most so many times its length, and so many bytes
/// more.
const TEXT_GROWTH: usize = 4;
const TEXT_BYTES: usize = 64 * 1024;
/// Deepest nesting. Ours is four levels.
const DEPTH_MAX: usize = 16;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Option<Place>,
    pub(crate) value: Yaml,
}

#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a section with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Option<Place>,
    pub(crate) value: Node,
}

impl Node {
    /// Parses `text`. An empty one is [`Yaml::Null`].
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let texts_max = text.len().saturating_mul(TEXT_GROWTH).saturating_add(TEXT_BYTES);
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: DEPTH_MAX,
                flow_nesting_limit: DEPTH_MAX,
                max_documents: 1,
                max_nodes: NODES_MAX,
                max_events: 2 * NODES_MAX,
                max_aliases: 1_000,
                max_anchors: 1_000,
                max_recorded_anchor_events: ALIAS_EVENTS_MAX,
                max_recorded_anchor_bytes: texts_max,
                max_total_scalar_bytes: texts_max,
                max_merge_keys: 100,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: ALIAS_EVENTS_MAX,
                max_replay_stack_depth: 8,
            },
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options::<Self>(text, options).map_err(|error| {
            let error = error.without_snippet();
            let place = error.location().and_then(place);
            let kind = kind(error);
            ConfigError::new(vec![Problem { path: String::new(), place, kind }])
        })
    }

    /// What stands here, for a message.
    pub(crate) fn found(&self) -> String {
        match &self.value {
            Yaml::Null => "nothing".into(),
            Yaml::Bool(value) => value.to_string(),
            Yaml::Integer(value) => format!("the number {value}"),
            Yaml::Float(value) => format!("the number {value}"),
            Yaml::Text(text) => format!("the text {:?}", shown(text)),
            Yaml::List(_) => "a list".into(),
            Yaml::Map(_) => "a section with keys of its own".into(),
        }
    }
}

fn kind(error: &serde_saphyr::Error) -> ProblemKind {
    use serde_saphyr::Error;
    let syntax = |text: &str| ProblemKind::Syntax(text.to_owned());
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            ProblemKind::DuplicateKey { key: shown(key.as_deref().unwrap_or("?")) }
        }
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } | Error::MultipleDocuments { .. } => {
            syntax("a configuration is one document: another one begins here")
        }
        Error::Budget { breach, .. } => {
            syntax(&format!("the file is beyond what any configuration needs: {breach:?}"))
        }
        Error::NullIntoString { .. } => syntax("a key must be a text: put null in quotes"),
        other => ProblemKind::Syntax(message(other)),
    }
}

/// The parser's message without the place, which stands in front of ours.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    shown_line(first.get(..end).unwrap_or(first))
}

/// A message may repeat what stands in the file, which may be long.
fn shown_line(text: &str) -> String {
    const MESSAGE_CHARS_MAX: usize = 300;
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

fn place(location: serde_saphyr::Location) -> Option<Place> {
    (location.line() > 0).then(|| Place { line: location.line(), column: location.column() })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self { place: place(spanned.referenced), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(i128::try_from(value).map_or(Yaml::Float(value as f64), Yaml::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push(Entry { place: place(key.referenced), key: key.value, value: map.next_value()? });
        }
        Ok(Yaml::Map(entries))
    }
}
