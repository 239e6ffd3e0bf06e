//! The shape that writing and reading share.

use bytes::Bytes;
use swarmmq_protocol::codec::DecodeError;

use crate::shard::Shard;
use crate::snapshot::{read, write};

/// Version of the format that is written, and the only one that is read.
pub(super) const SNAPSHOT_VERSION: u8 = 1;
/// Bytes after which a chunk ends at the next opportunity.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// What a message has beside its place, as bits.
pub(super) const HAS_EXPIRY: u8 = 1;
pub(super) const HAS_DELAY: u8 = 1 << 1;
pub(super) const HAS_KEY: u8 = 1 << 2;

impl Shard {
    /// The replicated state, in chunks of about 1 MiB. Equal states give equal chunks.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Bytes> {
        write::shard(self)
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
