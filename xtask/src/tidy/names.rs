//! Rule `name`: a file, folder or module has the name of the concept in it.

use super::{finding::Finding, finding::Severity, source::Source};

const BANNED: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "misc", "types", "impl2", "stuff"];

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| is_code(&source.path)) {
        let stem = |part: &str| part.split('.').next().unwrap_or_default().to_owned();
        for part in source.path.split('/').map(stem) {
            if BANNED.contains(&part.as_str()) {
                findings.push(finding(source, 1, &part));
            }
        }
        for (number, line) in source.numbered().filter(|_| source.is_rust()) {
            // `mod name;` is found by its file; only a module written in place is looked for here.
            if let Some(name) = module_in_place(&line.code).filter(|name| BANNED.contains(name)) {
                findings.push(finding(source, number, name));
            }
        }
    }
    findings
}

fn is_code(path: &str) -> bool {
    [".rs", ".py", ".sh", ".js", ".proto"].iter().any(|ending| path.ends_with(ending))
}

fn module_in_place(code: &str) -> Option<&str> {
    let (before, rest) = code.split_once("mod ")?;
    let visible = before.trim().is_empty() || before.trim_start().starts_with("pub");
    let (name, _) = rest.split_once('{')?;
    visible.then(|| name.trim())
}

fn finding(source: &Source, line: usize, name: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: "name",
        path: source.path.clone(),
        line,
        what: format!("`{name}` names no concept"),
        why: "a thing of that name is not understood yet, and everything ends up in it",
        todo: "name it after the one thing it holds; split it when it holds two".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_names_of_files_folders_and_modules_are_errors() {
        let sources = [
            Source::new("crates/node/src/utils.rs", ""),
            Source::new("crates/node/src/common/codec.rs", ""),
            Source::new("crates/node/src/a.rs", "pub(crate) mod helpers {\n}\n// mod misc {\n"),
        ];
        let findings = check(&sources);
        let places: Vec<_> = findings.iter().map(|one| (one.path.as_str(), one.line)).collect();
        assert_eq!(
            places,
            [
                ("crates/node/src/utils.rs", 1),
                ("crates/node/src/common/codec.rs", 1),
                ("crates/node/src/a.rs", 1)
            ]
        );
        assert!(findings.iter().all(Finding::is_error));
    }

    #[test]
    fn a_name_that_only_contains_a_banned_one_passes() {
        let sources = [
            Source::new("crates/node/src/commonplace.rs", "mod utility {\n}\n"),
            Source::new("docs/types.md", ""),
        ];
        assert!(check(&sources).is_empty());
    }
}
