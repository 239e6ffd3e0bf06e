//! Puts the tables between two markers of a document.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- peers:begin (written by `--update-docs`, do not edit) -->\n";
const END: &str = "<!-- peers:end -->";

/// Replaces what stands between the markers in the file at `path`.
pub(crate) fn update(path: &Path, tables: &str) -> Result<()> {
    let document = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let updated = replaced(&document, tables).with_context(|| format!("no markers in {}", path.display()))?;
    fs::write(path, updated).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let document = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let once = replaced(&document, "new\n");
        assert_eq!(once, Some(format!("before\n{BEGIN}\nnew\n\n{END}\nafter\n")));
        assert_eq!(once.as_deref().and_then(|once| replaced(once, "new\n")), once);
    }

    #[test]
    fn a_document_without_markers_is_left_alone() {
        assert_eq!(replaced("nothing here", "new"), None);
    }
}
