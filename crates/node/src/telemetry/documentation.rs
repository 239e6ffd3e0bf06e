//! `docs/errors.md` against the codes.

use std::collections::BTreeSet;

use swarmmq_protocol::ErrorCode;

use super::OperatorCode;
use crate::http::Health;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");

fn document() -> String {
    std::fs::read_to_string(PATH).unwrap()
}

/// What stands below a heading, up to the next one.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let begin =
        document.find(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let text = document[begin + 5..].split_once('\n').unwrap().1;
    text.split("\n#").next().unwrap().trim()
}

#[test]
fn every_code_a_client_is_told_says_what_to_do() {
    let document = document();
    for code in ErrorCode::ALL {
        let text = section(&document, &format!("`{code}` ({})", *code as u16));
        let retry = if code.is_retryable() { "Retry: later. " } else { "Retry: no. " };
        assert!(text.starts_with(retry), "{code}: {text}");
        assert_eq!(text.split("\n\n").count(), 2, "{code}: what it means, and what to do");
    }
}

#[test]
fn every_code_of_the_log_says_what_to_do() {
    let document = document();
    for code in OperatorCode::ALL {
        let text = section(&document, code.as_str());
        let what_to_do = text.strip_prefix(&format!("**{}**", code.summary()));
        let what_to_do =
            what_to_do.unwrap_or_else(|| panic!("{code} is {:?}, the document says: {text}", code.summary()));
        assert!(what_to_do.trim().len() >= "Nothing.".len(), "{code}");
    }
}

#[test]
fn no_heading_is_of_a_code_there_is_not() {
    let known = ErrorCode::ALL.iter().map(|code| format!("`{code}` ({})", *code as u16));
    let known: BTreeSet<String> = known.chain(OperatorCode::ALL.iter().map(ToString::to_string)).collect();
    for heading in document().lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(known.contains(heading), "there is no code {heading}");
    }
}

#[test]
fn codes_are_not_used_twice() {
    let codes: BTreeSet<&str> = OperatorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), OperatorCode::ALL.len());
    assert!(codes.iter().all(|code| code.len() == 8 && code.starts_with("SWMQ")));
}

#[test]
fn every_reason_for_not_being_ready_or_whole_says_what_to_do() {
    let health = Health {
        is_starting: true,
        is_stopping: true,
        journal_failure: Some(String::new()),
        is_disk_full: true,
        shards_without_leader: vec![1],
        shards_failed: vec![1],
        ..Health::default()
    };
    let document = document();
    let rows = document.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, health.reasons().len() + health.degraded().len());
    for degraded in health.degraded() {
        assert!(document.contains(&format!("\n| `{}` | ", degraded.code)), "{}", degraded.code);
    }
    for reason in health.reasons() {
        let journal_failure = (reason.code == "JOURNAL-FAILED").then(String::new);
        let alone = Health { journal_failure, ..Health::default() };
        let live = if alone.is_live() { "yes" } else { "no" };
        assert!(document.contains(&format!("\n| `{}` | {live} | ", reason.code)), "{}", reason.code);
    }
}
