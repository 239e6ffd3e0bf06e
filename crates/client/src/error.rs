//! What can go wrong, told apart by who has to act on it.

use std::time::Duration;

use swarmmq_protocol::message::MessageError;
use swarmmq_protocol::{DecodeError, ErrorCode, ErrorReply, NameError};

use crate::encryption::EncryptionError;

/// Why an operation did not do what was asked.
///
/// An error says for certain that nothing was done, but where [`Error::is_uncertain`] says otherwise:
/// that is [`Error::OutcomeUnknown`], and [`Error::Refused`] with [`ErrorCode::Timeout`] or
/// [`ErrorCode::Internal`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node answered with an error. Its code says what to do.
    #[error("the node refused: {0}")]
    Refused(ErrorReply),
    /// The node refused the connection: a wrong credential, or no version in common.
    #[error("the node refused the connection: {0}")]
    HandshakeRefused(ErrorReply),
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The address tried last.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The connection was lost and the operation cannot be repeated by itself.
    #[error("the connection was lost: {reason}")]
    ConnectionLost {
        /// How it was lost.
        reason: String,
    },
    /// It was not done within the time it was given; nothing took effect.
    #[error("{operation} was not done within {limit:?}{}", last.as_ref().map(|last| format!("; the last try: {last}")).unwrap_or_default())]
    TimedOut {
        /// What was asked for.
        operation: &'static str,
        /// The time it was given.
        limit: Duration,
        /// Why the last try failed, if there was one.
        last: Option<Box<Error>>,
    },
    /// It may or may not have taken effect: it was sent, and no answer came.
    #[error("whether it took effect is not known: {cause}")]
    OutcomeUnknown {
        /// What ended the wait for the answer.
        cause: Box<Error>,
    },
    /// The client, the producer or the consumer is closed. Nothing was sent.
    #[error("it is closed")]
    Closed,
    /// The message is larger than what the node accepts. Nothing was sent.
    #[error("the message has {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// Its encoded size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The caller asked for something that cannot be. Nothing was sent.
    #[error("{0}")]
    Misuse(Misuse),
    /// The TLS configuration cannot be used.
    #[error("the TLS configuration cannot be used: {reason}")]
    Tls {
        /// What is wrong with it.
        reason: String,
    },
    /// The node broke the protocol.
    #[error("the node broke the protocol: {reason}")]
    Protocol {
        /// What it sent.
        reason: String,
    },
    /// A message could not be encrypted or decrypted.
    #[error("{0}")]
    Encryption(#[from] EncryptionError),
}

/// What a caller asked for that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// A text is not a name.
    #[error("it is not a name: {0}")]
    Name(#[from] NameError),
    /// A message breaks a limit of the protocol.
    #[error("the message cannot be encoded: {0}")]
    Message(#[from] MessageError),
    /// An option is out of its range.
    #[error("{option} cannot be {value}: {reason}")]
    Option {
        /// Which.
        option: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// More is waiting than the library keeps.
    #[error("{what} are over their limit of {limit}")]
    TooMany {
        /// What is waiting.
        what: &'static str,
        /// How many may.
        limit: usize,
    },
}

impl Error {
    /// Whether the same operation may succeed later, without anybody changing anything.
    ///
    /// It is not so for [`Error::OutcomeUnknown`]: the operation may have been done already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(reply) | Self::HandshakeRefused(reply) => reply.code.is_retryable(),
            Self::Connect { .. } | Self::ConnectionLost { .. } | Self::TimedOut { .. } => true,
            Self::OutcomeUnknown { .. }
            | Self::Closed
            | Self::TooLarge { .. }
            | Self::Misuse(_)
            | Self::Tls { .. }
            | Self::Protocol { .. }
            | Self::Encryption(_) => false,
        }
    }

    /// Whether the operation may have taken effect in spite of the error.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::Refused(reply) => matches!(reply.code, ErrorCode::Timeout | ErrorCode::Internal),
            _ => false,
        }
    }

    /// The code of the node's answer, where there was one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(reply) | Self::HandshakeRefused(reply) => Some(reply.code),
            Self::OutcomeUnknown { cause } => cause.code(),
            Self::TimedOut { last, .. } => last.as_ref().and_then(|last| last.code()),
            _ => None,
        }
    }
}

/// Whether an answer with this code means for certain that the request it answers did nothing.
pub(crate) fn says_nothing_was_done(code: ErrorCode) -> bool {
    // A node that loses its leadership or stops may have handed the command on before.
    !matches!(
        code,
        ErrorCode::Timeout | ErrorCode::Internal | ErrorCode::Unavailable | ErrorCode::ShuttingDown
    )
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Misuse(error.into())
    }
}

impl From<MessageError> for Error {
    fn from(error: MessageError) -> Self {
        Self::Misuse(error.into())
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Protocol { reason: error.to_string() }
    }
}
