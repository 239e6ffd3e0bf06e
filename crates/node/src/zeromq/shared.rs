//! Messages on their way to peers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use swarmmq_broker::exchange::own;

use super::chunks::{COPIED_BYTES_MAX, put_header};
use super::packed::Packed;

/// One message to several peers, encoded once for all of them that need no encryption. Of the smallest, each such peer has a
/// copy instead.
#[derive(Debug)]
pub struct SharedMessage {
    frames: Vec<Bytes>,
    plain: Option<Bytes>,
}

impl SharedMessage {
    /// A message of these frames.
    #[must_use]
    pub fn new(frames: Vec<Bytes>) -> Self {
        let bytes = bytes_of(&frames);
        // A large one is not copied at all.
        if bytes >= COPIED_BYTES_MAX {
            return Self { frames, plain: None };
        }
        let mut out = BytesMut::with_capacity(bytes + 9 * frames.len());
        let mut ends = Vec::with_capacity(frames.len());
        for (nth, frame) in frames.iter().enumerate() {
            put_header(&mut out, frame.len(), nth + 1 < frames.len());
            out.extend_from_slice(frame);
            ends.push(out.len());
        }
        let plain = out.freeze();
        // It may wait long for one that does not read, and must not keep alive all that was read with it.
        let frames =
            frames.iter().zip(ends).map(|(frame, end)| plain.slice(end - frame.len()..end)).collect();
        Self { frames, plain: Some(plain) }
    }

    /// Its frames.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// Its ZMTP frames, unencrypted, if they are few bytes.
    #[must_use]
    pub fn plain(&self) -> Option<&Bytes> {
        self.plain.as_ref()
    }
}

/// A message on its way to a peer, or several.
#[derive(Debug)]
pub(super) enum Outbound {
    /// It goes to this peer alone.
    Own(Vec<Bytes>),
    /// Others get it too.
    Shared(Arc<SharedMessage>),
    /// Small ones that were encoded before.
    Packed(Packed),
}

impl Outbound {
    /// The same in memory of its own.
    pub(super) fn detach(&mut self) {
        if let Self::Own(frames) = self {
            *frames = own(frames);
        }
    }

    /// Its frames, if it was not encoded before.
    pub(super) fn frames(&self) -> Option<&[Bytes]> {
        match self {
            Self::Own(frames) => Some(frames),
            Self::Shared(message) => Some(&message.frames),
            Self::Packed(_) => None,
        }
    }

    /// How many messages it is.
    pub(super) fn messages(&self) -> usize {
        match self {
            Self::Own(_) | Self::Shared(_) => 1,
            Self::Packed(packed) => packed.messages,
        }
    }
}

/// Bytes of all frames.
pub(super) fn bytes_of(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}
