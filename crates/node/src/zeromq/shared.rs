//! Messages on their way to peers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use swarmmq_broker::exchange::own;

use super::chunks::{COPIED_BYTES_MAX, put_header};

/// One message to several peers, encoded once for all of them that need no encryption.
#[derive(Debug)]
pub struct SharedMessage {
    frames: Vec<Bytes>,
    bytes: usize,
    plain: Option<Bytes>,
}

impl SharedMessage {
    /// A message of these frames.
    #[must_use]
    pub fn new(frames: Vec<Bytes>) -> Self {
        let bytes = bytes_of(&frames);
        // A large one is not copied at all.
        if bytes >= COPIED_BYTES_MAX {
            return Self { frames, bytes, plain: None };
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
        Self { frames, bytes, plain: Some(plain) }
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

/// A message on its way to a peer.
#[derive(Debug)]
pub(super) enum Outbound {
    /// It goes to this peer alone.
    Own(Vec<Bytes>),
    /// Others get it too.
    Shared(Arc<SharedMessage>),
}

impl Outbound {
    /// The same in memory of its own.
    pub(super) fn detach(&mut self) {
        if let Self::Own(frames) = self {
            *frames = own(frames);
        }
    }

    /// Its frames.
    pub(super) fn frames(&self) -> &[Bytes] {
        match self {
            Self::Own(frames) => frames,
            Self::Shared(message) => &message.frames,
        }
    }

    /// Bytes of all frames.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Own(frames) => bytes_of(frames),
            Self::Shared(message) => message.bytes,
        }
    }
}

/// Bytes of all frames.
pub(super) fn bytes_of(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}
