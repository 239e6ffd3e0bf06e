//! The replicated state as bytes, version 1.
//!
//! ```text
//! | version 1 | shard | limits | applied | now_ms | next generation | next outbox epoch |
//! | trash | outbox targets | destinations |
//! ```
//!
//! A destination is its name, settings and counters, its log (each live message with its place), its
//! groups, its sessions, its ids. What can be derived (counts, orders, chains of keys, held entries) is
//! not written. Everything stands in a fixed order, so equal states give equal bytes. A list is a count
//! of eight bytes and its items. Payloads are not in it: they stay in the journal.

mod read;
mod write;

use bytes::Bytes;
use swarmmq_protocol::codec::DecodeError;

use crate::shard::Shard;

/// Version of the format that is written, and the only one that is read.
const SNAPSHOT_VERSION: u8 = 1;
/// Bytes after which a chunk ends at the next opportunity.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What a message has beside its place, as bits.
const HAS_EXPIRY: u8 = 1;
const HAS_DELAY: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;

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
