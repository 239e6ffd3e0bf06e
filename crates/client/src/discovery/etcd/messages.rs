//! The JSON of etcd's gateway, as far as it is used. Its 64-bit numbers are texts, and what is zero is left out.

use serde::{Deserialize, Deserializer, Serialize};

/// Reads a number that may be a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Unsigned(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(i128::from(number)),
        Either::Unsigned(number) => Ok(i128::from(number)),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    i64::try_from(number(deserializer)?).map_err(serde::de::Error::custom)
}

fn unsigned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::try_from(number(deserializer)?).map_err(serde::de::Error::custom)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "unsigned")]
    pub(super) cluster_id: u64,
    #[serde(deserialize_with = "unsigned")]
    pub(super) revision: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: String,
    #[serde(deserialize_with = "unsigned")]
    pub(super) mod_revision: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RangeRequest {
    pub(super) key: String,
    pub(super) range_end: String,
    pub(super) limit: u64,
    /// 0: now.
    pub(super) revision: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RangeResponse {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct GrantRequest {
    #[serde(rename = "TTL")]
    pub(super) ttl: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    #[serde(rename = "ID", deserialize_with = "signed")]
    pub(super) id: i64,
    /// 0: there is no such lease any more.
    #[serde(rename = "TTL", deserialize_with = "signed")]
    pub(super) ttl: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct LeaseRequest {
    #[serde(rename = "ID")]
    pub(super) id: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct PutRequest {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) lease: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct DeleteRequest {
    pub(super) key: String,
}

#[derive(Debug, Serialize)]
pub(super) struct AuthenticateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthenticateResponse {
    pub(super) token: String,
}

#[derive(Debug, Serialize)]
pub(super) struct WatchRequest {
    pub(super) create_request: WatchCreate,
}

#[derive(Debug, Serialize)]
pub(super) struct WatchCreate {
    pub(super) key: String,
    pub(super) range_end: String,
    pub(super) start_revision: u64,
    pub(super) progress_notify: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchResponse {
    pub(super) header: Header,
    pub(super) created: bool,
    pub(super) canceled: bool,
    pub(super) cancel_reason: String,
    #[serde(deserialize_with = "unsigned")]
    pub(super) compact_revision: u64,
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    /// Left out for a put.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) kv: KeyValue,
}

/// One piece of an answer that streams.
#[derive(Debug, Deserialize)]
pub(super) struct Piece<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<serde_json::Value>,
}

/// What etcd says where it does not do what was asked: a gRPC code, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: u64,
    pub(super) message: String,
}

impl Trouble {
    /// Reads an error in any of the shapes that versions of the gateway give it.
    pub(super) fn of(value: &serde_json::Value) -> Self {
        let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
        let code = ["code", "grpc_code"].iter().find_map(|name| inner.get(name)?.as_u64());
        let message = ["message", "error"].iter().find_map(|name| inner.get(name)?.as_str());
        let mut message = message.map_or_else(|| inner.to_string(), str::to_owned);
        message.truncate(message.floor_char_boundary(500));
        Self { code: code.unwrap_or_default(), message }
    }

    /// Whether there is no such lease.
    pub(super) fn is_not_found(&self) -> bool {
        self.code == 5
    }

    /// Whether we have to say again who we are.
    pub(super) fn is_about_the_token(&self) -> bool {
        self.code == 16
            || self.message.contains("invalid auth token")
            || self.message.contains("revision of auth store is old")
    }

    /// Whether another member may answer, or this one later.
    pub(super) fn is_temporary(&self) -> bool {
        // Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable.
        matches!(self.code, 1 | 2 | 4 | 8 | 10 | 13 | 14)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_come_as_texts_and_zeros_not_at_all() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"7","raft_term":"2"},
            "kvs":[{"key":"YQ==","create_revision":"5","mod_revision":"7","version":"2","value":"Yg=="}],"count":"1"}"#;
        let range: RangeResponse = serde_json::from_str(text).unwrap();
        assert_eq!((range.header.cluster_id, range.header.revision), (14_841_639_068_965_178_418, 7));
        assert_eq!((range.kvs[0].mod_revision, range.more), (7, false));
        let lease: Lease = serde_json::from_str(r#"{"ID":"-7","header":{}}"#).unwrap();
        assert_eq!((lease.id, lease.ttl), (-7, 0));
        assert!(serde_json::from_str::<Header>(r#"{"revision":"x"}"#).is_err());
    }

    #[test]
    fn errors_are_read_in_every_shape() {
        let plain = json!({"error": "etcdserver: requested lease not found", "code": 5, "message": "etcdserver: requested lease not found"});
        assert!(Trouble::of(&plain).is_not_found());
        let streamed =
            json!({"grpc_code": 16, "http_code": 401, "message": "etcdserver: invalid auth token"});
        assert!(Trouble::of(&streamed).is_about_the_token());
        let nested = json!({"error": {"grpc_code": 14, "message": "etcdserver: no leader"}});
        assert!(Trouble::of(&nested).is_temporary());
        assert_eq!(Trouble::of(&json!({"error": "no"})), Trouble { code: 0, message: "no".into() });
    }
}
