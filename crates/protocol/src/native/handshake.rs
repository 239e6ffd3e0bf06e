//! The first two frames of a connection: who speaks, and what.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::FIELD_BYTES_MAX;

/// The first bytes of a Hello's body, so that a peer speaking something else is recognised.
pub const MAGIC: [u8; 4] = *b"SWMQ";
/// The version of the protocol this crate speaks.
pub const VERSION: u16 = 1;

/// How a client shows who it is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// It does not, or its TLS certificate does.
    None,
    /// An API key, 1 to 255 bytes.
    ApiKey(Bytes),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(_) => "ApiKey(…)",
        })
    }
}

/// The client's first frame.
///
/// ```text
/// 0       4             6             8
/// | SWMQ  | version min | version max | client name | credential
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Lowest version the client speaks.
    pub version_min: u16,
    /// Highest version the client speaks.
    pub version_max: u16,
    /// What the client calls itself, for logs; at most 255 bytes.
    pub client: String,
    /// Who it is.
    pub credential: Credential,
}

/// The node's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version both speak from now on.
    pub version: u16,
    /// The node's id.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
    /// The node's own version, as `0.1.0`.
    pub software: String,
    /// Largest encoded message the node accepts, bytes.
    pub message_bytes_max: u32,
    /// Most requests under way on this connection; the node reads no further until some are answered.
    pub in_flight_max: u32,
    /// A connection silent for this long is closed, ms; ping before that.
    pub idle_ms: u32,
    /// The credit that a consumer should ask for whose user did not choose one, 1 to 4,096 messages.
    pub credit_default: u32,
}

impl Encode for Hello {
    fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&MAGIC);
        out.put_u16(self.version_min);
        out.put_u16(self.version_max);
        codec::put_short_bytes(out, self.client.as_bytes());
        match &self.credential {
            Credential::None => out.put_u8(0),
            Credential::ApiKey(key) => {
                out.put_u8(1);
                codec::put_short_bytes(out, key);
            }
        }
    }
}

impl Decode for Hello {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.take("magic", MAGIC.len())? != MAGIC.as_slice() {
            return Err(DecodeError::Invalid {
                field: "magic",
                reason: "a connection begins with SWMQ".into(),
            });
        }
        Ok(Self {
            version_min: reader.u16("lowest version")?,
            version_max: reader.u16("highest version")?,
            client: reader.string("client name", FIELD_BYTES_MAX)?,
            credential: match reader.u8("credential")? {
                0 => Credential::None,
                1 => Credential::ApiKey(reader.short_bytes("API key", FIELD_BYTES_MAX)?),
                other => return Err(reader.unknown("credential", 1, u64::from(other))),
            },
        })
    }
}

impl Encode for Welcome {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u16(self.version);
        for text in [&self.node, &self.cluster, &self.software] {
            codec::put_short_bytes(out, text.as_bytes());
        }
        out.put_u32(self.message_bytes_max);
        out.put_u32(self.in_flight_max);
        out.put_u32(self.idle_ms);
        out.put_u32(self.credit_default);
    }
}

impl Decode for Welcome {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u16("version")?,
            node: reader.string("node id", FIELD_BYTES_MAX)?,
            cluster: reader.string("cluster name", FIELD_BYTES_MAX)?,
            software: reader.string("software version", FIELD_BYTES_MAX)?,
            message_bytes_max: reader.u32("message_bytes_max")?,
            in_flight_max: reader.u32("in_flight_max")?,
            idle_ms: reader.u32("idle time")?,
            credit_default: reader.u32("default credit")?,
        })
    }
}
