//! What a shard tells about its destinations.

use std::ops::Bound;

use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
use swarmmq_protocol::{DestinationName, GroupName};

use crate::destination::Destination;
use crate::group::Group;
use crate::plan::{DestinationStats, ShardStats};
use crate::shard::{Shard, unknown_destination};

impl Shard {
    /// Describes a destination. `leased` and `ready` are right at the leader only; `consumers` is left 0,
    /// since the shard does not know who waits. `ready` counts messages behind others of their key too.
    ///
    /// # Errors
    /// `UnknownDestination`.
    pub fn describe(
        &self,
        now_ms: u64,
        destination: &DestinationName,
    ) -> Result<DestinationInfo, ErrorReply> {
        let found = self.destinations.get(destination).ok_or_else(|| unknown_destination(destination))?;
        Ok(found.info(self.shard, now_ms))
    }

    /// Destinations in the order of their names: those that begin with `prefix` and are behind `after`,
    /// at most `limit`.
    #[must_use]
    pub fn list(
        &self,
        now_ms: u64,
        prefix: &str,
        after: Option<&DestinationName>,
        limit: usize,
    ) -> Vec<DestinationInfo> {
        // A prefix that is no name is either empty, or begins no name.
        let first = DestinationName::new(prefix).ok();
        let from = match (first.as_ref(), after) {
            (Some(first), Some(after)) if after >= first => Bound::Excluded(after),
            (Some(first), _) => Bound::Included(first),
            (None, Some(after)) => Bound::Excluded(after),
            (None, None) => Bound::Unbounded,
        };
        self.destinations
            .range((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(prefix))
            .take(limit)
            .map(|(_, destination)| destination.info(self.shard, now_ms))
            .collect()
    }

    /// Counts and gauges; of single destinations at most `destinations_max`.
    #[must_use]
    pub fn stats(&self, now_ms: u64, destinations_max: usize) -> ShardStats {
        let mut stats = ShardStats {
            destinations: self.destinations.len() as u64,
            outbox: self.outbox.len(),
            held: self.held.len() as u64,
            ..ShardStats::default()
        };
        for (name, destination) in &self.destinations {
            let one = destination.stats(now_ms);
            stats.total.add(&one);
            if stats.by_destination.len() < destinations_max {
                stats.by_destination.push((name.clone(), one));
            }
        }
        stats
    }
}

impl Destination {
    fn oldest_age_ms(&self, now_ms: u64) -> u64 {
        self.log.oldest().map_or(0, |(_, stored)| now_ms.saturating_sub(stored.stored_ms))
    }

    fn info(&self, shard: u32, now_ms: u64) -> DestinationInfo {
        let mut info = DestinationInfo::new(self.name.clone(), self.settings.clone(), shard);
        info.first = self.log.first();
        info.last = self.log.last();
        info.messages = self.log.messages();
        info.bytes = self.log.bytes();
        info.oldest_age_ms = self.oldest_age_ms(now_ms);
        info.dropped = self.counted.dropped;
        info.expired = self.counted.expired;
        info.duplicates = self.counted.duplicates;
        info.groups = self.groups.iter().map(|(name, group)| self.group_info(name, group, now_ms)).collect();
        info
    }

    fn group_info(&self, name: &GroupName, group: &Group, now_ms: u64) -> GroupInfo {
        let mut info = GroupInfo::new(name.clone(), group.settings.clone());
        let floor = group.first_unsettled(&self.log);
        info.paused = group.paused;
        info.leased = group.leased();
        info.delayed = group.delayed(&self.log, now_ms);
        info.ready = group.unsettled(&self.log).saturating_sub(info.leased + info.delayed);
        info.floor = floor;
        info.redelivered = group.redelivered;
        info.acknowledged = group.acknowledged;
        info.dead = group.dead;
        info.oldest_age_ms = self.log.get(floor).map_or(0, |stored| now_ms.saturating_sub(stored.stored_ms));
        info
    }

    fn stats(&self, now_ms: u64) -> DestinationStats {
        let mut stats = DestinationStats {
            messages: self.log.messages(),
            bytes: self.log.bytes(),
            oldest_age_ms: self.oldest_age_ms(now_ms),
            stored: self.counted.stored,
            duplicates: self.counted.duplicates,
            refused: self.counted.refused,
            dropped: self.counted.dropped,
            expired: self.counted.expired,
            ..DestinationStats::default()
        };
        for group in self.groups.values() {
            let leased = group.leased();
            let delayed = group.delayed(&self.log, now_ms);
            stats.leased += leased;
            stats.ready += group.unsettled(&self.log).saturating_sub(leased + delayed);
            stats.acknowledged += group.acknowledged;
            stats.redelivered += group.redelivered;
            stats.dead += group.dead;
        }
        stats
    }
}
