//! Conditions of a group's filter.

use swarmmq::Condition;

use crate::console::printable;

/// Reads `key=K`, `key^=PREFIX`, `header:NAME=VALUE` or `priority>=N`.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    if let Some(prefix) = text.strip_prefix("key^=") {
        return Ok(Condition::KeyStartsWith(prefix.to_owned().into()));
    }
    if let Some(key) = text.strip_prefix("key=") {
        return Ok(Condition::KeyIs(key.to_owned().into()));
    }
    if let Some((name, value)) = text.strip_prefix("header:").and_then(|header| header.split_once('=')) {
        return Ok(Condition::HeaderIs(name.to_owned(), value.to_owned().into()));
    }
    if let Some(priority) = text.strip_prefix("priority>=").and_then(|number| number.parse().ok()) {
        return Ok(Condition::PriorityAtLeast(priority));
    }
    Err("write key=K, key^=PREFIX, header:NAME=VALUE or priority>=N".into())
}

pub(super) fn show(condition: &Condition) -> String {
    match condition {
        Condition::KeyIs(key) => format!("key={}", printable(key, false)),
        Condition::KeyStartsWith(prefix) => format!("key^={}", printable(prefix, false)),
        Condition::HeaderIs(name, value) => format!("header:{name}={}", printable(value, false)),
        Condition::PriorityAtLeast(priority) => format!("priority>={priority}"),
        _ => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["key=eu", "key^=eu.", "header:source=shop=1", "priority>=7"] {
            assert_eq!(show(&condition(text).unwrap()), text);
        }
        for text in ["key", "header:source", "priority>7", "priority>=high", ""] {
            assert!(condition(text).is_err(), "{text}");
        }
    }
}
