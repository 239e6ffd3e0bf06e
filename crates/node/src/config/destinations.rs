//! `destinations`: what a destination is like that nobody described.

use std::time::Duration;

use swarmmq_protocol::DestinationName;
use swarmmq_protocol::settings::{DestinationKind, DestinationSettings, GroupSettings, Overflow};

use super::fields::{Fields, Section};
use super::quantity::Size;
use super::scalar::words;

/// `destinations`: whether destinations make themselves, and with which settings. 0 in a limit means: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationsConfig {
    /// Whether the first put to an unknown destination makes it. Default true. Otherwise it is refused with
    /// `UNKNOWN-DESTINATION`, which finds misspelt names.
    pub auto_create: bool,
    /// What it makes. Default `queue`.
    pub kind: Kind,
    /// What happens to a put at a limit. Default: a queue refuses, a stream drops the oldest.
    pub overflow: Option<OverflowRule>,
    /// Most messages held. Default 0: no limit.
    pub max_messages: u64,
    /// Most bytes held. Default 0: no limit but the disk.
    pub max_size: Size,
    /// Messages older than this go. Default 0: they stay.
    pub max_age: Duration,
    /// Time to live of messages that name none. Default 0: they do not expire.
    pub ttl: Duration,
    /// For how long a message id is remembered, so that a repeated put is not stored twice. Default 2 minutes.
    /// 0: ids are not looked at.
    pub dedup_window: Duration,
    /// How many message ids are remembered. Default 1,000,000, about 64 bytes each.
    pub max_dedup_ids: u64,
    /// For how long a producer session is remembered after its last put. Default 7 days.
    pub producer_ttl: Duration,
    /// How many producer sessions are remembered; the longest idle one goes first. Default 10,000.
    pub max_producers: u64,
    /// After so many deliveries a message is dead. Default 0: it is tried for ever.
    pub max_deliveries: u32,
    /// Where dead and rejected messages go. Default none, which means: they are dropped, and counted. The
    /// destination named here has no limit of deliveries and no dead letters itself.
    pub dead_letter: Option<DestinationName>,
    /// A redelivery waits this long, twice as long each further time, up to an hour. Default 0: at once.
    pub redelivery_delay: Duration,
}

impl Default for DestinationsConfig {
    fn default() -> Self {
        Self {
            auto_create: true,
            kind: Kind::Queue,
            overflow: None,
            max_messages: 0,
            max_size: Size(0),
            max_age: Duration::ZERO,
            ttl: Duration::ZERO,
            dedup_window: Duration::from_secs(120),
            max_dedup_ids: 1_000_000,
            producer_ttl: Duration::from_secs(7 * 24 * 3_600),
            max_producers: 10_000,
            max_deliveries: 0,
            dead_letter: None,
            redelivery_delay: Duration::ZERO,
        }
    }
}

impl DestinationsConfig {
    /// The settings of a destination that makes itself.
    #[must_use]
    pub fn settings(&self) -> DestinationSettings {
        let mut settings = match self.kind {
            Kind::Queue => DestinationSettings::queue(),
            Kind::Stream => DestinationSettings::stream(),
        };
        if let Some(rule) = self.overflow {
            settings.overflow = match rule {
                OverflowRule::Refuse => Overflow::Refuse,
                OverflowRule::DropOldest => Overflow::DropOldest,
            };
        }
        settings.messages_max = self.max_messages;
        settings.bytes_max = self.max_size.bytes();
        settings.age_max_ms = milliseconds(self.max_age);
        settings.ttl_default_ms = milliseconds(self.ttl);
        settings.dedup_window_ms = milliseconds(self.dedup_window);
        settings.dedup_ids_max = self.max_dedup_ids;
        settings.producer_ttl_ms = milliseconds(self.producer_ttl);
        settings.producers_max = self.max_producers;
        settings
    }

    /// The settings of a group that makes itself; `ack_timeout` is `performance.ack_timeout`.
    #[must_use]
    pub fn group_settings(&self, ack_timeout: Duration) -> GroupSettings {
        let mut settings = GroupSettings::default();
        settings.lease_ms = milliseconds(ack_timeout);
        settings.deliveries_max = self.max_deliveries;
        settings.dead_letter.clone_from(&self.dead_letter);
        settings.redelivery_delay_ms = milliseconds(self.redelivery_delay);
        settings
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Section for DestinationsConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            auto_create,
            kind,
            overflow,
            max_messages,
            max_size,
            max_age,
            ttl,
            dedup_window,
            max_dedup_ids,
            producer_ttl,
            max_producers,
            max_deliveries,
            dead_letter,
            redelivery_delay,
        } = self;
        fields.value("auto_create", auto_create);
        fields.value("kind", kind);
        fields.value("overflow", overflow);
        fields.value("max_messages", max_messages);
        fields.value("max_size", max_size);
        fields.value("max_age", max_age);
        fields.value("ttl", ttl);
        fields.value("dedup_window", dedup_window);
        fields.value("max_dedup_ids", max_dedup_ids);
        fields.value("producer_ttl", producer_ttl);
        fields.value("max_producers", max_producers);
        fields.value("max_deliveries", max_deliveries);
        fields.value("dead_letter", dead_letter);
        fields.value("redelivery_delay", redelivery_delay);
    }
}

/// A preset of destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One group; a message goes when it is acknowledged.
    Queue,
    /// A log with any number of groups.
    Stream,
}

impl From<Kind> for DestinationKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Queue => Self::Queue,
            Kind::Stream => Self::Stream,
        }
    }
}

words!(Kind, "a kind of destination: queue or stream", Kind::Queue = "queue", Kind::Stream = "stream");

/// What happens to a put when a destination is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowRule {
    /// It is refused with `DESTINATION-FULL`.
    Refuse,
    /// The oldest messages go, and are counted.
    DropOldest,
}

words!(
    OverflowRule,
    "what happens at a limit: refuse or drop-oldest",
    OverflowRule::Refuse = "refuse",
    OverflowRule::DropOldest = "drop-oldest",
);
