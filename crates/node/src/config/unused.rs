//! Keys that are read and have no effect yet. Whoever sets one is told: a dead-letter queue that is configured and
//! never used is worse than one that is refused.

use std::collections::BTreeMap;

use super::loading::Warning;
use super::problem::Place;

/// The keys. Take one out when something reads it, here and in `docs/configuration.md`.
pub(super) const NOT_USED_YET: [&str; 2] = ["security.users", "zeromq.endpoints[].curve_secret_key_file"];

/// One warning for all of them that stand in the file.
pub(super) fn warning(places: &BTreeMap<String, Place>) -> Option<Warning> {
    let set: Vec<&'static str> = NOT_USED_YET
        .into_iter()
        .filter(|key| places.keys().any(|path| without_indexes(path) == **key))
        .collect();
    (!set.is_empty()).then_some(Warning::NotUsedYet(set))
}

/// `a[12].b` as `a[].b`.
fn without_indexes(path: &str) -> String {
    let mut is_index = false;
    path.chars()
        .filter(|c| {
            match c {
                '[' => is_index = true,
                ']' => is_index = false,
                _ => return !is_index,
            }
            true
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_left_out_of_a_path() {
        assert_eq!(without_indexes("zeromq.endpoints[12].bind"), "zeromq.endpoints[].bind");
        assert_eq!(without_indexes("security.users"), "security.users");
    }
}
