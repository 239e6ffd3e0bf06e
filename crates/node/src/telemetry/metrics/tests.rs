//! The page as Prometheus would read it.

use std::collections::BTreeMap;
use std::time::Duration;

use swarmmq_journal::Observer;
use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
use swarmmq_protocol::request::{Pull, Request, Verdict};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{DestinationName, ErrorCode, GroupName};

use super::strict::{Family, read};
use super::*;

fn page(metrics: &Metrics, destinations: Vec<DestinationInfo>) -> BTreeMap<String, Family> {
    let stats = swarmmq_journal::Stats::default();
    let text = metrics.render(Some(&NodeSample::new(destinations, Some(stats)))).finish();
    read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn destination(name: &str, messages: u64) -> DestinationInfo {
    let name = DestinationName::new(name).unwrap();
    let mut info = DestinationInfo::new(name, DestinationSettings::queue(), 0);
    info.messages = messages;
    info.bytes = 10 * messages;
    info.oldest_age_ms = 9_000;
    info.dropped = 1;
    let mut group = GroupInfo::new(GroupName::default_group(), GroupSettings::default());
    group.ready = messages;
    group.oldest_age_ms = 1_500;
    info.groups.push(group);
    info
}

#[test]
fn everything_countable_is_there_from_the_start() {
    let metrics = Metrics::new(10);
    let _ = metrics.listener("native");
    let _ = crate::zeromq::Drops::new("durable", &metrics);
    let families = page(&metrics, vec![destination("orders", 1)]);
    // What the node's health and its ZeroMQ endpoints add is added by the route.
    let by_route = [
        names::READY,
        names::SHARDS,
        names::SHARDS_WITHOUT_LEADER,
        names::DISK_FULL,
        names::ZEROMQ_PEERS,
        names::ZEROMQ_RECEIVED,
        names::ZEROMQ_SENT,
        names::ZEROMQ_STATE,
    ]
    .map(|definition| definition.name);
    for definition in names::ALL.iter().filter(|one| !by_route.contains(&one.name)) {
        let family =
            families.get(definition.name).unwrap_or_else(|| panic!("{} is missing", definition.name));
        assert_eq!(family.kind, definition.kind.as_str(), "{}", definition.name);
        for (_, labels, _) in &family.samples {
            let labels: Vec<&str> = labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
            assert_eq!(labels, definition.labels, "{}", definition.name);
        }
    }
    let known: Vec<&str> = names::ALL.iter().map(|one| one.name).collect();
    assert!(families.keys().all(|name| known.contains(&name.as_str())), "a metric without a definition");
    let refusals = &families["swarmmq_refusals_total"];
    assert_eq!(refusals.samples.len(), ErrorCode::ALL.len());
}

#[test]
fn names_follow_the_conventions() {
    for Definition { name, kind, help, .. } in names::ALL {
        assert!(name.starts_with("swarmmq_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        for unit in ["_ms", "_micros", "_kb", "_mb", "_minutes"] {
            assert!(!name.contains(unit), "{name} is not in a base unit");
        }
    }
}

#[test]
fn what_is_counted_is_on_the_page() {
    let metrics = Metrics::new(10);
    metrics.puts.stored(3, 300, 1, Duration::from_millis(2));
    metrics.deliveries.delivered(5, 500, 2);
    metrics.settlements.settled(&Verdict::Nack { delay_ms: 0 }, 4, Duration::from_micros(10));
    metrics.requests.refused(ErrorCode::DiskFull);
    let pull = Pull {
        destination: DestinationName::new("a").unwrap(),
        group: GroupName::default_group(),
        messages_max: 1,
        wait_ms: 0,
        lease_ms: 0,
    };
    metrics.requests.begins(&Request::Pull(pull.clone()));
    metrics.requests.begins(&Request::Pull(pull));
    metrics.requests.ends();
    let listener = metrics.listener("ingest");
    listener.opened();
    listener.opened();
    listener.closed();
    listener.dropped(DropReason::TooLarge, 7);
    metrics.listener("ingest").handshake_failed(HandshakeFailure::Timeout);
    metrics.journal.sync_begins();
    metrics.journal.synced(64, 4_096);

    let families = page(&metrics, Vec::new());
    let value = |name: &str, labels: &[(&str, &str)]| families[name].value(labels).unwrap();
    assert_eq!(value("swarmmq_puts_total", &[]), 3.0);
    assert_eq!(value("swarmmq_put_duplicates_total", &[]), 1.0);
    assert_eq!(value("swarmmq_redeliveries_total", &[]), 2.0);
    assert_eq!(value("swarmmq_settlements_total", &[("verdict", "nack")]), 4.0);
    assert_eq!(value("swarmmq_refusals_total", &[("code", "DISK-FULL")]), 1.0);
    assert_eq!(value("swarmmq_refusals_total", &[("code", "OVERLOADED")]), 0.0);
    assert_eq!(value("swarmmq_requests_total", &[("request", "pull")]), 2.0);
    assert_eq!(value("swarmmq_requests_in_flight", &[]), 1.0);
    assert_eq!(value("swarmmq_connections", &[("listener", "ingest")]), 1.0);
    assert_eq!(value("swarmmq_drops_total", &[("listener", "ingest"), ("reason", "too-large")]), 7.0);
    assert_eq!(
        value("swarmmq_handshake_failures_total", &[("listener", "ingest"), ("reason", "timeout")]),
        1.0
    );
    assert_eq!(value("swarmmq_put_duration_seconds", &[("le", "0.001")]), 0.0);
    assert_eq!(value("swarmmq_put_duration_seconds", &[("le", "0.0025")]), 1.0);
    assert_eq!(value("swarmmq_journal_sync_records", &[("le", "64")]), 1.0);
    assert_eq!(value("swarmmq_journal_written_bytes_total", &[]), 4_096.0);
}

#[test]
fn destinations_beyond_the_limit_are_summed_and_labels_stay() {
    let metrics = Metrics::new(2);
    let families = page(&metrics, vec![destination("a", 1), destination("b", 5), destination("c", 3)]);
    let messages = &families["swarmmq_destination_messages"];
    assert_eq!(messages.value(&[("destination", "b")]), Some(5.0));
    assert_eq!(messages.value(&[("destination", "c")]), Some(3.0));
    assert_eq!(messages.value(&[("destination", OTHER)]), Some(1.0));
    assert_eq!(families["swarmmq_destination_oldest_age_seconds"].value(&[("destination", "b")]), Some(1.5));
    assert_eq!(families["swarmmq_destination_dropped_total"].value(&[("destination", OTHER)]), None);
    assert_eq!(families["swarmmq_destinations"].value(&[]), Some(3.0));

    let families = page(&metrics, vec![destination("a", 100), destination("b", 0), destination("c", 3)]);
    let messages = &families["swarmmq_destination_messages"];
    assert_eq!(messages.value(&[("destination", "b")]), Some(0.0), "a series does not flap");
    assert_eq!(messages.value(&[("destination", OTHER)]), Some(100.0));

    let families = page(&metrics, vec![destination("a", 100), destination("c", 3)]);
    let messages = &families["swarmmq_destination_messages"];
    assert_eq!(messages.value(&[("destination", "a")]), Some(100.0), "the place of one that is gone is free");
    assert_eq!(messages.value(&[("destination", OTHER)]), None);
}

#[test]
fn the_label_of_the_rest_is_not_the_name_of_a_destination() {
    assert!(DestinationName::new(OTHER).is_err());
}

#[test]
fn two_nodes_in_one_process_do_not_count_into_each_other() {
    let (one, two) = (Metrics::new(1), Metrics::new(1));
    one.puts.stored(1, 1, 0, Duration::ZERO);
    assert_eq!(page(&two, Vec::new())["swarmmq_puts_total"].value(&[]), Some(0.0));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_says_what_it_costs() {
    let families = page(&Metrics::new(1), Vec::new());
    let value = |name: &str| families[name].value(&[]).unwrap();
    assert!(value("process_resident_memory_bytes") > 1e5);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_start_time_seconds") > 1.6e9);
}
