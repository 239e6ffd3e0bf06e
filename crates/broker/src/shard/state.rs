//! The state of a shard.

use std::collections::BTreeMap;

use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{DestinationName, GroupName};

use crate::destination::Destination;
use crate::held::Held;
use crate::limits::ShardLimits;
use crate::outbox::Outbox;
use crate::plan::OutboxBatch;
use crate::shard::volatile::Volatile;
use crate::work::Trash;

/// The replicated state of one shard, and the leader's leases beside it.
#[derive(Debug)]
pub struct Shard {
    pub(crate) shard: u32,
    pub(crate) limits: ShardLimits,
    pub(crate) applied: u64,
    pub(crate) now_ms: u64,
    /// The generation of the next group that is made or reset.
    pub(crate) next_generation: u64,
    pub(crate) destinations: BTreeMap<DestinationName, Destination>,
    pub(crate) outbox: Outbox,
    pub(crate) trash: Trash,
    /// Derived from the messages, the outbox and the trash.
    pub(crate) held: Held,
    /// Not replicated.
    pub(crate) volatile: Volatile,
}

impl Shard {
    /// An empty shard. `limits` must be the same on every replica.
    #[must_use]
    pub fn new(shard: u32, limits: ShardLimits) -> Self {
        Self {
            shard,
            limits,
            applied: 0,
            now_ms: 0,
            next_generation: 1,
            destinations: BTreeMap::new(),
            outbox: Outbox::default(),
            trash: Trash::default(),
            held: Held::default(),
            volatile: Volatile::default(),
        }
    }

    /// Number of the shard.
    #[must_use]
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// The limits it was founded with.
    #[must_use]
    pub fn limits(&self) -> &ShardLimits {
        &self.limits
    }

    /// Log index of the entry applied last; 0 before the first.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The time of the state: the latest that a leader has stamped, ms since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Log indexes of entries that hold a live message, a dead letter, or a message of a purged or
    /// deleted destination that is not swept up yet. Ascending, each once.
    pub fn held(&self) -> impl Iterator<Item = u64> + '_ {
        self.held.indexes()
    }

    /// Dead letters on their way, the oldest of each target, at most `each_max`.
    #[must_use]
    pub fn outbox(&self, each_max: usize) -> Vec<OutboxBatch> {
        self.outbox.batches(self.shard, each_max)
    }

    /// Whether there is a destination of that name.
    #[must_use]
    pub fn has_destination(&self, destination: &DestinationName) -> bool {
        self.destinations.contains_key(destination)
    }

    /// How many destinations there are.
    #[must_use]
    pub fn destinations(&self) -> u64 {
        self.destinations.len() as u64
    }

    /// A destination's settings, if there is one of that name.
    #[must_use]
    pub fn destination_settings(&self, destination: &DestinationName) -> Option<&DestinationSettings> {
        self.destinations.get(destination).map(|found| &found.settings)
    }

    /// A group's settings, if there is the group.
    #[must_use]
    pub fn group_settings(&self, destination: &DestinationName, group: &GroupName) -> Option<&GroupSettings> {
        self.destinations.get(destination)?.groups.get(group).map(|found| &found.settings)
    }
}

pub(crate) fn unknown_destination(destination: &DestinationName) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::UnknownDestination,
        format!("there is no destination {destination}: create it first"),
    )
}

pub(crate) fn unknown_group(destination: &DestinationName, group: &GroupName) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::UnknownGroup,
        format!(
            "{destination} has no group {group}: create it first, or use its group default if it is a queue"
        ),
    )
}
