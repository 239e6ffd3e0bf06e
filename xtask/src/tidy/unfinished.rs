//! Rules `sleep`, `ignored` and `unfinished`: what is promised is there, and is tested each time.

use super::{
    finding::{Finding, Severity},
    source::{Line, Source, is_word_char},
};

/// The comment that says why a test may wait for a span instead of a condition.
const SLEEP: &str = "sleep:";

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|one| one.is_rust() || one.path.ends_with(".py")) {
        for (number, line) in source.numbered() {
            let found = rule(source, number, line);
            findings.extend(found.map(|(rule, what, why, todo)| Finding {
                severity: Severity::Error,
                rule,
                path: source.path.clone(),
                line: number,
                what,
                why,
                todo,
            }));
        }
    }
    findings
}

type Broken = (&'static str, String, &'static str, String);

fn rule(source: &Source, number: usize, line: &Line) -> Option<Broken> {
    if line.in_test && calls(&line.code, "sleep(") && !source.is_marked(number, SLEEP) {
        return Some((
            "sleep",
            "a test sleeps".into(),
            "a span that is long enough on one machine is too short on another",
            format!("wait for the condition with a deadline, or give the reason: `// {SLEEP} …`"),
        ));
    }
    if source.is_rust() && line.code.trim_start().starts_with("#[ignore") {
        return Some((
            "ignored",
            "a test is ignored".into(),
            "nobody runs it, and it rots while it looks like proof",
            "run it, delete it, or make it a recipe that a person starts by name".into(),
        ));
    }
    let hole = ["todo!", "unimplemented!"].into_iter().find(|hole| calls(&line.code, hole))?;
    source.is_rust().then(|| {
        (
            "unfinished",
            format!("`{hole}` in the code"),
            "a program that ends here has promised what it does not do",
            "write it, or return an error that says it is not supported".into(),
        )
    })
}

fn calls(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(is_word_char)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&[Source::new(path, text)]).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_test_that_sleeps_without_a_reason_is_an_error() {
        let sleeps = "fn a() {\n    tokio::time::sleep(SECOND).await;\n}\n";
        assert_eq!(rules("crates/node/tests/a.rs", sleeps), ["sleep"]);
        assert!(rules("crates/node/src/a.rs", sleeps).is_empty());
        let module = format!("#[cfg(test)]\nmod tests {{\n{sleeps}}}\n");
        assert_eq!(rules("crates/node/src/a.rs", &module), ["sleep"]);
        assert_eq!(rules("tests/interop/a.py", "time.sleep(1)\n"), ["sleep"]);
    }

    #[test]
    fn a_reason_allows_a_sleep() {
        let here = "fn a() {\n    sleep(SECOND); // sleep: the pause is what is tested\n}\n";
        assert!(rules("crates/node/tests/a.rs", here).is_empty());
        let above = "# sleep: the pause is what is tested\ntime.sleep(1)\n";
        assert!(rules("tests/interop/a.py", above).is_empty());
    }

    #[test]
    fn ignored_tests_and_holes_are_errors() {
        let ignored = "    #[ignore = \"slow\"]\n    fn a() {}\n";
        assert_eq!(rules("crates/node/tests/a.rs", ignored), ["ignored"]);
        let hole = concat!("fn a() { to", "do!(); }\nfn b() { unimple", "mented!(\"later\") }\n");
        assert_eq!(rules("crates/node/src/a.rs", hole), ["unfinished", "unfinished"]);
    }

    #[test]
    fn words_in_strings_and_comments_are_no_calls() {
        let text = "// todo!() sleep(1)\nlet a = \"unimplemented!\"; my_todo!();\n";
        assert!(rules("crates/node/tests/a.rs", text).is_empty());
    }
}
