//! Messages of PUSH peers.
//!
//! A message of one frame is a payload. A message of several keeps its frames: each stands in the
//! payload behind its length, and the header `swarmmq-frames` says how many there are.
//!
//! ```text
//! 0        4
//! | length | frame … | length | frame … | …
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::message::{EncodedMessage, Message, MessageError};

/// The header of a message that was made of several frames: how many, in decimal.
pub const FRAMES_HEADER: &str = "swarmmq-frames";
/// Most frames of a message to an ingest endpoint.
pub const FRAMES_MAX: usize = 1024;

/// Makes a message of the frames of one ZeroMQ message.
///
/// # Errors
/// [`MessageError`] where there are too many frames or too many bytes.
pub fn to_message(frames: &[Bytes]) -> Result<EncodedMessage, MessageError> {
    from_frames(frames)?.encode()
}

/// As [`to_message`], before it is encoded: for who adds headers of its own.
///
/// # Errors
/// [`MessageError`] where there are too many frames, or one is too large.
pub fn from_frames(frames: &[Bytes]) -> Result<Message, MessageError> {
    if frames.len() > FRAMES_MAX {
        return Err(MessageError::TooLarge {
            field: "number of frames",
            actual: frames.len(),
            limit: FRAMES_MAX,
        });
    }
    if let [payload] = frames {
        return Ok(Message::new(payload.clone()));
    }
    let mut payload = BytesMut::with_capacity(frames.iter().map(|frame| 4 + frame.len()).sum());
    for frame in frames {
        let length = u32::try_from(frame.len()).map_err(|_| MessageError::TooLarge {
            field: "frame",
            actual: frame.len(),
            limit: crate::limits::MESSAGE_BYTES_MAX,
        })?;
        payload.put_u32(length);
        payload.put_slice(frame);
    }
    Ok(Message::new(payload.freeze()).header(FRAMES_HEADER, frames.len().to_string()))
}

/// The frames that a message was made of. They share its memory.
///
/// `None` where the header says that there were several and the payload does not bear it out.
#[must_use]
pub fn to_frames(message: &Message) -> Option<Vec<Bytes>> {
    let Some(count) = message.header_value(FRAMES_HEADER) else { return Some(vec![message.payload.clone()]) };
    let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
    let mut rest = message.payload.clone();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = rest.try_get_u32().ok()? as usize;
        if frames.len() == FRAMES_MAX || rest.len() < length {
            return None;
        }
        frames.push(rest.split_to(length));
    }
    (frames.len() == count).then_some(frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_frame_is_the_payload_and_costs_no_header() {
        let message = to_message(&[Bytes::from_static(b"hello")]).unwrap();
        assert_eq!(message, Message::new("hello").encode().unwrap());
    }

    #[test]
    fn more_frames_than_the_limit_are_refused() {
        assert!(to_message(&vec![Bytes::new(); FRAMES_MAX]).is_ok());
        assert!(to_message(&vec![Bytes::new(); FRAMES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20)
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            let message = to_message(&frames).unwrap().decode().unwrap();
            prop_assert_eq!(to_frames(&message), Some(frames));
        }

        #[test]
        fn any_payload_gives_frames_or_none(
            payload in proptest::collection::vec(any::<u8>(), 0..60), count in "[0-9]{0,4}"
        ) {
            let _ = to_frames(&Message::new(payload).header(FRAMES_HEADER, count));
        }
    }
}
