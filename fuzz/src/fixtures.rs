//! Bytes that earlier versions have written, as the crates keep them.

/// The frames of the native protocol, one a line: a name, a space, hexadecimal digits.
pub const FRAMES: &str = include_str!("../../crates/protocol/tests/frames/version-1.txt");
/// An entry with a command of each kind, in hexadecimal digits.
pub const ENTRY: &str = include_str!("../../crates/broker/src/tests/fixtures/entry_v1.hex");
/// A snapshot of a shard with something of everything in it, in hexadecimal digits.
pub const SNAPSHOT: &str = include_str!("../../crates/broker/src/tests/fixtures/snapshot_v1.hex");

macro_rules! journal {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../crates/journal/tests/fixtures/v1/", $name)))),+]
    };
}

/// The files of a journal.
pub const JOURNAL: &[(&str, &[u8])] = journal![
    "journal.manifest",
    "journal.mark",
    "segment-0000000002.log",
    "segment-0000000003.cold",
    "segment-0000000003.index",
    "snapshot-00000001-0000000000000023.snap",
    "spare-0000000003.log",
];

/// The bytes that hexadecimal digits stand for.
#[must_use]
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The frames by their names.
pub fn frames() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FRAMES.lines().filter_map(|line| line.split_once(' ')).map(|(name, digits)| (name, unhex(digits)))
}
