//! What tells a request that a client repeats: an extension of SwarmMQ, in the first frame of the body.

use bytes::Bytes;

/// Most bytes of an id.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// What the frame of an id begins with.
const PREFIX: &[u8] = b"swarmmq-id:";

/// A client's own id of a request, the same each time that it asks: 1 to 64 bytes of any kind.
///
/// ```text
///  first frame of the body   "swarmmq-id:" id        the rest is what is asked
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Bytes);

/// Why a frame, or a body, has no id although it looks as if.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// There are no bytes, or too many.
    #[error("the id of a request has {0} bytes, not 1 to {REQUEST_ID_BYTES_MAX}")]
    Length(usize),
    /// Nothing is asked.
    #[error("there is nothing behind the id of a request")]
    NoBody,
}

impl RequestId {
    /// Checks an id, which is copied.
    ///
    /// # Errors
    /// [`RequestIdError::Length`].
    pub fn new(id: &[u8]) -> Result<Self, RequestIdError> {
        match id.len() {
            1..=REQUEST_ID_BYTES_MAX => Ok(Self(Bytes::copy_from_slice(id))),
            length => Err(RequestIdError::Length(length)),
        }
    }

    /// The id that a number makes: 32 hexadecimal digits. Drawn at random, it is one that nobody can guess.
    #[must_use]
    pub fn from_value(value: u128) -> Self {
        Self(Bytes::from(format!("{value:032x}")))
    }

    /// Takes the id off a body, if there is one.
    ///
    /// # Errors
    /// [`RequestIdError`], and the body is as it was.
    pub fn take_from(body: &mut Vec<Bytes>) -> Result<Option<Self>, RequestIdError> {
        let Some(id) = body.first().and_then(|frame| frame.strip_prefix(PREFIX)) else { return Ok(None) };
        let id = Self::new(id)?;
        if body.len() == 1 {
            return Err(RequestIdError::NoBody);
        }
        body.remove(0);
        Ok(Some(id))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The frame that goes before the body.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        Bytes::from([PREFIX, &self.0].concat())
    }
}
