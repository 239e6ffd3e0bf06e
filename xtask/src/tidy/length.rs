//! Rule `length`: a file holds one concept, and a reader can hold it too.

use super::{finding::Finding, finding::Severity, source::Source};

/// Above this, talk about it.
const LINES_TALK: usize = 500;

/// Above this, split it.
const LINES_SPLIT: usize = 800;

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().filter(|source| source.is_rust()).filter_map(finding).collect()
}

fn finding(source: &Source) -> Option<Finding> {
    let lines = source.lines.iter().filter(|line| !line.in_test).count();
    let (severity, limit) = match lines {
        0..=LINES_TALK => return None,
        _ if lines <= LINES_SPLIT => (Severity::Warning, LINES_TALK),
        _ => (Severity::Error, LINES_SPLIT),
    };
    Some(Finding {
        severity,
        rule: "length",
        path: source.path.clone(),
        line: limit,
        what: format!("{lines} lines without tests, more than {limit}"),
        why: "one concept a file; 80 to 300 lines are comfortable to read",
        todo: "find the second concept in it and give it a file named by its noun".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(lines: usize, tests: usize, path: &str) -> Option<Severity> {
        let text = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn a() {}\n".repeat(lines),
            "fn b() {}\n".repeat(tests)
        );
        check(&[Source::new(path, &text)]).first().map(|finding| finding.severity)
    }

    #[test]
    fn a_long_file_is_warned_of_and_a_longer_one_refused() {
        assert_eq!(severity(500, 0, "a.rs"), None);
        assert_eq!(severity(501, 0, "a.rs"), Some(Severity::Warning));
        assert_eq!(severity(801, 0, "a.rs"), Some(Severity::Error));
    }

    #[test]
    fn tests_do_not_count() {
        assert_eq!(severity(400, 900, "a.rs"), None);
        assert_eq!(severity(900, 0, "tests/chaos/src/a.rs"), None);
    }
}
