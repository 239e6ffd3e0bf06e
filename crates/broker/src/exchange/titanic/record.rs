//! What stands in the queue for a request and for its reply.
//!
//! Each is a message whose correlation id is the 32 digits of the request, with these headers, and with its frames in
//! the payload as an [ingest endpoint](ingest) keeps them:
//!
//! | header | value |
//! |---|---|
//! | `swarmmq-titanic` | `request` or `reply` |
//! | `swarmmq-titanic-service` | the service that works on it |
//! | `swarmmq-titanic-user` | whose it is |

use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::message::MessageError;
use swarmmq_protocol::zeromq::ingest;
use swarmmq_protocol::zeromq::mdp::ServiceName;
use swarmmq_protocol::zeromq::tsp::RequestId;
use swarmmq_protocol::{EncodedMessage, Message};

use crate::exchange::Frames;

const KIND_HEADER: &str = "swarmmq-titanic";
const SERVICE_HEADER: &str = "swarmmq-titanic-service";
const USER_HEADER: &str = "swarmmq-titanic-user";
/// What a record costs in memory beside its bytes.
const OVERHEAD_BYTES: usize = 256;

/// Which of the two records of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Reply,
}

impl Kind {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Request => b"request",
            Self::Reply => b"reply",
        }
    }
}

/// What a record says beside its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: u128,
    pub(super) kind: Kind,
    pub(super) service: Bytes,
    pub(super) user: Arc<str>,
}

impl Record {
    /// The message, in memory of its own.
    pub(super) fn write(&self, body: &[Bytes]) -> Result<EncodedMessage, MessageError> {
        let user = Bytes::copy_from_slice(self.user.as_bytes());
        ingest::from_frames(body)?
            .correlation(RequestId::from_value(self.id).frame())
            .header(KIND_HEADER, Bytes::from_static(self.kind.as_bytes()))
            .header(SERVICE_HEADER, self.service.clone())
            .header(USER_HEADER, user)
            .encode()
    }

    /// Reads a message; `None` where it is no record. The service is in memory of its own.
    pub(super) fn read(message: &EncodedMessage) -> Option<Self> {
        let message = message.decode().ok()?;
        let kind = message.header_value(KIND_HEADER)?;
        let kind = [Kind::Request, Kind::Reply].into_iter().find(|one| one.as_bytes() == kind)?;
        let service = ServiceName::new(message.header_value(SERVICE_HEADER)?.clone()).ok()?;
        let user = std::str::from_utf8(message.header_value(USER_HEADER)?).ok()?;
        let id = RequestId::parse(message.correlation.as_ref()?).ok()?.value();
        frames(&message)?;
        Some(Self { id, kind, service: service.detached().frame(), user: user.into() })
    }
}

fn frames(message: &Message) -> Option<Frames> {
    ingest::to_frames(message).filter(|frames| !frames.is_empty())
}

/// The frames of a record. They share its memory.
pub(super) fn body(message: &EncodedMessage) -> Frames {
    message.decode().ok().as_ref().and_then(frames).unwrap_or_default()
}

/// The memory that a record takes.
pub(super) fn weigh(message: &EncodedMessage) -> usize {
    message.len() + OVERHEAD_BYTES
}

/// A record in memory of its own: one that was read shares the memory of what it was read from.
pub(super) fn detached(message: &EncodedMessage) -> Option<EncodedMessage> {
    EncodedMessage::new(Bytes::copy_from_slice(message.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::TitanicLimits;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            id in any::<u128>(), is_reply: bool, user in "\\PC{0,20}",
            body in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..4)
        ) {
            let kind = if is_reply { Kind::Reply } else { Kind::Request };
            let record = Record { id, kind, service: Bytes::from_static(b"echo"), user: user.as_str().into() };
            let frames: Frames = body.into_iter().map(Bytes::from).collect();
            let message = record.write(&frames).unwrap();
            prop_assert_eq!(Record::read(&message), Some(record));
            prop_assert_eq!(super::body(&message), frames);
        }
    }

    #[test]
    fn the_largest_record_is_no_larger_than_the_queue_has_to_take() {
        let limits = TitanicLimits { message_bytes_max: 1024 * 100, ..TitanicLimits::default() };
        let (service, user) = (Bytes::from(vec![b's'; 255]), "u".repeat(255));
        for kind in [Kind::Request, Kind::Reply] {
            let record = Record { id: u128::MAX, kind, service: service.clone(), user: user.as_str().into() };
            let message = record.write(&vec![Bytes::from(vec![b'x'; 100]); 1024]).unwrap();
            assert!(message.len() <= limits.record_bytes_max(), "{}", message.len());
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let good = || {
            Message::new("a")
                .correlation(RequestId::from_value(7).frame())
                .header(KIND_HEADER, "request")
                .header(SERVICE_HEADER, "echo")
                .header(USER_HEADER, "ada")
        };
        let read = |message: Message| Record::read(&message.encode().unwrap());
        assert!(read(good()).is_some());
        assert_eq!(read(Message::new("a")), None);
        assert_eq!(read(good().correlation("../../etc/passwd")), None);
        assert_eq!(read(good().header(ingest::FRAMES_HEADER, "2")), None, "its payload is no two frames");
        for (header, value) in [(0, "future"), (1, ""), (1, "a\nb")] {
            let mut message = good();
            message.headers[header].value = value.into();
            assert_eq!(read(message), None, "{value}");
        }
    }
}
