//! The shape that writing and reading share.

use bytes::Bytes;
use swarmmq_protocol::codec::DecodeError;

use crate::shard::Shard;
use crate::snapshot::{read, write};

/// Version of the format that is written, and the only one that is read.
pub(super) const SNAPSHOT_VERSION: u8 = 1;
/// Bytes after which a chunk ends at the next opportunity.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// The message before, by which the next one is told: numbers that only grow are written as steps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) sequence: u64,
    pub(super) index: u64,
    pub(super) stored_ms: u64,
}

/// What a message has beside its place, as bits.
pub(super) const HAS_EXPIRY: u8 = 1;
pub(super) const HAS_DELAY: u8 = 1 << 1;
pub(super) const HAS_KEY: u8 = 1 << 2;

/// A shard's replicated state at one moment. Made by [`Shard::freeze`].
#[derive(Debug)]
pub struct Frozen {
    parts: Vec<write::Part>,
}

impl Frozen {
    /// What [`Shard::snapshot`] would have given at that moment.
    #[must_use]
    pub fn write(self) -> Vec<Bytes> {
        write::chunks(&self.parts)
    }
}

impl Shard {
    /// The replicated state, in chunks of about 1 MiB. Equal states give equal chunks.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Bytes> {
        self.freeze().write()
    }

    /// The replicated state as it is now, to be written later and elsewhere.
    ///
    /// Costs little however many messages there are: it shares what is known of them with the shard, which
    /// copies what it changes before that is written, 64 messages at a time.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen { parts: write::parts(self) }
    }

    /// The state that [`Self::snapshot`] wrote; `chunks` in its order, cut anywhere. There are no leases
    /// then: call [`Self::reset_volatile`] when leading.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a snapshot of version 1, or contradict themselves.
    pub fn restore(chunks: &[Bytes]) -> Result<Self, DecodeError> {
        read::shard(chunks)
    }
}
