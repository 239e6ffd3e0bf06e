//! Sizes and durations with their units.

use std::time::Duration;

use super::fields::Value;
use super::problem::ProblemKind;
use super::tree::{Node, Yaml};

/// A number of bytes: `1MB` (a million), `1MiB` (1,048,576), `512` (bytes).
///
/// Units: `B`, `kB`/`KB`, `MB`, `GB`, `TB` are powers of 1000; `KiB`, `MiB`, `GiB`, `TiB` powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    /// So many mebibytes.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = SIZE_UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) if *bytes > 1 => write!(f, "{}{name}", self.0 / bytes),
            _ => write!(f, "{}B", self.0),
        }
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
        let factor = factor.ok_or_else(|| format!("there is no unit {unit:?}"))?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "it is too large".to_owned())
    }
}

impl Value for Size {
    const EXPECTED: &'static str =
        "a size, as 512, \"64KiB\" or \"1MB\" (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)";
    const KIND: &'static str = "size";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => text.parse().map_err(|reason| Self::invalid(text, Some(reason))),
            Yaml::Integer(bytes) => u64::try_from(*bytes).map(Self).map_err(|_| ProblemKind::OutOfRange {
                value: bytes.to_string(),
                least: "0".into(),
                most: u64::MAX.to_string(),
            }),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() && number == 0 {
        return Ok(Duration::ZERO);
    }
    let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms);
    let factor = factor.ok_or_else(|| match unit {
        "" => "the unit is missing".to_owned(),
        unit => format!("there is no unit {unit:?}"),
    })?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(|| "it is too long".to_owned())
}

/// Writes a duration as [`parse_duration`] reads it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = DURATION_UNITS.iter().find(|(_, unit)| ms >= *unit && ms.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => "0s".to_owned(),
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration, as \"250ms\", \"5s\" or \"7d\" (units: ms, s, m, h, d)";
    const KIND: &'static str = "duration";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => parse_duration(text).map_err(|reason| Self::invalid(text, Some(reason))),
            Yaml::Integer(0) => Ok(Self::ZERO),
            Yaml::Integer(number) => {
                Err(Self::invalid(&number.to_string(), "the unit is missing".to_owned()))
            }
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        show_duration(*self)
    }
}

/// Splits a whole number from the unit behind it. One space may stand between them.
fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err("it must begin with a whole number".to_owned());
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let number = digits.parse().map_err(|_| "the number is too large".to_owned())?;
    Ok((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [
            ("1MB", 1_000_000),
            ("64MiB", 64 << 20),
            ("512", 512),
            ("0", 0),
            ("3 kB", 3_000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in
            [("5s", 5_000), ("250ms", 250), ("7d", 604_800_000), ("0", 0), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse_duration("5"), Err("the unit is missing".into()));
        assert_eq!(parse_duration("5 parsecs"), Err("there is no unit \"parsecs\"".into()));
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("1.5s").is_err());
        assert!(parse_duration("99999999999999999999s").is_err());
        assert!(parse_duration("18446744073709551615d").is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64, ms in 0..u64::MAX / 2) {
            proptest::prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let duration = Duration::from_millis(ms);
            proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
    }
}
