//! The Titanic protocol, RFC 9/TSP: requests that are stored, worked on later, and answered when their client asks.
//!
//! ```text
//!  service          body of the request     body of the reply
//!  titanic.request  service body…           200 id  | 500
//!  titanic.reply    id                      200 body… | 300 | 400 | 500
//!  titanic.close    id                      200 | 400 | 500
//! ```
//!
//! All three are services of Majordomo, so these are the bodies of its requests and replies, of one frame or more. An
//! id is exactly 32 hexadecimal digits; nothing else is one, whatever a peer sends. A status is three digits, and a
//! space and words may follow, which mean nothing.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::mdp::{ServiceName, ServiceNameError};

/// The service that stores a request.
pub const REQUEST_SERVICE: &str = "titanic.request";
/// The service that says what became of one.
pub const REPLY_SERVICE: &str = "titanic.reply";
/// The service that forgets one.
pub const CLOSE_SERVICE: &str = "titanic.close";
/// All three.
pub const SERVICES: [&str; 3] = [REQUEST_SERVICE, REPLY_SERVICE, CLOSE_SERVICE];
/// Digits of a request's id.
pub const REQUEST_ID_DIGITS: usize = 32;
/// Most bytes of a status frame that is read.
pub const STATUS_BYTES_MAX: usize = 255;

/// The id of a stored request: 32 hexadecimal digits.
///
/// It keeps the digits as they were written, since a server may compare them by their bytes. Two ids that differ in
/// capitals alone are different here and have one [`value`](Self::value).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; REQUEST_ID_DIGITS]);

/// Why a text is not the id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// It has more or fewer bytes than 32.
    #[error("the id of a request has {0} bytes, not {REQUEST_ID_DIGITS}")]
    Length(usize),
    /// A byte is no hexadecimal digit.
    #[error("the id of a request holds the byte {0:#04x}, which is no hexadecimal digit")]
    Digit(u8),
}

impl RequestId {
    /// The id whose digits, in small letters, are those of this number.
    #[must_use]
    pub fn from_value(value: u128) -> Self {
        let mut digits = [b'0'; REQUEST_ID_DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = u8::try_from((value >> (4 * place)) & 0xf).unwrap_or_default();
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        Self(digits)
    }

    /// Reads the 32 digits.
    ///
    /// # Errors
    /// [`RequestIdError`] for anything else.
    pub fn parse(digits: &[u8]) -> Result<Self, RequestIdError> {
        let digits = digits.try_into().map_err(|_| RequestIdError::Length(digits.len()))?;
        let id = Self(digits);
        match id.0.iter().find(|digit| !digit.is_ascii_hexdigit()) {
            Some(other) => Err(RequestIdError::Digit(*other)),
            None => Ok(id),
        }
    }

    /// The number that the digits are.
    #[must_use]
    pub fn value(&self) -> u128 {
        let nibble = |digit: &u8| char::from(*digit).to_digit(16).map_or(0, u128::from);
        self.0.iter().fold(0, |value, digit| value << 4 | nibble(digit))
    }

    /// Its digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its frame.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

/// What became of a request to one of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// 200: done.
    Ok,
    /// 300: stored, and not answered yet. Ask again later.
    Pending,
    /// 400: the id is none, or nothing is stored under it. Asking again is useless.
    Unknown,
    /// 500: the server could not. Ask again later.
    Error,
}

impl Status {
    /// Its number.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Pending => 300,
            Self::Unknown => 400,
            Self::Error => 500,
        }
    }

    /// Its frame.
    #[must_use]
    pub fn frame(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Ok => b"200",
            Self::Pending => b"300",
            Self::Unknown => b"400",
            Self::Error => b"500",
        })
    }

    /// Reads a frame; `None` where it is not a status.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let (digits, words) = frame.split_at_checked(3)?;
        if frame.len() > STATUS_BYTES_MAX || !matches!(words, [] | [b' ', ..]) {
            return None;
        }
        match digits {
            b"200" => Some(Self::Ok),
            b"300" => Some(Self::Pending),
            b"400" => Some(Self::Unknown),
            b"500" => Some(Self::Error),
            _ => None,
        }
    }
}

/// What a client asks of Titanic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To store a request and have it worked on.
    Store {
        /// Whose work it is.
        service: ServiceName,
        /// What is asked of the service, in one frame or more.
        body: Vec<Bytes>,
    },
    /// For the reply to a stored request.
    Retrieve(RequestId),
    /// To forget a request and its reply.
    Close(RequestId),
}

/// Why frames are not a message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TspError {
    /// The service is none of the three.
    #[error("the service is none of Titanic's")]
    UnknownService,
    /// The name of the service that is to do the work is missing.
    #[error("the name of the service is missing")]
    ServiceMissing,
    /// The name of the service that is to do the work is not one.
    #[error("{0}")]
    ServiceName(#[from] ServiceNameError),
    /// There is no body where one is expected.
    #[error("the body is missing, which has one frame or more")]
    BodyMissing,
    /// The id is missing.
    #[error("the id of the request is missing")]
    IdMissing,
    /// The id is not one.
    #[error("{0}")]
    Id(#[from] RequestIdError),
    /// There is no status, or none that the RFC knows.
    #[error("there is no status, or one that is not known")]
    Status,
    /// The status has no place in a reply of this service.
    #[error("the service does not answer {}", .0.code())]
    UnexpectedStatus(Status),
    /// There are frames behind the last that the message has.
    #[error("there are more frames than the message has")]
    ExcessFrames,
}

impl Request {
    /// Reads the body of a request to one of the three services.
    ///
    /// # Errors
    /// [`TspError`] for anything else.
    pub fn parse(service: &[u8], body: &[Bytes]) -> Result<Self, TspError> {
        if service == REQUEST_SERVICE.as_bytes() {
            let [service, body @ ..] = body else { return Err(TspError::ServiceMissing) };
            let service = ServiceName::new(service.clone())?;
            return Ok(Self::Store { service, body: some(body)? });
        }
        if service == REPLY_SERVICE.as_bytes() {
            return read_id(body).map(Self::Retrieve);
        }
        if service == CLOSE_SERVICE.as_bytes() {
            return read_id(body).map(Self::Close);
        }
        Err(TspError::UnknownService)
    }

    /// The service that it goes to.
    #[must_use]
    pub fn service(&self) -> &'static str {
        match self {
            Self::Store { .. } => REQUEST_SERVICE,
            Self::Retrieve(_) => REPLY_SERVICE,
            Self::Close(_) => CLOSE_SERVICE,
        }
    }

    /// The body that goes there.
    #[must_use]
    pub fn body(self) -> Vec<Bytes> {
        match self {
            Self::Store { service, body } => std::iter::once(service.frame()).chain(body).collect(),
            Self::Retrieve(id) | Self::Close(id) => vec![id.frame()],
        }
    }
}

/// What `titanic.request` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreReply {
    /// 200: the request is stored under this id.
    Stored(RequestId),
    /// It is not: [`Status::Error`], or [`Status::Unknown`] from a server that says so of what it cannot read.
    Refused(Status),
}

/// What `titanic.reply` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetrieveReply {
    /// 200: what the service answered, in one frame or more.
    Done(Vec<Bytes>),
    /// 300: nothing yet.
    Pending,
    /// 400: there is no such request.
    Unknown,
    /// 500: the server could not look.
    Error,
}

/// What `titanic.close` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReply {
    /// 200: there is no such request, now or ever.
    Closed,
    /// It could not be closed: [`Status::Unknown`] for what is no id, or [`Status::Error`].
    Refused(Status),
}

impl StoreReply {
    /// Reads the body of a reply.
    ///
    /// # Errors
    /// [`TspError`] for anything else.
    pub fn parse(body: &[Bytes]) -> Result<Self, TspError> {
        match read_status(body)? {
            (Status::Ok, rest) => read_id(rest).map(Self::Stored),
            (Status::Pending, _) => Err(TspError::UnexpectedStatus(Status::Pending)),
            (status, _) => Ok(Self::Refused(status)),
        }
    }

    /// The body of the reply.
    #[must_use]
    pub fn body(self) -> Vec<Bytes> {
        match self {
            Self::Stored(id) => vec![Status::Ok.frame(), id.frame()],
            Self::Refused(status) => vec![status.frame()],
        }
    }
}

impl RetrieveReply {
    /// Reads the body of a reply.
    ///
    /// # Errors
    /// [`TspError`] for anything else.
    pub fn parse(body: &[Bytes]) -> Result<Self, TspError> {
        Ok(match read_status(body)? {
            (Status::Ok, rest) => Self::Done(some(rest)?),
            (Status::Pending, _) => Self::Pending,
            (Status::Unknown, _) => Self::Unknown,
            (Status::Error, _) => Self::Error,
        })
    }

    /// The body of the reply.
    #[must_use]
    pub fn body(self) -> Vec<Bytes> {
        match self {
            Self::Done(frames) => std::iter::once(Status::Ok.frame()).chain(frames).collect(),
            Self::Pending => vec![Status::Pending.frame()],
            Self::Unknown => vec![Status::Unknown.frame()],
            Self::Error => vec![Status::Error.frame()],
        }
    }
}

impl CloseReply {
    /// Reads the body of a reply.
    ///
    /// # Errors
    /// [`TspError`] for anything else.
    pub fn parse(body: &[Bytes]) -> Result<Self, TspError> {
        match read_status(body)? {
            (Status::Ok, _) => Ok(Self::Closed),
            (Status::Pending, _) => Err(TspError::UnexpectedStatus(Status::Pending)),
            (status, _) => Ok(Self::Refused(status)),
        }
    }

    /// The body of the reply.
    #[must_use]
    pub fn body(self) -> Vec<Bytes> {
        match self {
            Self::Closed => vec![Status::Ok.frame()],
            Self::Refused(status) => vec![status.frame()],
        }
    }
}

fn some(frames: &[Bytes]) -> Result<Vec<Bytes>, TspError> {
    if frames.is_empty() { Err(TspError::BodyMissing) } else { Ok(frames.to_vec()) }
}

/// One frame, an id, and nothing behind it.
fn read_id(frames: &[Bytes]) -> Result<RequestId, TspError> {
    match frames {
        [] => Err(TspError::IdMissing),
        [id] => Ok(RequestId::parse(id)?),
        _ => Err(TspError::ExcessFrames),
    }
}

fn read_status(frames: &[Bytes]) -> Result<(Status, &[Bytes]), TspError> {
    let (status, rest) = frames.split_first().ok_or(TspError::Status)?;
    Ok((Status::read(status).ok_or(TspError::Status)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &[u8] = b"0123456789abcdefABCDEF0123456789";

    fn frames(words: &[&[u8]]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
    }

    #[test]
    fn an_id_is_32_hexadecimal_digits_and_keeps_its_capitals() {
        let id = RequestId::parse(ID).unwrap();
        assert_eq!(id.to_string().as_bytes(), ID);
        assert_eq!(id.value(), 0x0123_4567_89ab_cdef_abcd_ef01_2345_6789);
        assert_eq!(RequestId::from_value(id.value()).to_string(), id.to_string().to_lowercase());
        for bad in [&b""[..], &ID[1..], b"../../etc/passwd", &[b'0'; 33]] {
            assert_eq!(RequestId::parse(bad), Err(RequestIdError::Length(bad.len())));
        }
        for byte in [b'g', b'-', b'/', b'.', 0, b' ', 0xff] {
            let mut digits = [b'a'; 32];
            digits[17] = byte;
            assert_eq!(RequestId::parse(&digits), Err(RequestIdError::Digit(byte)));
        }
    }

    #[test]
    fn a_status_is_three_digits_and_words_that_mean_nothing() {
        assert_eq!(Status::read(b"200"), Some(Status::Ok));
        assert_eq!(Status::read(b"300 PENDING"), Some(Status::Pending));
        assert_eq!(Status::read(b"500 "), Some(Status::Error));
        for bad in [&b""[..], b"20", b"2000", b"200OK", b"201", b"404", b"abc", b" 200"] {
            assert_eq!(Status::read(bad), None);
        }
        let long = [b"200 ".as_slice(), &[b'x'; STATUS_BYTES_MAX]].concat();
        assert_eq!(Status::read(&long), None);
    }

    #[test]
    fn requests_are_read_as_strictly_as_they_are_written() {
        let parse = |service: &str, words: &[&[u8]]| Request::parse(service.as_bytes(), &frames(words));
        let store = Request::Store { service: ServiceName::new("echo").unwrap(), body: frames(&[b"", b"a"]) };
        assert_eq!(parse("titanic.request", &[b"echo", b"", b"a"]), Ok(store));
        assert_eq!(parse("titanic.request", &[]), Err(TspError::ServiceMissing));
        assert_eq!(parse("titanic.request", &[b"echo"]), Err(TspError::BodyMissing));
        assert!(matches!(parse("titanic.request", &[b"", b"a"]), Err(TspError::ServiceName(_))));
        for service in ["titanic.reply", "titanic.close"] {
            assert!(parse(service, &[ID]).is_ok());
            assert_eq!(parse(service, &[]), Err(TspError::IdMissing));
            assert_eq!(parse(service, &[ID, b""]), Err(TspError::ExcessFrames));
            assert_eq!(parse(service, &[b"x"]), Err(TspError::Id(RequestIdError::Length(1))));
        }
        assert_eq!(parse("titanic.status", &[ID]), Err(TspError::UnknownService));
    }

    #[test]
    fn replies_say_what_their_service_can_say() {
        let id = RequestId::parse(ID).unwrap();
        assert_eq!(StoreReply::parse(&frames(&[b"200 OK", ID])), Ok(StoreReply::Stored(id)));
        assert_eq!(StoreReply::parse(&frames(&[b"200"])), Err(TspError::IdMissing));
        assert_eq!(StoreReply::parse(&frames(&[b"500"])), Ok(StoreReply::Refused(Status::Error)));
        let pending = TspError::UnexpectedStatus(Status::Pending);
        assert_eq!(StoreReply::parse(&frames(&[b"300"])), Err(pending));
        assert_eq!(CloseReply::parse(&frames(&[b"300"])), Err(pending));
        assert_eq!(CloseReply::parse(&frames(&[b"200"])), Ok(CloseReply::Closed));
        assert_eq!(RetrieveReply::parse(&frames(&[b"200"])), Err(TspError::BodyMissing));
        assert_eq!(RetrieveReply::parse(&frames(&[b"300"])), Ok(RetrieveReply::Pending));
        assert_eq!(RetrieveReply::parse(&frames(&[b"200", b""])), Ok(RetrieveReply::Done(frames(&[b""]))));
        assert_eq!(RetrieveReply::parse(&[]), Err(TspError::Status));
    }

    fn any_body() -> impl Strategy<Value = Vec<Bytes>> {
        let frame = proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        proptest::collection::vec(frame, 1..5)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any::<u128>(), body in any_body(), which in 0..3) {
            let id = RequestId::from_value(value);
            prop_assert_eq!(id.value(), value);
            prop_assert_eq!(id.to_string(), format!("{value:032x}"));
            let request = match which {
                0 => Request::Store { service: ServiceName::new("a.service").unwrap(), body: body.clone() },
                1 => Request::Retrieve(id),
                _ => Request::Close(id),
            };
            let (service, written) = (request.service(), request.clone().body());
            prop_assert_eq!(Request::parse(service.as_bytes(), &written), Ok(request));
            let stored = StoreReply::Stored(id);
            prop_assert_eq!(StoreReply::parse(&stored.body()), Ok(stored));
            let done = RetrieveReply::Done(body);
            prop_assert_eq!(RetrieveReply::parse(&done.clone().body()), Ok(done));
        }

        #[test]
        fn any_frames_are_a_message_or_an_error(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4)
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            for service in [REQUEST_SERVICE, REPLY_SERVICE, CLOSE_SERVICE] {
                if let Ok(request) = Request::parse(service.as_bytes(), &frames) {
                    prop_assert_eq!(request.service(), service);
                    prop_assert_eq!(request.body(), frames.clone());
                }
            }
            let _ = (StoreReply::parse(&frames), RetrieveReply::parse(&frames), CloseReply::parse(&frames));
        }
    }
}
