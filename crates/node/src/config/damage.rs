//! Any text gives a configuration or a message.

use super::parse;

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2_000))]

    #[test]
    fn any_text_is_ok_or_an_error_with_a_message(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        said(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_that_looks_like_a_configuration_is_ok_or_an_error(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
    ) {
        said(&words.concat());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(500))]

    #[test]
    fn a_good_file_that_was_damaged_is_ok_or_an_error(
        edits in proptest::collection::vec((proptest::num::usize::ANY, 0..3_usize, proptest::num::u8::ANY), 1..8),
    ) {
        let mut bytes = include_bytes!("../../../../configs/secured.yaml").to_vec();
        for (at, what, byte) in edits {
            let at = at % bytes.len();
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        said(&String::from_utf8_lossy(&bytes));
    }
}

const WORDS: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "| ",
    "> ",
    "---\n",
    "...",
    "#",
    "? ",
    "%YAML 1.2\n",
    "\t",
    "\u{feff}",
    "\0",
    "null",
    "true",
    "0x7f",
    "1e999",
    "-0",
    "5s",
    "1MB",
    "localhost:9001",
    "cluster",
    "nodes",
    "id",
    "address",
    "roles",
    "zeromq",
    "endpoints",
    "mechanisms",
    "security",
    "api_keys",
    "sha256",
    "performance",
    "batch_size",
    "ack_timeout",
    "listen",
    "native",
    "telemetry",
    "log_level",
    "tcp://*:1",
    "\u{1F980}",
    "\\uD800",
];

/// Parses, and says what is wrong as an operator would see it.
fn said(text: &str) {
    if let Err(error) = parse(text) {
        assert!(!error.problems.is_empty() && !error.to_string().is_empty());
    }
}
