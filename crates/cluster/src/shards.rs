//! All shards of a node.

use std::sync::Arc;

use swarmmq_protocol::DestinationName;

use crate::placement::ShardCount;
use crate::shard::Shard;

/// The shards, by number.
pub(crate) struct Shards {
    count: ShardCount,
    shards: Vec<Arc<Shard>>,
}

impl Shards {
    /// # Panics
    /// Where there are not as many shards as `count` says.
    pub(crate) fn new(count: ShardCount, shards: Vec<Arc<Shard>>) -> Self {
        assert_eq!(shards.len(), count.get() as usize, "one shard for each number");
        Self { count, shards }
    }

    /// The shard a destination lives on.
    #[expect(
        clippy::indexing_slicing,
        reason = "a shard number is less than the count, which is their length"
    )]
    pub(crate) fn of(&self, destination: &DestinationName) -> &Arc<Shard> {
        &self.shards[self.count.shard_of(destination) as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.shards.iter()
    }
}
