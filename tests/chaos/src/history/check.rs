//! The rules, each in a function of its own. Everything is O(n log n).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::history::{Group, History, Key, Kind, Moment, Outcome, Rule, Violation};

/// Every breach of every rule.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let places = places(history);
    let mut found = Vec::new();
    found.extend(nothing_lost(history));
    found.extend(nothing_invented(history));
    found.extend(refused_stays_away(history, &places));
    found.extend(one_effect(&places));
    found.extend(one_place_one_message(&places));
    found.extend(producer_order(history, &places));
    for (name, group) in &history.groups {
        found.extend(acked_stays_away(name, group));
    }
    found.extend(dead_once(history));
    found
}

/// Where each message was seen in the log: by the answer to its put, by a delivery, in the log itself.
type Places = BTreeMap<Key, BTreeSet<u64>>;

fn places(history: &History) -> Places {
    let mut places = Places::new();
    for (&key, put) in &history.puts {
        for outcome in put.outcomes() {
            if let Outcome::Stored { sequence, .. } = outcome {
                places.entry(key).or_default().insert(*sequence);
            }
        }
    }
    for delivery in history.groups.values().flat_map(|group| &group.deliveries) {
        places.entry(delivery.key).or_default().insert(delivery.sequence);
    }
    for &(sequence, key) in history.log.iter().flatten() {
        places.entry(key).or_default().insert(sequence);
    }
    places
}

fn nothing_lost(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let acknowledged = || history.puts.iter().filter(|(_, put)| put.is_acknowledged()).map(|(&key, _)| key);
    let dead: HashSet<Key> = history.dead.iter().map(|dead| dead.key).collect();
    for (name, group) in history.groups.iter().filter(|(_, group)| group.is_drained) {
        let delivered: HashSet<Key> = group.deliveries.iter().map(|delivery| delivery.key).collect();
        let lost = acknowledged().filter(|key| !delivered.contains(key) && !dead.contains(key));
        let seen =
            format!("group {name} was never delivered it, it does not remain, and it is no dead letter");
        found.extend(lost.map(|key| Violation::new(Rule::NothingLost, key, seen.clone())));
        found.extend(unsettled(group, &dead, name));
    }
    if let Some(log) = &history.log {
        let logged: HashSet<Key> = log.iter().map(|&(_, key)| key).collect();
        let lost = acknowledged().filter(|key| !logged.contains(key));
        found.extend(lost.map(|key| Violation::new(Rule::NothingLost, key, "it is not in the log")));
    }
    found
}

/// What a drained group was delivered and nobody settled: it neither came again nor remains.
fn unsettled(group: &Group, dead: &HashSet<Key>, name: &str) -> Vec<Violation> {
    // An acknowledgement that was sent may have taken effect although nobody confirmed it, and so may a
    // rejection, of which a dead letter remains.
    let acked: HashSet<Key> =
        group.settlements.iter().filter(|one| one.kind == Kind::Ack).map(|one| one.key).collect();
    let delivered: BTreeSet<Key> = group.deliveries.iter().map(|delivery| delivery.key).collect();
    delivered
        .into_iter()
        .filter(|key| !acked.contains(key) && !dead.contains(key))
        .map(|key| {
            let seen =
                format!("group {name} never acknowledged it, it does not remain, and it is no dead letter");
            Violation::new(Rule::NothingLost, key, seen)
        })
        .collect()
}

fn nothing_invented(history: &History) -> Vec<Violation> {
    let foreign = history.foreign.iter().map(|seen| Violation {
        rule: Rule::NothingInvented,
        key: None,
        seen: seen.clone(),
    });
    let delivered = history.groups.iter().flat_map(|(name, group)| {
        group.deliveries.iter().map(move |delivery| (delivery.key, format!("group {name} was delivered it")))
    });
    let logged = history.log.iter().flatten().map(|&(_, key)| (key, "it is in the log".to_owned()));
    let dead = history.dead.iter().map(|dead| (dead.key, "it is a dead letter".to_owned()));
    let unknown = delivered
        .chain(logged)
        .chain(dead)
        .filter(|(key, _)| !history.puts.contains_key(key))
        .map(|(key, seen)| Violation::new(Rule::NothingInvented, key, seen));
    foreign.chain(unknown).collect()
}

fn refused_stays_away(history: &History, places: &Places) -> Vec<Violation> {
    let refused = history.puts.iter().filter(|(_, put)| put.is_refused()).map(|(&key, _)| key);
    let seen = refused.filter_map(|key| places.get(&key).map(|places| (key, places)));
    seen.map(|(key, places)| Violation::new(Rule::RefusedStaysAway, key, format!("it stands at {places:?}")))
        .collect()
}

fn one_effect(places: &Places) -> Vec<Violation> {
    let twice = places.iter().filter(|(_, places)| places.len() > 1);
    twice
        .map(|(&key, places)| Violation::new(Rule::OneEffect, key, format!("it stands at {places:?}")))
        .collect()
}

fn one_place_one_message(places: &Places) -> Vec<Violation> {
    let mut owners: HashMap<u64, Key> = HashMap::new();
    let mut found = Vec::new();
    for (&key, places) in places {
        for &place in places {
            if let Some(other) = owners.insert(place, key) {
                let seen = format!("at {place} there is also {other}");
                found.push(Violation::new(Rule::OnePlaceOneMessage, key, seen));
            }
        }
    }
    found
}

fn producer_order(history: &History, places: &Places) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last: Option<(Key, u64)> = None;
    // In the order of the producers, and of each one's messages.
    for (&key, put) in &history.puts {
        let Some(&place) = places.get(&key).and_then(|places| places.first()) else { continue };
        if !put.is_ordered {
            continue;
        }
        if let Some((before, before_place)) = last
            && before.producer == key.producer
            && before_place >= place
        {
            let seen = format!("it stands at {place}, and {before}, which was put before, at {before_place}");
            found.push(Violation::new(Rule::ProducerOrder, key, seen));
        }
        last = Some((key, place));
    }
    found
}

/// A delivery after the confirmation, under a lease that was given later than the acknowledged one. One
/// under an earlier lease had left the node before, and was read late.
fn acked_stays_away(name: &str, group: &Group) -> Vec<Violation> {
    let mut confirmed: HashMap<Key, (Moment, u64)> = HashMap::new();
    for settlement in group.settlements.iter().filter(|one| one.kind == Kind::Ack) {
        if let Some((at, Ok(()))) = &settlement.ended {
            let entry = confirmed.entry(settlement.key).or_insert((*at, settlement.token));
            *entry = (*entry).min((*at, settlement.token));
        }
    }
    let late = group.deliveries.iter().filter_map(|delivery| {
        let &(at, token) = confirmed.get(&delivery.key)?;
        (delivery.at > at && delivery.token > token).then(|| {
            let seen = format!(
                "group {name} was delivered it as number {} under lease {:x}, after the acknowledgement of lease {token:x} was confirmed",
                delivery.attempt, delivery.token
            );
            Violation::new(Rule::AckedStaysAway, delivery.key, seen)
        })
    });
    late.collect()
}

fn dead_once(history: &History) -> Vec<Violation> {
    let rejected: HashSet<Key> = history
        .groups
        .values()
        .flat_map(|group| &group.settlements)
        .filter(|one| one.kind == Kind::Reject)
        .map(|one| one.key)
        .collect();
    let mut letters: BTreeMap<Key, BTreeSet<u64>> = BTreeMap::new();
    for dead in &history.dead {
        letters.entry(dead.key).or_default().insert(dead.sequence);
    }
    let mut found = Vec::new();
    for (key, places) in letters {
        if places.len() > 1 {
            found.push(Violation::new(Rule::DeadOnce, key, format!("its letters stand at {places:?}")));
        }
        if !rejected.contains(&key) {
            found.push(Violation::new(Rule::DeadOnce, key, "nobody rejected it"));
        }
    }
    found
}
