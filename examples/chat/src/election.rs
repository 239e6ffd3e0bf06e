//! Who coordinates: the server with the lowest rank of those that the reference says are alive.
//!
//! All servers that read the same list elect the same one. Lists are read at different moments, so what a server may
//! *do* as the coordinator is bound to time:
//!
//! ```text
//!  reference:  a server is alive for  ALIVE_MS  after a heartbeat came
//!  server:     it acts only LEASE_MS long after it *sent* the last heartbeat and the last question for the list that
//!              were answered, and not before it was on lists without a break for LEASE_MS
//! ```
//!
//! A server that is taken off the list has stopped acting before, as `LEASE_MS < ALIVE_MS`; a server that comes back waits
//! until every list without it has become too old to act on. So no two act at once, as long as their clocks run equally
//! fast, give or take a third. A reference that others wrote may promise less.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::time;

/// How long the reference takes a server for alive after a heartbeat.
pub(crate) const ALIVE_MS: u64 = 6_000;

/// How long a server may act on what the reference said.
pub(crate) const LEASE_MS: u64 = 4_000;

/// Most servers of a list.
pub(crate) const SERVERS_MAX: usize = 1_000;

/// What the reference knows of a server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// The lowest coordinates.
    pub(crate) rank: u64,
    /// When its last heartbeat came, by the reference's clock: seconds since 1970.
    #[serde(default, deserialize_with = "read_beat")]
    pub(crate) last_beat: f64,
}

/// References that others wrote may write seconds, ISO 8601 or nothing that can be compared.
fn read_beat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(seconds) => seconds.as_f64().unwrap_or(0.0),
        Value::String(text) => {
            let ms = time::parse(&text).and_then(|ms| u64::try_from(ms).ok());
            ms.map_or(0.0, Election::seconds)
        }
        _ => 0.0,
    })
}

/// The servers that the reference lists, by name.
pub(crate) type ServerList = BTreeMap<String, Listed>;

/// What a server knows of the others.
#[derive(Debug)]
pub(crate) struct Election {
    name: String,
    coordinator: Option<String>,
    alive: Vec<String>,
    /// When the last heartbeat was sent that was answered.
    beat_ms: Option<u64>,
    /// When the last list was asked for that came.
    list_ms: Option<u64>,
    /// Since when it has been on all lists.
    listed_ms: Option<u64>,
}

impl Election {
    pub(crate) fn new(name: &str) -> Self {
        let (coordinator, alive) = (None, Vec::new());
        Self { name: name.to_owned(), coordinator, alive, beat_ms: None, list_ms: None, listed_ms: None }
    }

    /// Who coordinates by the last list; nobody, while the reference has been out of reach for too long.
    pub(crate) fn coordinator(&self) -> Option<&str> {
        self.coordinator.as_deref()
    }

    /// The servers of the last list that are alive.
    pub(crate) fn alive(&self) -> &[String] {
        &self.alive
    }

    /// Whether this server may do now what only one may do.
    pub(crate) fn may_act(&self, now_ms: u64) -> bool {
        self.coordinator.as_ref() == Some(&self.name)
            && fresh(self.beat_ms, now_ms)
            && fresh(self.list_ms, now_ms)
            && self.listed_ms.is_some_and(|since_ms| now_ms >= since_ms.saturating_add(LEASE_MS))
    }

    /// A heartbeat that was sent at `sent_ms` was answered.
    pub(crate) fn handle_beat(&mut self, sent_ms: u64) {
        self.beat_ms = Some(sent_ms);
    }

    /// A list came that was asked for at `sent_ms`. `true` if there is another coordinator.
    pub(crate) fn handle_list(&mut self, sent_ms: u64, now_ms: u64, list: &ServerList) -> bool {
        self.list_ms = Some(sent_ms);
        // A reference that keeps the dead on its list shows them by their heartbeats, which stopped.
        let newest = list.values().map(|listed| listed.last_beat).fold(0.0, f64::max);
        let oldest = newest - Self::seconds(ALIVE_MS);
        let mut alive: Vec<_> = list.iter().filter(|(_, listed)| listed.last_beat >= oldest).collect();
        alive.sort_by(|(a, left), (b, right)| (left.rank, a).cmp(&(right.rank, b)));
        self.alive = alive.iter().map(|(name, _)| (*name).clone()).collect();
        if !self.alive.contains(&self.name) {
            self.listed_ms = None;
        } else if self.listed_ms.is_none() {
            self.listed_ms = Some(now_ms);
        }
        let elected = self.alive.first().cloned();
        let changed = elected.is_some() && elected != self.coordinator;
        self.coordinator = elected;
        changed
    }

    /// `true` if the reference has now been out of reach for so long that nobody is known to coordinate.
    pub(crate) fn handle_tick(&mut self, now_ms: u64) -> bool {
        if fresh(self.beat_ms, now_ms) && fresh(self.list_ms, now_ms) {
            return false;
        }
        self.listed_ms = None;
        self.alive.clear();
        self.coordinator.take().is_some()
    }

    fn seconds(ms: u64) -> f64 {
        std::time::Duration::from_millis(ms).as_secs_f64()
    }
}

fn fresh(at_ms: Option<u64>, now_ms: u64) -> bool {
    at_ms.is_some_and(|at_ms| now_ms < at_ms.saturating_add(LEASE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(servers: &[(&str, u64, f64)]) -> ServerList {
        let listed = |rank, last_beat| Listed { rank, last_beat };
        servers.iter().map(|(name, rank, beat)| ((*name).to_owned(), listed(*rank, *beat))).collect()
    }

    #[test]
    fn the_lowest_rank_that_beats_is_elected() {
        let mut election = Election::new("b");
        assert!(election.handle_list(0, 0, &list(&[("a", 2, 100.0), ("b", 1, 99.0)])));
        assert_eq!(election.coordinator(), Some("b"));
        assert!(!election.handle_list(0, 0, &list(&[("a", 2, 101.0), ("b", 1, 99.0)])));
        // The reference of others never takes anybody off its list.
        assert!(election.handle_list(0, 0, &list(&[("a", 2, 105.5), ("b", 1, 99.0)])));
        assert_eq!(election.coordinator(), Some("a"));
        assert_eq!(election.alive(), ["a"]);
    }

    #[test]
    fn heartbeats_are_read_as_seconds_and_as_iso_8601() {
        let text = r#"{"a": {"rank": 1, "last_beat": "2000-02-29T12:34:56.500000Z"},
                       "b": {"rank": 2, "last_beat": 951827696.5}, "c": {"rank": 3, "last_beat": null}, "d": {"rank": 4}}"#;
        let list: ServerList = serde_json::from_str(text).unwrap();
        let beats: Vec<f64> = list.values().map(|listed| listed.last_beat).collect();
        assert_eq!(beats, [951_827_696.5, 951_827_696.5, 0.0, 0.0]);
    }

    #[test]
    fn it_acts_only_while_what_it_knows_is_fresh_and_not_at_once() {
        let mut election = Election::new("a");
        let alone = list(&[("a", 1, 0.0)]);
        for now_ms in (0..10_000).step_by(1_000) {
            election.handle_beat(now_ms);
            election.handle_list(now_ms, now_ms, &alone);
            assert!(!election.handle_tick(now_ms));
            assert_eq!(election.may_act(now_ms), now_ms >= LEASE_MS, "{now_ms}");
        }
        assert!(election.may_act(9_000 + LEASE_MS - 1));
        assert!(!election.may_act(9_000 + LEASE_MS));
        assert!(election.handle_tick(9_000 + LEASE_MS));
        assert!(!election.handle_tick(9_000 + LEASE_MS));
        assert_eq!(election.coordinator(), None);
        election.handle_beat(20_000);
        assert!(election.handle_list(20_000, 20_000, &alone));
        assert!(!election.may_act(20_000), "others may still act on a list without it");
    }
}
