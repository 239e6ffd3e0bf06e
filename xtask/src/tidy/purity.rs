//! Rule `pure`: replicated code reads no clock, no chance, no file and no hash order.
//!
//! Clippy refuses the calls (`clippy.toml` of the two crates); this rule refuses the names, so that
//! a type is not even held. Tests of the pure crates may use what they like.

use super::{
    arrows::PURE,
    finding::{Finding, Severity},
    source::{Source, has_word, is_word_char},
};

/// Paths that no pure crate names, with what to do instead.
const BANNED: [(&str, &str); 12] = [
    ("std::time::Instant", "take the time as an argument; the leader stamps it into the command"),
    ("std::time::SystemTime", "take the time as an argument; the leader stamps it into the command"),
    ("std::net", "pure code has no sockets; for an address as data use `core::net`"),
    ("std::fs", "pure code has no files; take bytes and return bytes"),
    ("std::thread", "pure code has no tasks; return what is to be done as an effect"),
    ("std::env", "pure code has no surroundings; take the value as an argument"),
    ("std::process", "pure code has no surroundings; return an error"),
    ("std::hash::RandomState", "a random seed makes replicas differ; use an ordered collection"),
    ("std::collections::hash_map::RandomState", "use an ordered collection"),
    ("rand", "take the random value as an argument"),
    ("getrandom", "take the random value as an argument"),
    ("tokio", "return what is to be done as an effect; the shell around this crate runs it"),
];

/// The comment that says why the order of a hash does not matter here.
const ORDER_FREE: &str = "order-free:";

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in PURE {
        let below = format!("{folder}/src/");
        for source in sources.iter().filter(|one| one.is_rust() && one.path.starts_with(&below)) {
            if source.path == format!("{below}lib.rs") {
                findings.extend(unsafe_is_forbidden(source));
            }
            findings.extend(banned_paths(source));
            if folder == "crates/broker" {
                findings.extend(hash_order(source));
            }
        }
    }
    findings
}

fn unsafe_is_forbidden(source: &Source) -> Option<Finding> {
    let forbidden = source.lines.iter().any(|line| line.code.trim() == "#![forbid(unsafe_code)]");
    (!forbidden).then(|| {
        let what = "a pure crate does not forbid unsafe code".to_owned();
        finding(source, 1, what, "add `#![forbid(unsafe_code)]` below the crate's essay".into())
    })
}

fn banned_paths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut import = Import::default();
    for (number, line) in source.numbered().filter(|(_, line)| !line.in_test) {
        let found = import.feed(number, &line.code);
        let (number, code) = match found {
            Some((began, paths)) => (began, paths.join("\n")),
            None if import.is_open() => continue,
            None => (number, line.code.clone()),
        };
        for (path, todo) in BANNED.iter().filter(|(path, _)| names_path(&code, path)) {
            let what = format!("`{path}` in a pure crate");
            findings.push(finding(source, number, what, (*todo).into()));
        }
    }
    findings
}

/// Whether `code` names `path`, or something below it. A crate's name counts only before `::`.
fn names_path(code: &str, path: &str) -> bool {
    if path.contains("::") {
        return has_word(code, path);
    }
    code.match_indices(&format!("{path}::")).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|char| is_word_char(char) || char == ':')
    })
}

fn hash_order(source: &Source) -> Vec<Finding> {
    let shipped = source.numbered().filter(|(_, line)| !line.in_test);
    let mut findings = Vec::new();
    for (number, line) in shipped {
        // The import is harmless; each use says why it is.
        let import = line.code.trim_start().starts_with("use ");
        let named = ["HashMap", "HashSet"].into_iter().find(|name| has_word(&line.code, name));
        if let Some(name) = named.filter(|_| !import && !source.is_marked(number, ORDER_FREE)) {
            findings.push(finding(
                source,
                number,
                format!("`{name}` in replicated code"),
                format!(
                    "use a BTree collection, or say in a comment why nothing iterates it: `// {ORDER_FREE} …`"
                ),
            ));
        }
    }
    findings
}

fn finding(source: &Source, line: usize, what: String, todo: String) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: "pure",
        path: source.path.clone(),
        line,
        what,
        why: "replicas that apply the same log must reach the same state, in simulation too",
        todo,
    }
}

/// Collects a `use` that may span lines, and cuts its groups into whole paths.
#[derive(Default)]
struct Import {
    began: usize,
    text: String,
}

impl Import {
    fn is_open(&self) -> bool {
        !self.text.is_empty()
    }

    /// The paths of a `use` that ends on this line, with the line on which it began.
    fn feed(&mut self, number: usize, code: &str) -> Option<(usize, Vec<String>)> {
        let code = code.trim();
        if self.is_open() {
            self.text.push_str(code);
        } else {
            let public = code.strip_prefix("pub").and_then(|rest| rest.split_once("use "));
            let rest = code.strip_prefix("use ").or(public.map(|(_, rest)| rest))?;
            self.began = number;
            rest.clone_into(&mut self.text);
        }
        let (tree, _) = self.text.split_once(';')?;
        let paths = expand(tree);
        self.text.clear();
        Some((self.began, paths))
    }
}

/// `a::{b, c::d}` → `a::b`, `a::c::d`; a crate that stands alone gets a `::`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![if name.contains("::") { name.to_owned() } else { format!("{name}::") }];
    };
    let group = rest.strip_suffix('}').unwrap_or(rest);
    let mut depth = 0;
    let parts = group.split(|char| {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        char == ',' && depth == 0
    });
    parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(|part| expand(&format!("{}{}", prefix.trim(), part.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&[Source::new(path, text)]).into_iter().map(|one| (one.line, one.what)).collect()
    }

    #[test]
    fn a_pure_crate_forbids_unsafe_code() {
        let lib = "crates/protocol/src/lib.rs";
        assert_eq!(found(lib, "//! #![forbid(unsafe_code)]\n").len(), 1);
        assert!(found(lib, "//! Essay.\n#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn clocks_files_sockets_threads_and_chance_are_refused() {
        let file = "crates/protocol/src/a.rs";
        for code in [
            "let now = std::time::Instant::now();",
            "use std::time::{Duration, SystemTime};",
            "use std::{collections::BTreeMap, net::{IpAddr, SocketAddr}};",
            "use std::fs;",
            "std::thread::spawn(run);",
            "use rand::Rng;",
            "use tokio as t;",
            "let id = rand::random();",
        ] {
            assert_eq!(found(file, code).iter().map(|one| one.0).collect::<Vec<_>>(), [1], "{code}");
        }
        let spread =
            found(file, "use std::{\n    time::{\n        Duration,\n        Instant,\n    },\n};\n");
        assert_eq!(spread.len(), 1);
    }

    #[test]
    fn what_only_looks_alike_passes() {
        let file = "crates/protocol/src/a.rs";
        for code in [
            "use std::time::Duration;",
            "use core::net::IpAddr;",
            "// std::fs is not for us",
            "let operand = brand::new();",
            "let text = \"tokio::spawn\";",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
        ] {
            assert!(found(file, code).is_empty(), "{code}");
        }
        assert!(found("crates/node/src/a.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn a_hash_in_the_broker_needs_a_reason() {
        let file = "crates/broker/src/a.rs";
        let text = "use std::collections::HashMap;\nstruct A {\n    a: HashMap<u8, u8>,\n}\n";
        assert_eq!(found(file, text), [(3, "`HashMap` in replicated code".to_owned())]);
        let reason = text.replace("    a:", "    // order-free: looked up, never iterated\n    a:");
        assert!(found(file, &reason).is_empty());
        assert!(found("crates/protocol/src/a.rs", text).is_empty());
    }
}
