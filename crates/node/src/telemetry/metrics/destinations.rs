//! Destinations as series, at most so many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use swarmmq_protocol::info::DestinationInfo;

use super::definitions::{Definition, names};
use super::exposition::Exposition;

/// The label under which the destinations without one of their own are summed.
///
/// Names of destinations cannot begin with a dash, so none can be mistaken for it.
pub const OTHER: &str = "-other";

/// Which destinations have a series of their own.
///
/// Once a destination has one it keeps it for as long as it is there, or the series would flap; a free
/// place goes to the destination that holds most.
#[derive(Debug)]
pub(super) struct Labelled {
    most: usize,
    names: Mutex<BTreeSet<String>>,
}

/// What is said of a destination.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    messages: u64,
    bytes: u64,
    ready: u64,
    leased: u64,
    consumers: u64,
    oldest_age_ms: u64,
    dropped: u64,
    expired: u64,
    dead: u64,
}

impl Figures {
    fn of(info: &DestinationInfo) -> Self {
        let over_groups = |figure: fn(&swarmmq_protocol::info::GroupInfo) -> u64| {
            info.groups.iter().map(figure).fold(0, u64::saturating_add)
        };
        let unsettled = info.groups.iter().map(|group| group.oldest_age_ms).max();
        Self {
            messages: info.messages,
            bytes: info.bytes,
            ready: over_groups(|group| group.ready),
            leased: over_groups(|group| group.leased),
            consumers: over_groups(|group| group.consumers),
            oldest_age_ms: unsettled.unwrap_or(info.oldest_age_ms),
            dropped: info.dropped,
            expired: info.expired,
            dead: over_groups(|group| group.dead),
        }
    }

    /// The same figure of two destinations as one: sums, and the greater age.
    fn with(self, more: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(more.messages),
            bytes: self.bytes.saturating_add(more.bytes),
            ready: self.ready.saturating_add(more.ready),
            leased: self.leased.saturating_add(more.leased),
            consumers: self.consumers.saturating_add(more.consumers),
            oldest_age_ms: self.oldest_age_ms.max(more.oldest_age_ms),
            ..self
        }
    }
}

type Figure = fn(&Figures) -> f64;

const GAUGES: [(Definition, Figure); 6] = [
    (names::DESTINATION_MESSAGES, |figures| figures.messages as f64),
    (names::DESTINATION_SIZE_BYTES, |figures| figures.bytes as f64),
    (names::DESTINATION_READY, |figures| figures.ready as f64),
    (names::DESTINATION_LEASED, |figures| figures.leased as f64),
    (names::DESTINATION_CONSUMERS, |figures| figures.consumers as f64),
    (names::DESTINATION_OLDEST_AGE, |figures| figures.oldest_age_ms as f64 / 1000.0),
];

/// A sum over changing destinations would fall, and a counter that falls is read as one that began anew.
const COUNTERS: [(Definition, Figure); 3] = [
    (names::DESTINATION_DROPPED, |figures| figures.dropped as f64),
    (names::DESTINATION_EXPIRED, |figures| figures.expired as f64),
    (names::DESTINATION_DEAD, |figures| figures.dead as f64),
];

impl Labelled {
    pub(super) fn new(most: usize) -> Self {
        Self { most, names: Mutex::new(BTreeSet::new()) }
    }

    pub(super) fn render(&self, page: &mut Exposition, destinations: &[DestinationInfo]) {
        page.value(&names::DESTINATIONS, destinations.len() as f64);
        let labelled = self.choose(destinations);
        let mut own = BTreeMap::new();
        let mut other: Option<Figures> = None;
        for info in destinations {
            let figures = Figures::of(info);
            if labelled.contains(info.name.as_str()) {
                own.insert(info.name.as_str(), figures);
            } else {
                other = Some(other.map_or(figures, |sum| sum.with(figures)));
            }
        }
        for (definition, figure) in &GAUGES {
            let rest = other.iter().map(|figures| (OTHER, figure(figures)));
            page.series(definition, own.iter().map(|(name, figures)| (*name, figure(figures))).chain(rest));
        }
        for (definition, figure) in &COUNTERS {
            page.series(definition, own.iter().map(|(name, figures)| (*name, figure(figures))));
        }
    }

    fn choose(&self, destinations: &[DestinationInfo]) -> BTreeSet<String> {
        let mut labelled = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let present: BTreeSet<&str> = destinations.iter().map(|info| info.name.as_str()).collect();
        labelled.retain(|name| present.contains(name.as_str()));
        let free = self.most.saturating_sub(labelled.len());
        let mut waiting: Vec<&DestinationInfo> =
            destinations.iter().filter(|info| !labelled.contains(info.name.as_str())).collect();
        if waiting.len() > free {
            waiting.sort_by(|one, two| two.messages.cmp(&one.messages).then_with(|| one.name.cmp(&two.name)));
        }
        labelled.extend(waiting.iter().take(free).map(|info| info.name.to_string()));
        labelled.clone()
    }
}
