//! Where a group starts, or is set to.

use swarmmq::Position;

use crate::quantity::milliseconds;
use crate::time::{now_ms, parse_time, show_time};

/// Reads `earliest`, `latest`, a sequence, a time, or an age, as `2h`.
pub(crate) fn position(text: &str) -> Result<Position, String> {
    match text {
        "earliest" => return Ok(Position::Earliest),
        "latest" => return Ok(Position::Latest),
        _ => {}
    }
    if let Ok(sequence) = text.parse() {
        return Ok(Position::Sequence(sequence));
    }
    if let Some(time) = parse_time(text) {
        return Ok(Position::Time(time));
    }
    if let Ok(age) = milliseconds(text) {
        return Ok(Position::Time(now_ms().saturating_sub(age)));
    }
    Err("write earliest, latest, a sequence as 42, a time as 2025-01-31T10:00:00Z, or an age as 2h".into())
}

pub(super) fn show(position: Position) -> String {
    match position {
        Position::Earliest => "earliest".into(),
        Position::Latest => "latest".into(),
        Position::Sequence(sequence) => sequence.to_string(),
        Position::Time(ms) => show_time(ms),
        _ => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_words_sequences_times_and_ages() {
        assert_eq!(position("earliest"), Ok(Position::Earliest));
        assert_eq!(position("latest"), Ok(Position::Latest));
        assert_eq!(position("42"), Ok(Position::Sequence(42)));
        assert_eq!(position("1970-01-02T00:00:00Z"), Ok(Position::Time(86_400_000)));
        let hour_ago = now_ms() - 3_600_000;
        match position("1h") {
            Ok(Position::Time(ms)) => assert!(ms.abs_diff(hour_ago) < 60_000, "{ms} {hour_ago}"),
            other => panic!("{other:?}"),
        }
        assert!(position("soon").is_err());
        assert!(position("-1").is_err());
    }
}
