//! The Paranoid Pirate protocol, RFC 6/PPP: a queue in front of equal workers.
//!
//! ```text
//!  worker ─▶ 01                          READY: it waits for a request
//!  both   ── 02                          HEARTBEAT
//!  worker ◀─ address… "" content…        REQUEST
//!  worker ─▶ address… "" content…        REPLY
//! ```
//!
//! `""` is an empty frame, content has one frame or more. The RFC lets the address away; here, as in the Guide's queue,
//! it is always there: one frame that the queue gives to a request, then whatever the client wrote before its own
//! empty frame, which a REQ socket sends. A worker gives all of it back without looking at it.

use bytes::Bytes;

/// Most frames of an address, the empty one included: a REQ socket behind 14 proxies, and the queue's own frame.
pub const ADDRESS_FRAMES_MAX: usize = 16;
/// Most bytes of a frame of an address; ZMTP allows no longer routing id.
pub const ADDRESS_FRAME_BYTES_MAX: usize = 255;

/// The frame of `READY`.
const READY: &[u8] = &[1];
/// The frame of `HEARTBEAT`.
const HEARTBEAT: &[u8] = &[2];

/// A message between a queue and a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PppMessage {
    /// The worker waits for a request. Queues do not send it.
    Ready,
    /// The sender is alive.
    Heartbeat,
    /// A request if a queue sends it, a reply if a worker does.
    Routed(Routed),
}

/// Content with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// What stands before the empty frame: 1 to 15 frames of 1 to 255 bytes.
    pub address: Vec<Bytes>,
    /// One frame or more.
    pub content: Vec<Bytes>,
}

/// Why frames are not a message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PppError {
    /// One frame alone is a command, and this is none.
    #[error("a message of one frame is neither READY nor HEARTBEAT")]
    UnknownCommand,
    /// An address is missing, is too long, or has no empty frame behind it.
    #[error("the address is missing, is too long, or has no empty frame behind it")]
    Address,
    /// There is nothing behind the address, or no frame at all.
    #[error("the content is missing, which has one frame or more")]
    ContentMissing,
}

impl PppMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`PppError`] for anything else, never a panic, whatever the frames hold.
    pub fn parse(frames: &[Bytes]) -> Result<Self, PppError> {
        match frames {
            [] => Err(PppError::ContentMissing),
            [command] => match command.as_ref() {
                READY => Ok(Self::Ready),
                HEARTBEAT => Ok(Self::Heartbeat),
                _ => Err(PppError::UnknownCommand),
            },
            _ => Routed::parse(frames).map(Self::Routed),
        }
    }

    /// The frames of the message.
    #[must_use]
    pub fn encode(self) -> Vec<Bytes> {
        match self {
            Self::Ready => vec![Bytes::from_static(READY)],
            Self::Heartbeat => vec![Bytes::from_static(HEARTBEAT)],
            Self::Routed(routed) => {
                let mut frames = routed.address;
                frames.reserve(1 + routed.content.len());
                frames.push(Bytes::new());
                frames.extend(routed.content);
                frames
            }
        }
    }
}

impl Routed {
    fn parse(frames: &[Bytes]) -> Result<Self, PppError> {
        let empty = frames.iter().take(ADDRESS_FRAMES_MAX).position(Bytes::is_empty);
        let (address, rest) =
            empty.and_then(|empty| frames.split_at_checked(empty)).ok_or(PppError::Address)?;
        if address.is_empty() || address.iter().any(|frame| frame.len() > ADDRESS_FRAME_BYTES_MAX) {
            return Err(PppError::Address);
        }
        match rest {
            [] | [_] => Err(PppError::ContentMissing),
            [_, content @ ..] => Ok(Self { address: address.to_vec(), content: content.to_vec() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(words: &[&[u8]]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
    }

    #[test]
    fn commands_are_one_byte_and_alone() {
        assert_eq!(PppMessage::parse(&frames(&[b"\x01"])), Ok(PppMessage::Ready));
        assert_eq!(PppMessage::parse(&frames(&[b"\x02"])), Ok(PppMessage::Heartbeat));
        for bad in [&[&b"\x03"[..]][..], &[b""], &[b"\x01\x01"], &[b"READY"]] {
            assert_eq!(PppMessage::parse(&frames(bad)), Err(PppError::UnknownCommand));
        }
    }

    #[test]
    fn a_reply_has_an_address_an_empty_frame_and_content() {
        let reply = PppMessage::parse(&frames(&[b"client", b"", b"a", b""])).unwrap();
        let expected = Routed { address: frames(&[b"client"]), content: frames(&[b"a", b""]) };
        assert_eq!(reply, PppMessage::Routed(expected));
        assert_eq!(PppMessage::parse(&[]), Err(PppError::ContentMissing));
        assert_eq!(PppMessage::parse(&frames(&[b"client", b""])), Err(PppError::ContentMissing));
        assert_eq!(PppMessage::parse(&frames(&[b"", b"a"])), Err(PppError::Address));
        assert_eq!(PppMessage::parse(&frames(&[b"client", b"a"])), Err(PppError::Address));
        assert_eq!(PppMessage::parse(&frames(&[&[b'a'; 256], b"", b"a"])), Err(PppError::Address));
        let mut deep = vec![Bytes::from_static(b"a"); ADDRESS_FRAMES_MAX];
        deep.extend(frames(&[b"", b"a"]));
        assert_eq!(PppMessage::parse(&deep), Err(PppError::Address));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            address in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..15),
            content in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5),
        ) {
            let frames = |list: Vec<Vec<u8>>| list.into_iter().map(Bytes::from).collect();
            let message =
                PppMessage::Routed(Routed { address: frames(address), content: frames(content) });
            prop_assert_eq!(PppMessage::parse(&message.clone().encode()), Ok(message));
        }

        #[test]
        fn any_frames_are_a_message_or_an_error(
            frames in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..3), 0..20)
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            if let Ok(message) = PppMessage::parse(&frames) {
                prop_assert_eq!(message.encode(), frames);
            }
        }
    }
}
