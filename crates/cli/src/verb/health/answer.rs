//! What a node says of its health.

use serde_json::Value;

use crate::console::printable;

/// An answer over HTTP.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body, if it is JSON.
    pub(super) report: Value,
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at_checked(end)?;
        let mut words = std::str::from_utf8(head).ok()?.lines().next()?.split(' ');
        let status = words.next()?.starts_with("HTTP/1.").then(|| words.next())??.parse().ok()?;
        let report = serde_json::from_slice(body.get(4..)?).unwrap_or(Value::Null);
        Some(Self { status, report })
    }

    /// Why the node is not healthy, in its own words.
    pub(super) fn reasons(&self) -> String {
        let text = match (self.explanations("reasons"), self.report.get("status").and_then(Value::as_str)) {
            (Some(reasons), _) => reasons,
            (None, Some(status)) => status.to_owned(),
            (None, None) => format!("it answers with status {}", self.status),
        };
        printable(text.as_bytes(), false)
    }

    /// What a node that is healthy does not do, in its own words; `None` if it does everything.
    pub(super) fn degraded(&self) -> Option<String> {
        self.explanations("degraded").map(|text| printable(text.as_bytes(), false))
    }

    fn explanations(&self, list: &str) -> Option<String> {
        let reasons = self.report.get(list)?.as_array()?;
        let reasons: Vec<_> =
            reasons.iter().filter_map(|reason| reason.get("explanation").and_then(Value::as_str)).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line() {
        let answer =
            Answer::parse(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!(answer, Answer { status: 503, report: Value::Null });
        assert_eq!(answer.reasons(), "it answers with status 503");
        assert_eq!(Answer::parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(Answer::parse(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn the_reasons_are_those_of_the_node() {
        let body = r#"{"status":"not ready","reasons":[{"code":"STARTING","explanation":"it reads"}]}"#;
        let bytes = format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{body}");
        assert_eq!(Answer::parse(bytes.as_bytes()).unwrap().reasons(), "it reads");
    }
}
