//! Destinations and groups, as a program reads them.

use serde::Serialize;
use swarmmq::{DestinationInfo, DestinationKind, DestinationSettings, GroupInfo, GroupSettings, Overflow};

use super::{condition, position};

/// A destination. Times are milliseconds; 0 in a limit means: none.
#[derive(Debug, Serialize)]
pub(crate) struct DestinationRecord<'a> {
    name: &'a str,
    kind: &'static str,
    shard: u32,
    messages: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
    oldest_age_ms: u64,
    dropped: u64,
    expired: u64,
    duplicates: u64,
    settings: SettingsRecord,
    groups: Vec<GroupRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct SettingsRecord {
    overflow: &'static str,
    max_messages: u64,
    max_bytes: u64,
    max_age_ms: u64,
    last_per_key: bool,
    max_message_bytes: u64,
    ttl_ms: u64,
    dedup_window_ms: u64,
    max_dedup_ids: u64,
    producer_ttl_ms: u64,
    max_producers: u64,
}

/// A group. `destination` is there where groups are listed by themselves.
#[derive(Debug, Serialize)]
pub(crate) struct GroupRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    name: &'a str,
    paused: bool,
    ready: u64,
    leased: u64,
    delayed: u64,
    floor_sequence: u64,
    acknowledged: u64,
    redelivered: u64,
    dead: u64,
    oldest_age_ms: u64,
    consumers: u64,
    settings: GroupSettingsRecord<'a>,
}

#[derive(Debug, Serialize)]
struct GroupSettingsRecord<'a> {
    start: String,
    ack_timeout_ms: u64,
    max_deliveries: u32,
    dead_letter: Option<&'a str>,
    redelivery_delay_ms: u64,
    key_ordered: bool,
    max_leased: u32,
    filter: Vec<String>,
}

impl<'a> From<&'a DestinationInfo> for DestinationRecord<'a> {
    fn from(info: &'a DestinationInfo) -> Self {
        Self {
            name: info.name.as_str(),
            kind: kind(info.settings.kind),
            shard: info.shard,
            messages: info.messages,
            bytes: info.bytes,
            first_sequence: info.first,
            last_sequence: info.last,
            oldest_age_ms: info.oldest_age_ms,
            dropped: info.dropped,
            expired: info.expired,
            duplicates: info.duplicates,
            settings: SettingsRecord::from(&info.settings),
            groups: info.groups.iter().map(|group| GroupRecord::new(None, group)).collect(),
        }
    }
}

impl From<&DestinationSettings> for SettingsRecord {
    fn from(settings: &DestinationSettings) -> Self {
        Self {
            overflow: overflow(settings.overflow),
            max_messages: settings.messages_max,
            max_bytes: settings.bytes_max,
            max_age_ms: settings.age_max_ms,
            last_per_key: settings.last_per_key,
            max_message_bytes: settings.message_bytes_max,
            ttl_ms: settings.ttl_default_ms,
            dedup_window_ms: settings.dedup_window_ms,
            max_dedup_ids: settings.dedup_ids_max,
            producer_ttl_ms: settings.producer_ttl_ms,
            max_producers: settings.producers_max,
        }
    }
}

impl<'a> GroupRecord<'a> {
    pub(crate) fn new(destination: Option<&'a str>, info: &'a GroupInfo) -> Self {
        Self {
            destination,
            name: info.name.as_str(),
            paused: info.paused,
            ready: info.ready,
            leased: info.leased,
            delayed: info.delayed,
            floor_sequence: info.floor,
            acknowledged: info.acknowledged,
            redelivered: info.redelivered,
            dead: info.dead,
            oldest_age_ms: info.oldest_age_ms,
            consumers: info.consumers,
            settings: GroupSettingsRecord::from(&info.settings),
        }
    }
}

impl<'a> From<&'a GroupSettings> for GroupSettingsRecord<'a> {
    fn from(settings: &'a GroupSettings) -> Self {
        Self {
            start: position::show(settings.start),
            ack_timeout_ms: settings.lease_ms,
            max_deliveries: settings.deliveries_max,
            dead_letter: settings.dead_letter.as_ref().map(AsRef::as_ref),
            redelivery_delay_ms: settings.redelivery_delay_ms,
            key_ordered: settings.key_ordered,
            max_leased: settings.leased_max,
            filter: settings.filter.iter().map(condition::show).collect(),
        }
    }
}

pub(super) fn kind(kind: DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Queue => "queue",
        DestinationKind::Stream => "stream",
        _ => "unknown",
    }
}

pub(super) fn overflow(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Refuse => "refuse",
        Overflow::DropOldest => "drop-oldest",
        _ => "unknown",
    }
}
