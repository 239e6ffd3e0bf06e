//! The state machine of one shard.
use bytes::Bytes;
use swarmmq_protocol::codec::DecodeError;
use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::request::Settle;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::command::Command;
use crate::effect::{Applied, ApplyError};
use crate::limits::ShardLimits;
use crate::plan::{Due, LeaseRequest, Leases, OutboxBatch, SettlePlan, ShardStats, Wakeup};

/// The replicated state of one shard, and the leader's leases beside it.
#[derive(Debug)]
pub struct Shard {
    shard: u32,
    limits: ShardLimits,
    applied: u64,
    now_ms: u64,
}

fn unknown(name: &DestinationName) -> ErrorReply {
    ErrorReply::new(ErrorCode::UnknownDestination, format!("there is no destination {name}"))
}

impl Shard {
    /// An empty shard. `limits` must be the same on every replica.
    #[must_use]
    pub fn new(shard: u32, limits: ShardLimits) -> Self {
        Self { shard, limits, applied: 0, now_ms: 0 }
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
    /// No lease token given so far is this or higher; for [`EntryBuilder::new`](crate::EntryBuilder::new).
    #[must_use]
    pub fn token_bound(&self) -> u64 {
        0
    }
    /// Applies the entry at log index `index`.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was changed then.
    pub fn apply(&mut self, index: u64, entry: Bytes) -> Result<Applied, ApplyError> {
        let entry = crate::entry::decode(entry).map_err(|source| ApplyError::Undecodable { index, source })?;
        self.applied = index;
        self.now_ms = self.now_ms.max(entry.now_ms);
        Ok(Applied { outcomes: Vec::new(), effects: Vec::new() })
    }
    /// The replicated state in chunks of about 1 MiB.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Bytes> {
        Vec::new()
    }
    /// The state that [`Self::snapshot`] wrote, chunk by chunk in its order.
    ///
    /// # Errors
    /// [`DecodeError`] where the chunks are not a snapshot.
    pub fn restore(_chunks: &[Bytes]) -> Result<Self, DecodeError> {
        Ok(Self::new(0, ShardLimits::default()))
    }
    /// Log indexes of entries that hold a live message, ascending.
    pub fn held(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::empty()
    }
    /// Leases messages. Only at the leader, and only after an entry of its own term was applied.
    ///
    /// # Errors
    /// `UnknownDestination`, `UnknownGroup`.
    pub fn lease(&mut self, _now_ms: u64, request: &LeaseRequest) -> Result<Leases, ErrorReply> {
        Err(unknown(&request.destination))
    }
    /// Decides what a settlement takes.
    ///
    /// # Errors
    /// `UnknownDestination`, `UnknownGroup`.
    pub fn settle(&mut self, _now_ms: u64, settle: &Settle) -> Result<SettlePlan, ErrorReply> {
        Err(unknown(&settle.destination))
    }
    /// A command of [`Self::settle`], [`Self::due`] or [`Self::release_consumer`] will certainly never be
    /// committed: what it was about may be leased or settled again.
    pub fn abandon(&mut self, _command: &Command) -> Vec<Wakeup> {
        Vec::new()
    }
    /// The consumer is gone: its leases end. The commands count the deliveries and make the messages
    /// ready at once.
    pub fn release_consumer(&mut self, _consumer: u64) -> Vec<Command> {
        Vec::new()
    }
    /// What is due at `now_ms`.
    pub fn due(&mut self, _now_ms: u64) -> Due {
        Due::default()
    }
    /// When to call [`Self::due`] next, ms since 1970.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        None
    }
    /// A new leadership begins (or ends): all leases are gone, and tokens come from `term`.
    pub fn reset_volatile(&mut self, _term: u64) {}
    /// Dead letters on their way, at most `each_max` for each target.
    #[must_use]
    pub fn outbox(&self, _each_max: usize) -> Vec<OutboxBatch> {
        Vec::new()
    }
    /// Describes a destination.
    ///
    /// # Errors
    /// `UnknownDestination`.
    pub fn describe(
        &self,
        _now_ms: u64,
        destination: &DestinationName,
    ) -> Result<DestinationInfo, ErrorReply> {
        Err(unknown(destination))
    }
    /// Destinations in the order of their names.
    #[must_use]
    pub fn list(
        &self,
        _now_ms: u64,
        _prefix: &str,
        _after: Option<&DestinationName>,
        _limit: usize,
    ) -> Vec<DestinationInfo> {
        Vec::new()
    }
    /// A group's settings, if there is the group.
    #[must_use]
    pub fn group_settings(&self, _destination: &DestinationName, _group: &GroupName) -> Option<&GroupSettings> {
        None
    }
    /// Counts and gauges; of single destinations at most `destinations_max`.
    #[must_use]
    pub fn stats(&self, _now_ms: u64, _destinations_max: usize) -> ShardStats {
        ShardStats::default()
    }
}
