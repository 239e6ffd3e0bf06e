//! Messages on their way to peers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

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
        let plain = (bytes < COPIED_BYTES_MAX).then(|| {
            let mut out = BytesMut::with_capacity(bytes + 9 * frames.len());
            for (nth, frame) in frames.iter().enumerate() {
                put_header(&mut out, frame.len(), nth + 1 < frames.len());
                out.extend_from_slice(frame);
            }
            out.freeze()
        });
        Self { frames, bytes, plain }
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
