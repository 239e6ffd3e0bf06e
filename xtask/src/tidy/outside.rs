//! Rule `outside`: the text speaks of the project, not of the place or the tools it was written with.
//!
//! A path of one machine is wrong on the next one, and the host of a package registry belongs in
//! the configuration of whoever builds. The words are put together from parts, so that this file
//! does not hold them.

use super::{
    finding::{Finding, Severity},
    source::Source,
};

/// Folders that exist on one machine only; an absolute path below one of them is reported.
const PLACES: [[&str; 2]; 4] = [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"], ["/wo", "rk/"]];

/// Hosts of package registries.
const HOSTS: [[&str; 2]; 6] = [
    ["crates", ".io"],
    ["pypi", ".org"],
    ["python", "hosted.org"],
    ["npmjs", ".org"],
    ["proxy.go", "lang.org"],
    ["deb.de", "bian.org"],
];

/// Tools that write text, in lower case.
const TOOLS: [[&str; 2]; 5] =
    [["clau", "de"], ["anthro", "pic"], ["chat", "gpt"], ["copi", "lot"], ["sub", "agent"]];

/// Written by a tool, not by us.
const GENERATED: [&str; 2] = ["Cargo.lock", "package-lock.json"];

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !GENERATED.contains(&source.file_name())) {
        for (number, line) in source.numbered() {
            let what = match () {
                () if names_place(&line.text) => "an absolute path of one machine",
                () if names_any(&line.text, &HOSTS) => "the host of a package registry",
                () if names_any(&line.text, &TOOLS) => "a tool the text was written with",
                () => continue,
            };
            findings.push(Finding {
                severity: Severity::Error,
                rule: "outside",
                path: source.path.clone(),
                line: number,
                what: what.into(),
                why: "a reader elsewhere has another machine, another mirror and other tools",
                todo: "use a relative path, an ordinary client's default, or no name at all".into(),
            });
        }
    }
    findings
}

fn names_any(text: &str, words: &[[&str; 2]]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|parts| text.contains(&parts.concat()))
}

fn names_place(text: &str) -> bool {
    PLACES.iter().any(|parts| {
        text.match_indices(&parts.concat()).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            !before.is_some_and(|char| char.is_alphanumeric() || "._-}~*>)".contains(char))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> Option<String> {
        check(&[Source::new("docs/a.md", text)]).pop().map(|finding| finding.what)
    }

    #[test]
    fn places_hosts_and_tools_are_errors() {
        assert!(what(concat!("see /wo", "rk/main")).is_some_and(|what| what.contains("path")));
        assert!(what(concat!("`/ro", "ot/data`")).is_some());
        assert!(what(concat!("https://cra", "tes.io/x")).is_some_and(|what| what.contains("host")));
        assert!(what(concat!("by Clau", "de")).is_some_and(|what| what.contains("tool")));
    }

    #[test]
    fn relative_paths_pass_and_so_do_generated_files() {
        assert_eq!(what(concat!("labs/wo", "rk/a and ./ho", "me/b")), None);
        let lock = Source::new("Cargo.lock", concat!("cra", "tes.io"));
        assert!(check(&[lock]).is_empty());
    }
}
