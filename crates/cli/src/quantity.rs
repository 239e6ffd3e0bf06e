//! Quantities as users write them and read them.
//!
//! What a configuration file takes, the command line takes too.

use std::time::Duration;

use swarmmq_node::config::{Size, parse_duration};

/// Reads a duration, as `250ms`, `5s` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|reason| format!("{reason}; write it as 250ms, 5s, 10m, 2h or 7d"))
}

/// Reads a duration, in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    duration(text).map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a size, in bytes, as `512`, `64KiB` or `1MB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let size: Size = text.parse().map_err(|reason| format!("{reason}; write it as 512, 64KiB or 1MB"))?;
    Ok(size.bytes())
}

/// Reads a number of messages a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a rate is a number of messages a second, above 0".into()),
    }
}

/// Reads a count of at least one, in which `_` may stand between digits.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse::<u64>() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("it must be a whole number".into()),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number of bytes in the unit a person would use, as `1.2 MB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        value /= 1000.0;
        name = unit;
        // What would be rounded up to the next unit belongs there.
        if value < 999.95 {
            break;
        }
    }
    format!("{value:.1} {name}")
}

/// A length of time with its two most telling units, as `1h 3m`.
pub(crate) fn show_age(ms: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let mut rest = ms;
    let mut parts = Vec::new();
    for (name, length) in UNITS {
        if rest >= length {
            parts.push(format!("{}{name}", rest / length));
        } else if !parts.is_empty() {
            break;
        }
        rest %= length;
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

/// A latency, with three digits that count.
pub(crate) fn show_latency(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1000.0 => (us, "µs"),
        us if us < 1_000_000.0 => (us / 1000.0, "ms"),
        us => (us / 1_000_000.0, "s"),
    };
    match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (count, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(show_count(count), shown);
        }
        assert_eq!(count("1_000_000"), Ok(1_000_000));
        assert!(count("0").is_err());
        assert!(count("ten").is_err());
    }

    #[test]
    fn sizes_stay_below_a_thousand_of_their_unit() {
        for (bytes, shown) in [
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(show_bytes(bytes), shown);
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (ms, shown) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (61_000, "1m 1s"),
            (3_600_000, "1h"),
            (3_661_000, "1h 1m"),
            (90_061_000, "1d 1h"),
        ] {
            assert_eq!(show_age(ms), shown);
        }
    }

    #[test]
    fn latencies_have_three_digits() {
        for (us, shown) in [(1.234, "1.23 µs"), (56.78, "56.8 µs"), (999.0, "999 µs"), (1500.0, "1.50 ms")]
        {
            assert_eq!(show_latency(us), shown);
        }
    }

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "inf", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
