//! Rule `lints`: every package of the workspace is held to the workspace's lints.

use super::{finding::Finding, finding::Severity, source::Source};

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.file_name() == "Cargo.toml" && is_member(source))
        .filter(|source| !inherits(source))
        .map(|source| Finding {
            severity: Severity::Error,
            rule: "lints",
            path: source.path.clone(),
            line: source.lines.len().max(1),
            what: "the package does not take the workspace's lints".into(),
            why: "what one crate is allowed, the next one copies",
            todo: "add `[lints]` with `workspace = true`".into(),
        })
        .collect()
}

/// A package that is a workspace of its own cannot inherit.
fn is_member(source: &Source) -> bool {
    let has = |table: &str| source.lines.iter().any(|line| line.text.trim() == table);
    has("[package]") && !has("[workspace]")
}

fn inherits(source: &Source) -> bool {
    let mut lines = source.lines.iter().map(|line| line.text.trim());
    let dotted = source.lines.iter().any(|line| line.text.trim() == "lints.workspace = true");
    dotted
        || lines.any(|line| line == "[lints]")
            && lines.take_while(|line| !line.starts_with('[')).any(|line| line == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&[Source::new("crates/node/Cargo.toml", text)]).len()
    }

    #[test]
    fn a_package_without_the_lints_is_an_error() {
        assert_eq!(count("[package]\nname = \"a\"\n"), 1);
        assert_eq!(count("[package]\n[lints]\n[dependencies]\nworkspace = true\n"), 1);
        assert_eq!(count("[package]\n[lints]\n# why\nworkspace = true\n"), 0);
    }

    #[test]
    fn a_workspace_of_its_own_is_left_alone() {
        assert_eq!(count("[workspace]\n[package]\nname = \"fuzz\"\n"), 0);
    }
}
