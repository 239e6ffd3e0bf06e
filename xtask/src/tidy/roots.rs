//! Rule `root`: `lib.rs` and `mod.rs` declare, re-export and explain; they hold no logic.

use super::{finding::Finding, finding::Severity, source::Source, source::has_word};

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| matches!(source.file_name(), "lib.rs" | "mod.rs"))
        .flat_map(bodies)
        .collect()
}

fn bodies(source: &Source) -> Vec<Finding> {
    let shipped: Vec<_> = source.numbered().filter(|(_, line)| !line.in_test).collect();
    let mut findings = Vec::new();
    for (index, (number, line)) in shipped.iter().enumerate() {
        // A declaration in a trait ends with a semicolon before any brace; `fn(` is a type.
        let names_one = line.code.split_once("fn ").is_some() && has_word(&line.code, "fn");
        let rest = shipped.iter().skip(index).map(|(_, line)| line.code.as_str());
        if names_one && opens_a_body(&line.code, rest.skip(1)) {
            findings.push(Finding {
                severity: Severity::Warning,
                rule: "root",
                path: source.path.clone(),
                line: *number,
                what: "a function in a file that declares modules".into(),
                why: "a reader opens this file for the map, not for the code",
                todo: "move it to the file named after what it does".into(),
            });
        }
    }
    findings
}

fn opens_a_body<'a>(first: &'a str, rest: impl Iterator<Item = &'a str>) -> bool {
    let after = first.split_once("fn ").map_or("", |(_, after)| after);
    let mut brackets = 0_usize;
    for char in std::iter::once(after).chain(rest).flat_map(str::chars) {
        match char {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            '{' if brackets == 0 => return true,
            ';' if brackets == 0 => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[Source::new(path, text)]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_body_in_a_root_is_warned_of() {
        let text = "//! fn essay() {}\nmod a;\npub fn b(\n    c: [u8; 4],\n) -> u8 {\n    1\n}\n";
        assert_eq!(lines("crates/node/src/lib.rs", text), [3]);
        assert_eq!(lines("crates/node/src/zeromq/mod.rs", text), [3]);
        assert!(lines("crates/node/src/zeromq/session.rs", text).is_empty());
    }

    #[test]
    fn declarations_and_tests_are_no_bodies() {
        let text = "trait A {\n    fn b(&self);\n}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        assert!(lines("src/lib.rs", text).is_empty());
    }
}
