//! What servers ask the reference, and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::election::ServerList;
use crate::time;

/// What a server asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// Its rank, which it keeps for good.
    Rank,
    /// Nothing; it says that it is alive.
    Heartbeat,
    /// Who is alive.
    List,
    /// The time.
    Clock,
}

impl Question {
    /// Its name on the wire.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Rank => "rank",
            Self::Heartbeat => "heartbeat",
            Self::List => "list",
            Self::Clock => "clock",
        }
    }
}

/// What goes with a question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct QuestionData {
    /// The server that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    pub(crate) timestamp: String,
    pub(crate) clock: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AnswerData {
    pub(crate) status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rank: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<ServerList>,
    /// Seconds since 1970. References that others wrote may write ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Value>,
    pub(crate) timestamp: String,
    pub(crate) clock: u64,
}

impl AnswerData {
    /// The time, in milliseconds since 1970, if it can be understood.
    pub(crate) fn time_ms(&self) -> Option<i64> {
        match self.time.as_ref()? {
            Value::String(text) => time::parse(text),
            Value::Number(seconds) => {
                let seconds = seconds.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
                let since = std::time::Duration::try_from_secs_f64(seconds).ok()?;
                i64::try_from(since.as_millis()).ok()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_in_seconds_and_as_iso_8601() {
        let read = |text: &str| serde_json::from_str::<AnswerData>(text).unwrap().time_ms();
        assert_eq!(read(r#"{"time": 951827696.789}"#), Some(951_827_696_789));
        assert_eq!(read(r#"{"time": 951827696}"#), Some(951_827_696_000));
        assert_eq!(read(r#"{"time": "2000-02-29T12:34:56.789Z"}"#), Some(951_827_696_789));
        for nonsense in
            ["{}", r#"{"time": -5}"#, r#"{"time": 1e300}"#, r#"{"time": []}"#, r#"{"time": "now"}"#]
        {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
