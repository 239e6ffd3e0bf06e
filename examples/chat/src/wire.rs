//! MessagePack, as clients and servers speak it: maps with texts for keys.

use bytes::Bytes;
use rmp_serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest message that is read, in bytes.
pub(crate) const WIRE_BYTES_MAX: usize = 1024 * 1024;

/// How deep maps and lists may stand in each other. Ours are four deep.
const DEPTH_MAX: usize = 16;

/// Why a message cannot be understood or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a mensagem tem {0} bytes, o limite é {WIRE_BYTES_MAX}")]
    TooLarge(usize),
    #[error("a mensagem não é MessagePack do formato esperado: {0}")]
    Malformed(String),
}

/// Reads a message. Keys that are not known are passed over; what stands behind it is an error.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > WIRE_BYTES_MAX {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let mut rest = bytes;
    let mut deserializer = Deserializer::new(&mut rest);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(WireError::Malformed(format!("{} bytes a mais", rest.len())));
    }
    Ok(value)
}

/// Writes a message.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, WireError> {
    rmp_serde::to_vec_named(value).map(Bytes::from).map_err(malformed)
}

fn malformed(error: impl std::error::Error) -> WireError {
    let mut reason = error.to_string();
    // It may repeat what the peer sent, and goes into logs and replies.
    let end = reason.char_indices().map(|(at, _)| at).find(|at| *at >= 120).unwrap_or(reason.len());
    reason.truncate(end);
    WireError::Malformed(reason)
}

/// What all requests and replies, and the messages on topic `servers`, have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    /// What is asked for, or was.
    pub(crate) service: String,
    /// The rest.
    pub(crate) data: T,
}

/// What a client asks. Each service has some of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RequestData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) src: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dst: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    pub(crate) timestamp: String,
    pub(crate) clock: u64,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReplyData {
    /// [`OK`] or [`ERROR`].
    pub(crate) status: String,
    /// What went wrong; empty if nothing did.
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) users: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<Vec<String>>,
    pub(crate) timestamp: String,
    pub(crate) clock: u64,
}

/// The status of what was done.
pub(crate) const OK: &str = "OK";

/// The status of what was not done.
pub(crate) const ERROR: &str = "erro";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Request = Envelope<RequestData>;

    #[test]
    fn what_python_writes_is_read_and_unknown_keys_are_passed_over() {
        // {"service": "publish", "data": {"user": "ana", "more": [1, None], "clock": 3}}
        let bytes = b"\x82\xa7service\xa7publish\xa4data\x83\xa4user\xa3ana\xa4more\x92\x01\xc0\xa5clock\x03";
        let request: Request = decode(bytes).unwrap();
        assert_eq!((request.service.as_str(), request.data.clock), ("publish", 3));
        assert_eq!(request.data.user.as_deref(), Some("ana"));
        assert!(decode::<Request>(&[&bytes[..], b"\xc0"].concat()).is_err(), "more than one message");
        // Maps with texts for keys, and no key for what is not there.
        let data = RequestData { clock: 3, ..RequestData::default() };
        let written = encode(&Envelope { service: "x".into(), data }).unwrap();
        assert_eq!(written, &b"\x82\xa7service\xa1x\xa4data\x82\xa9timestamp\xa0\xa5clock\x03"[..]);
    }

    #[test]
    fn lengths_that_lie_and_nests_that_are_deep_are_refused() {
        for nonsense in [
            &b""[..],
            b"\xc1",
            b"\xdb\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\x82\xa7service\x05\xa4data\x80",
            b"\x82\xa7service\xa1x\xa4data\x81\xa5clock\xff",
        ] {
            assert!(decode::<Request>(nonsense).is_err(), "{}", nonsense.escape_ascii());
        }
        let deep = [&b"\x82\xa7service\xa1x\xa4data\x81\xa4more"[..], &[0x91; 100_000], b"\xc0"].concat();
        assert!(decode::<Request>(&deep).is_err());
        let large = vec![0; WIRE_BYTES_MAX + 1];
        assert_eq!(decode::<Request>(&large), Err(WireError::TooLarge(large.len())));
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Envelope<ReplyData>>(&bytes);
        }
    }
}
