//! Rule `arrow`: a crate depends only on what `ARCHITECTURE.md` draws.
//!
//! ```text
//! protocol, journal, resilience, poly1305 → nothing    broker  → protocol
//! cluster → broker, journal, protocol                  node    → cluster, broker, protocol, journal
//! client  → protocol, resilience                       cli     → client, node, journal, protocol
//! examples/chat → client
//! ```
//!
//! `node → journal` is drawn because the node opens the journal, and `cli → journal` because
//! a journal is verified offline. Nothing points at the leaves. Dependencies of tests are free.

use super::{finding::Finding, finding::Severity, source::Source};
use crate::json::Json;

/// Folder of a crate, and the folders it may depend on.
const ARROWS: [(&str, &[&str]); 11] = [
    ("crates/protocol", &[]),
    ("crates/journal", &[]),
    ("crates/poly1305", &[]),
    ("crates/resilience", &[]),
    ("crates/broker", &["crates/protocol"]),
    ("crates/cluster", &["crates/broker", "crates/journal", "crates/protocol"]),
    ("crates/node", &["crates/cluster", "crates/broker", "crates/protocol", "crates/journal"]),
    ("crates/client", &["crates/protocol", "crates/resilience"]),
    ("crates/cli", &["crates/client", "crates/node", "crates/journal", "crates/protocol"]),
    // What users copy from uses what users have.
    ("examples/chat", &["crates/client"]),
    ("xtask", &[]),
];

/// Packages that nothing depends on, and that may themselves depend on any crate but a leaf.
const LEAVES: [&str; 9] =
    ["crates/cli", "crates/simulation", "examples", "labs", "fuzz", "benches", "tests", "deploy", "xtask"];

/// Crates that pure code cannot use: each is a clock, a random source, a task or a socket.
const IMPURE: [&str; 13] = [
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "jiff",
    "libc",
    "mio",
    "openraft",
    "rand",
    "rustix",
    "socket2",
    "tokio",
    "uuid",
];

/// Folders of the pure crates.
pub(crate) const PURE: [&str; 2] = ["crates/protocol", "crates/broker"];

/// Checks what `cargo metadata --no-deps` printed for the workspace at `root`.
pub(crate) fn check(metadata: &Json, root: &str, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.get("packages").items() {
        let Some(folder) = package.get("manifest_path").text().and_then(|path| folder(path, root)) else {
            continue;
        };
        let place = Place { folder: &folder, sources };
        if allowed(&folder).is_none() && !is_leaf(&folder) {
            findings.push(place.unknown());
        }
        for dependency in package.get("dependencies").items() {
            let name = dependency.get("name").text().unwrap_or_default();
            let ours = dependency.get("path").text();
            if dependency.get("kind").text() == Some("dev") {
                continue;
            }
            match ours.and_then(|path| folder_below(path, root)) {
                Some(to) if !is_drawn(&folder, &to) => findings.push(place.arrow(name, &to)),
                None if PURE.contains(&folder.as_str()) && IMPURE.contains(&name) => {
                    findings.push(place.impure(name));
                }
                _ => {}
            }
        }
    }
    findings
}

fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(from, _)| *from == folder).map(|(_, to)| *to)
}

fn is_leaf(folder: &str) -> bool {
    LEAVES
        .iter()
        .any(|leaf| folder.strip_prefix(leaf).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// A leaf may use any crate that is not one; a package of its own folder shares code with it.
fn is_drawn(from: &str, to: &str) -> bool {
    let top = |folder: &str| folder.split('/').next().map(str::to_owned);
    match allowed(from) {
        Some(allowed) => allowed.contains(&to),
        None if is_leaf(to) => {
            let tests = from.starts_with("tests/") || from.starts_with("fuzz");
            tests || (top(from) == top(to) && !to.starts_with("crates/"))
        }
        None => is_leaf(from),
    }
}

fn folder(manifest: &str, root: &str) -> Option<String> {
    folder_below(manifest.strip_suffix("Cargo.toml")?.trim_end_matches('/'), root)
}

fn folder_below(path: &str, root: &str) -> Option<String> {
    Some(path.strip_prefix(root)?.trim_matches('/').to_owned())
}

/// The manifest a finding is about.
struct Place<'a> {
    folder: &'a str,
    sources: &'a [Source],
}

impl Place<'_> {
    fn arrow(&self, name: &str, to: &str) -> Finding {
        let drawn = allowed(self.folder).unwrap_or_default();
        let drawn = if drawn.is_empty() { "nothing of ours".to_owned() } else { drawn.join(", ") };
        self.finding(
            name,
            format!("{} depends on {to}, which is not drawn", self.folder),
            "a crate is a law the compiler keeps: pure code without I/O, clients without server code",
            format!(
                "move the code to the crate that may use {to}, or pass the value in; {} may use: {drawn}. \
                 If the arrow is right, draw it in ARCHITECTURE.md and in xtask/src/tidy/arrows.rs",
                self.folder
            ),
        )
    }

    fn impure(&self, name: &str) -> Finding {
        self.finding(
            name,
            format!("{} is pure and depends on {name}", self.folder),
            "replicated code is a function of its log: no clock, chance, task or socket",
            "take the value as an argument, or move the code to the shell around the pure crate".into(),
        )
    }

    fn unknown(&self) -> Finding {
        self.finding(
            "[package]",
            format!("{} has no place among the arrows", self.folder),
            "a crate is added on purpose, with the arrows it may have",
            "draw it in ARCHITECTURE.md and add it to xtask/src/tidy/arrows.rs".into(),
        )
    }

    fn finding(&self, name: &str, what: String, why: &'static str, todo: String) -> Finding {
        let path = format!("{}/Cargo.toml", self.folder);
        let manifest = self.sources.iter().find(|source| source.path == path);
        let line = manifest
            .and_then(|source| source.numbered().find(|(_, line)| begins_with(&line.text, name)))
            .map_or(1, |(number, _)| number);
        Finding { severity: Severity::Error, rule: "arrow", path, line, what, why, todo }
    }
}

fn begins_with(line: &str, name: &str) -> bool {
    line.trim_start().strip_prefix(name).is_some_and(|rest| {
        !rest.starts_with(|char: char| char == '-' || char == '_' || char.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, dependency: &str) -> Vec<Finding> {
        let text = format!(
            r#"{{"packages":[{{"manifest_path":"/w/{from}/Cargo.toml","dependencies":[{dependency}]}}]}}"#
        );
        let manifest = Source::new(
            &format!("{from}/Cargo.toml"),
            "[package]\n[dependencies]\nswarmmq-journal-more = 1\nswarmmq-journal.workspace = true\n",
        );
        check(&Json::read(&text).unwrap(), "/w", &[manifest])
    }

    const JOURNAL: &str = r#"{"name":"swarmmq-journal","kind":null,"path":"/w/crates/journal"}"#;

    #[test]
    fn an_arrow_that_is_not_drawn_is_an_error_at_its_line() {
        let findings = found("crates/broker", JOURNAL);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("crates/broker/Cargo.toml", 4));
        assert!(findings[0].is_error());
    }

    #[test]
    fn drawn_arrows_and_dependencies_of_tests_pass() {
        assert!(found("crates/cluster", JOURNAL).is_empty());
        assert!(found("crates/node", JOURNAL).is_empty());
        assert!(found("labs/01-cluster-heartbeat", JOURNAL).is_empty());
        assert!(found("crates/broker", &JOURNAL.replace("null", "\"dev\"")).is_empty());
        assert_eq!(found("examples/chat", JOURNAL).len(), 1);
    }

    #[test]
    fn nothing_points_at_a_leaf() {
        for leaf in ["crates/cli", "crates/simulation", "examples/chat", "labs/01", "fuzz", "benches"] {
            let dependency = format!(r#"{{"name":"leaf","path":"/w/{leaf}"}}"#);
            assert_eq!(found("crates/node", &dependency).len(), 1, "{leaf}");
        }
        let simulation = r#"{"name":"s","path":"/w/crates/simulation"}"#;
        assert_eq!(found("labs/01", simulation).len(), 1);
        assert!(found("tests/chaos", simulation).is_empty());
    }

    #[test]
    fn a_pure_crate_that_uses_an_impure_one_is_an_error() {
        let tokio = r#"{"name":"tokio","kind":null}"#;
        assert_eq!(found("crates/protocol", tokio).len(), 1);
        assert!(found("crates/node", tokio).is_empty());
    }

    #[test]
    fn a_crate_without_a_place_is_an_error() {
        assert_eq!(found("crates/extra", "").len(), 1);
        assert_eq!(found("stray", "").len(), 1);
        assert!(found("tests/chaos", "").is_empty());
    }
}
