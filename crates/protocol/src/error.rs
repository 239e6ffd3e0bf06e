//! The errors a client can be told.

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::EXPLANATION_BYTES_MAX;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $retry:ident;)+) => {
        /// What kind of error it is: a number that never changes its meaning.
        ///
        /// On a ZeroMQ endpoint the code stands as its text, elsewhere as two bytes. `docs/errors.md`
        /// says for each what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code's short text, as `UNKNOWN-DESTINATION`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whether the same request may succeed later, without anybody changing anything.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$name => codes!(@$retry),)+ }
            }

            /// The code with this number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
    (@later) => { true };
    (@never) => { false };
}

codes! {
    /// The bytes are not a request.
    Malformed = 1, "MALFORMED", never;
    /// The peer speaks no version that this node speaks.
    UnsupportedVersion = 2, "UNSUPPORTED-VERSION", never;
    /// The peer has not said who it is, or what it showed is not valid.
    Unauthenticated = 3, "UNAUTHENTICATED", never;
    /// The peer may not do this.
    Forbidden = 4, "FORBIDDEN", never;
    /// A message is larger than the node or the destination accepts.
    TooLarge = 5, "TOO-LARGE", never;
    /// There is no such destination.
    UnknownDestination = 6, "UNKNOWN-DESTINATION", never;
    /// The destination has no such group.
    UnknownGroup = 7, "UNKNOWN-GROUP", never;
    /// There is one of that name already, with other settings.
    AlreadyExists = 8, "ALREADY-EXISTS", never;
    /// A text is not a name.
    InvalidName = 9, "INVALID-NAME", never;
    /// Settings contradict each other or are out of range.
    InvalidSettings = 10, "INVALID-SETTINGS", never;
    /// The destination holds as much as its settings allow, and refuses more.
    DestinationFull = 11, "DESTINATION-FULL", later;
    /// The node's disk is full. Reading and acknowledging go on.
    DiskFull = 12, "DISK-FULL", later;
    /// The node has as much to do as it allows itself.
    Overloaded = 13, "OVERLOADED", later;
    /// The destination's shard is led by another node.
    NotLeader = 14, "NOT-LEADER", later;
    /// The shard has no leader, or none that can commit.
    Unavailable = 15, "UNAVAILABLE", later;
    /// The node is stopping.
    ShuttingDown = 16, "SHUTTING-DOWN", later;
    /// A newer epoch of the same producer exists.
    Fenced = 17, "FENCED", never;
    /// A message of the producer session before this one is missing.
    SequenceGap = 18, "SEQUENCE-GAP", never;
    /// The producer session is not known any more, so that a retry cannot be told from a new message.
    UnknownProducer = 19, "UNKNOWN-PRODUCER", never;
    /// The destination's last sequence is not the expected one.
    WrongRevision = 20, "WRONG-REVISION", never;
    /// The message was leased again since; the receipt is of an earlier lease.
    StaleReceipt = 21, "STALE-RECEIPT", never;
    /// The request took longer than it was given. Whether it took effect is not known.
    Timeout = 22, "TIMEOUT", later;
    /// A limit of the node is reached: destinations, groups, subscriptions.
    LimitReached = 23, "LIMIT-REACHED", never;
    /// The destination's kind does not do this.
    Unsupported = 24, "UNSUPPORTED", never;
    /// A fault of the node. Its log says more.
    Internal = 25, "INTERNAL", never;
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Decode for ErrorCode {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let number = reader.u16("error code")?;
        Self::from_number(number).ok_or_else(|| reader.unknown("error code", 2, u64::from(number)))
    }
}

impl Encode for ErrorCode {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u16(*self as u16);
    }
}

/// An error as a client is told it: the code, what was wrong in a sentence, and where to go instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {explanation}")]
pub struct ErrorReply {
    /// The kind.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do. At most 1 KiB.
    pub explanation: String,
    /// With [`ErrorCode::NotLeader`], the address of the node that leads, if it is known.
    pub leader: Option<String>,
}

impl ErrorReply {
    /// An error with its explanation, which is cut to 1 KiB.
    #[must_use]
    pub fn new(code: ErrorCode, explanation: impl Into<String>) -> Self {
        let mut explanation = explanation.into();
        if explanation.len() > EXPLANATION_BYTES_MAX {
            let end =
                (0..=EXPLANATION_BYTES_MAX).rev().find(|end| explanation.is_char_boundary(*end)).unwrap_or(0);
            explanation.truncate(end);
        }
        Self { code, explanation, leader: None }
    }

    /// The error for a request that could not be read.
    #[must_use]
    pub fn malformed(error: &DecodeError) -> Self {
        Self::new(ErrorCode::Malformed, error.to_string())
    }
}

impl Encode for ErrorReply {
    fn encode(&self, out: &mut BytesMut) {
        self.code.encode(out);
        codec::put_short_bytes(out, self.explanation.as_bytes());
        codec::put_option(out, self.leader.as_ref(), |out, leader| {
            codec::put_short_bytes(out, leader.as_bytes())
        });
    }
}

impl Decode for ErrorReply {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            code: ErrorCode::decode(reader)?,
            explanation: reader.string("explanation", EXPLANATION_BYTES_MAX)?,
            leader: reader
                .option("leader", |reader| reader.string("leader address", EXPLANATION_BYTES_MAX))?,
        })
    }
}
