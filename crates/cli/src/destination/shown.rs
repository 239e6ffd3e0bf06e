//! Destinations and groups, as a person reads them.

use swarmmq::{DestinationInfo, DestinationKind, GroupInfo};

use super::{condition, position, record};
use crate::console::{Column, Table};
use crate::quantity::{show_age, show_bytes, show_count};

/// The table of `queue ls` or `stream ls`.
pub(super) fn destination_table(kind: DestinationKind, infos: &[DestinationInfo]) -> Table {
    match kind {
        DestinationKind::Stream => stream_table(infos),
        _ => queue_table(infos),
    }
}

fn queue_table(infos: &[DestinationInfo]) -> Table {
    use Column::{Left, Right};
    let mut table = Table::new(&[
        Left("NAME"),
        Right("MESSAGES"),
        Right("SIZE"),
        Right("READY"),
        Right("LEASED"),
        Right("DELAYED"),
        Right("DEAD"),
        Right("CONSUMERS"),
        Right("OLDEST"),
    ]);
    for info in infos {
        let sum = |of: fn(&GroupInfo) -> u64| show_count(info.groups.iter().map(of).sum());
        table.row([
            info.name.to_string(),
            show_count(info.messages),
            show_bytes(info.bytes),
            sum(|group| group.ready),
            sum(|group| group.leased),
            sum(|group| group.delayed),
            sum(|group| group.dead),
            sum(|group| group.consumers),
            age(info.messages, info.oldest_age_ms),
        ]);
    }
    table
}

fn stream_table(infos: &[DestinationInfo]) -> Table {
    use Column::{Left, Right};
    let mut table = Table::new(&[
        Left("NAME"),
        Right("MESSAGES"),
        Right("SIZE"),
        Right("FIRST"),
        Right("LAST"),
        Right("GROUPS"),
        Right("DROPPED"),
        Right("OLDEST"),
    ]);
    for info in infos {
        table.row([
            info.name.to_string(),
            show_count(info.messages),
            show_bytes(info.bytes),
            info.first.to_string(),
            info.last.to_string(),
            info.groups.len().to_string(),
            show_count(info.dropped),
            age(info.messages, info.oldest_age_ms),
        ]);
    }
    table
}

/// Age of the oldest of so many messages.
fn age(messages: u64, oldest_age_ms: u64) -> String {
    if messages == 0 { "-".into() } else { show_age(oldest_age_ms) }
}

/// What `queue info` and `stream info` say before the groups.
pub(super) fn destination_facts(info: &DestinationInfo) -> Table {
    let mut facts = Table::facts();
    let settings = &info.settings;
    facts.fact("name", info.name.as_str());
    facts.fact("kind", record::kind(settings.kind));
    facts.fact("shard", info.shard.to_string());
    facts.fact("messages", show_count(info.messages));
    facts.fact("size", show_bytes(info.bytes));
    facts.fact("sequences", sequences(info));
    facts.fact("oldest", age(info.messages, info.oldest_age_ms));
    facts.fact("dropped", show_count(info.dropped));
    facts.fact("expired", show_count(info.expired));
    facts.fact("duplicates", show_count(info.duplicates));
    facts.fact("max-messages", limit(settings.messages_max, show_count));
    facts.fact("max-size", limit(settings.bytes_max, show_bytes));
    facts.fact("max-age", limit(settings.age_max_ms, show_age));
    facts.fact("overflow", record::overflow(settings.overflow));
    facts.fact("max-message-size", limit(settings.message_bytes_max, show_bytes));
    facts.fact("ttl", limit(settings.ttl_default_ms, show_age));
    facts.fact("dedup-window", limit(settings.dedup_window_ms, show_age));
    facts.fact("producer-ttl", show_age(settings.producer_ttl_ms));
    if settings.kind == DestinationKind::Stream {
        facts.fact("last-per-key", settings.last_per_key.to_string());
    }
    facts
}

fn sequences(info: &DestinationInfo) -> String {
    if info.first > info.last {
        return format!("none, the next is {}", info.last.saturating_add(1));
    }
    format!("{} to {}", info.first, info.last)
}

fn limit(value: u64, show: fn(u64) -> String) -> String {
    if value == 0 { "none".into() } else { show(value) }
}

/// The table of `group ls`.
pub(crate) fn group_table(groups: &[GroupInfo]) -> Table {
    use Column::{Left, Right};
    let mut table = Table::new(&[
        Left("GROUP"),
        Right("READY"),
        Right("LEASED"),
        Right("DELAYED"),
        Right("ACKED"),
        Right("REDELIVERED"),
        Right("DEAD"),
        Right("CONSUMERS"),
        Right("OLDEST"),
        Left("STATE"),
    ]);
    for group in groups {
        table.row([
            group.name.to_string(),
            show_count(group.ready),
            show_count(group.leased),
            show_count(group.delayed),
            show_count(group.acknowledged),
            show_count(group.redelivered),
            show_count(group.dead),
            show_count(group.consumers),
            age(group.ready + group.leased + group.delayed, group.oldest_age_ms),
            state(group).to_owned(),
        ]);
    }
    table
}

fn state(group: &GroupInfo) -> &'static str {
    if group.paused { "paused" } else { "running" }
}

/// What `group info` says.
pub(crate) fn group_facts(destination: &str, group: &GroupInfo) -> Table {
    let mut facts = Table::facts();
    let settings = &group.settings;
    facts.fact("destination", destination);
    facts.fact("group", group.name.as_str());
    facts.fact("state", state(group));
    facts.fact("ready", show_count(group.ready));
    facts.fact("leased", show_count(group.leased));
    facts.fact("delayed", show_count(group.delayed));
    facts.fact("settled below", group.floor.to_string());
    facts.fact("acknowledged", show_count(group.acknowledged));
    facts.fact("redelivered", show_count(group.redelivered));
    facts.fact("dead", show_count(group.dead));
    facts.fact("consumers", show_count(group.consumers));
    facts.fact("oldest", age(group.ready + group.leased + group.delayed, group.oldest_age_ms));
    facts.fact("start", position::show(settings.start));
    facts.fact("ack-timeout", show_age(settings.lease_ms));
    facts.fact("max-deliveries", limit(u64::from(settings.deliveries_max), show_count));
    facts.fact("dead-letter", settings.dead_letter.as_ref().map_or("none", AsRef::as_ref));
    facts.fact("redelivery-delay", limit(settings.redelivery_delay_ms, show_age));
    facts.fact("key-ordered", settings.key_ordered.to_string());
    facts.fact("max-leased", show_count(u64::from(settings.leased_max)));
    let filter: Vec<_> = settings.filter.iter().map(condition::show).collect();
    facts.fact("filter", if filter.is_empty() { "none".into() } else { filter.join(", ") });
    facts
}
