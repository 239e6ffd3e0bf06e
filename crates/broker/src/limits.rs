//! The limits of a shard.

use bytes::{BufMut, BytesMut};
use swarmmq_protocol::codec::{Decode, DecodeError, Encode, Reader};
use swarmmq_protocol::limits::{GROUPS_MAX, MESSAGE_BYTES_DEFAULT};

/// How much a shard takes on.
///
/// The limits decide what a command does, so they must be the same on every replica of the shard: they
/// are fixed when the shard is founded, and travel in its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLimits {
    /// Most destinations. Default 100,000. An empty one costs about 1 KiB.
    pub destinations_max: u64,
    /// Most groups of one stream. Default 1,024, which is also the protocol's limit.
    pub groups_max: u32,
    /// Largest encoded message of destinations that set no limit, bytes. Default 1 MiB.
    pub message_bytes_max: u64,
    /// Most messages, ids and sessions that one entry retires (by age, limits, purge …). What is left
    /// over is done by the next `Tick`, which is due at once. Default 4,096, at least 1.
    pub retire_max: u32,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self {
            destinations_max: 100_000,
            groups_max: GROUPS_MAX as u32,
            message_bytes_max: MESSAGE_BYTES_DEFAULT as u64,
            retire_max: 4096,
        }
    }
}

impl Encode for ShardLimits {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.destinations_max);
        out.put_u32(self.groups_max);
        out.put_u64(self.message_bytes_max);
        out.put_u32(self.retire_max);
    }
}

impl Decode for ShardLimits {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            destinations_max: reader.u64("destinations_max")?,
            groups_max: reader.u32("groups_max")?,
            message_bytes_max: reader.u64("message_bytes_max")?,
            retire_max: reader.u32("retire_max")?,
        })
    }
}
