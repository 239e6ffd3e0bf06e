//! Rule `patched`: what takes the place of a crate of the registry is what is built.
//!
//! Cargo only warns of a patch that no version of a dependency asks for any more, and takes the registry's crate instead.

use super::{
    finding::{Finding, Severity},
    source::Source,
};

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in sources.iter().filter(|source| source.file_name() == "Cargo.toml") {
        let lock = manifest.path.replace("Cargo.toml", "Cargo.lock");
        let lock = sources.iter().find(|source| source.path == lock);
        for (number, name) in patches(manifest) {
            if !lock.is_some_and(|lock| is_built_from_here(lock, name)) {
                findings.push(Finding {
                    severity: Severity::Error,
                    rule: "patched",
                    path: manifest.path.clone(),
                    line: number,
                    what: format!("the patch of `{name}` is not what Cargo.lock has, or not the only one"),
                    why: "Cargo warns once, builds what is slower or unpatched, and no test fails",
                    todo: format!("give {name} the version that is asked for, or take the patch out"),
                });
            }
        }
    }
    findings
}

/// The names in the manifest's table of patches, with their lines.
fn patches(manifest: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut is_table = false;
    manifest.numbered().filter_map(move |(number, line)| {
        let text = line.text.trim();
        if text.starts_with('[') {
            is_table = text == "[patch.crates-io]";
        }
        let (name, _) = text.split_once('=').filter(|_| is_table && !text.starts_with('#'))?;
        Some((number, name.trim()))
    })
}

/// Whether each package of this name comes from a folder, which has no source in a lock file, and there is one.
fn is_built_from_here(lock: &Source, name: &str) -> bool {
    let lines: Vec<&str> = lock.lines.iter().map(|line| line.text.as_str()).collect();
    let mut packages = lines.split(|line| line.is_empty()).filter(|block| {
        block.first() == Some(&"[[package]]") && block.contains(&format!("name = \"{name}\"").as_str())
    });
    let is_ours = |block: &[&str]| !block.iter().any(|line| line.starts_with("source = "));
    packages.next().is_some_and(is_ours) && packages.all(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "[[package]]\nname = \"poly1305\"\nversion = \"0.9.1\"\n";
    const THEIRS: &str = "[[package]]\nname = \"poly1305\"\nversion = \"0.9.2\"\nsource = \"registry\"\n";
    const UNUSED: &str = "[[patch.unused]]\nname = \"poly1305\"\nversion = \"0.9.1\"\n";

    fn count(lock: &[&str]) -> usize {
        let manifest = "[dependencies]\na = \"1\"\n\n# why\n[patch.crates-io]\n# which\npoly1305 = { path = \"p\" }\n\n[lints]\nb = 1\n";
        let lock = format!("version = 4\n\n{}", lock.join("\n"));
        check(&[Source::new("fuzz/Cargo.toml", manifest), Source::new("fuzz/Cargo.lock", &lock)]).len()
    }

    #[test]
    fn a_patch_that_is_built_passes() {
        assert_eq!(count(&[OURS]), 0);
    }

    #[test]
    fn a_patch_that_is_not_built_is_an_error() {
        assert_eq!(count(&[THEIRS, UNUSED]), 1);
        assert_eq!(count(&[OURS, THEIRS]), 1, "one of two");
        assert_eq!(count(&[UNUSED]), 1);
        assert_eq!(count(&[]), 1);
    }
}
