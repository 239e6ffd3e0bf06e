//! What is in a server's files and in its log, and what must be so.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::Program;

const FILES: [&str; 2] = ["publications.jsonl", "messages.jsonl"];

/// The whole lines of both files.
pub(crate) fn lines(server: &Program) -> Vec<String> {
    FILES.iter().flat_map(|file| lines_of(server, file)).collect()
}

fn lines_of(server: &Program, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(server.folder.join(file)).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect()
}

pub(crate) fn records(server: &Program) -> Vec<Value> {
    lines(server).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn users(server: &Program) -> String {
    let text = std::fs::read(server.folder.join("registry.json")).unwrap_or_default();
    let registry: Value = serde_json::from_slice(&text).unwrap_or_default();
    registry["users"].to_string()
}

/// Checks a server's files, once all is over.
pub(crate) fn check(server: &Program, taken: &BTreeSet<String>) {
    let name = server.folder.file_name().unwrap().to_str().unwrap();
    let lines = lines(server);
    let once: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(once.len(), lines.len(), "{name}: a record stands twice");
    let texts: BTreeSet<String> =
        records(server).iter().map(|record| record["message"].as_str().unwrap().to_owned()).collect();
    let lost: Vec<_> = taken.difference(&texts).collect();
    assert!(lost.is_empty(), "{name} lacks what was acknowledged: {lost:?}");
    for file in FILES {
        let mut highest = 0;
        for line in lines_of(server, file) {
            let record: Value = serde_json::from_str(&line).unwrap();
            let clock = record["clock"].as_u64().unwrap();
            assert!(record["origin"] != name || clock > highest, "{name}: {line} stands behind {highest}");
            highest = highest.max(clock);
        }
    }
}

/// Who coordinates, as the server last said.
pub(crate) fn coordinator(server: &Program) -> Option<String> {
    let log = server.log();
    log.lines().rev().find_map(|line| {
        let (_, said) = line.split_once("] ")?;
        match said.split_once(": ")? {
            ("coordenador inicial" | "novo coordenador eleito", name) => Some(Some(name.to_owned())),
            ("sem contato com a referência", _) => Some(None),
            _ => None,
        }
    })?
}
