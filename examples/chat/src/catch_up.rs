//! How servers come to have the same records, whatever was lost between them.
//!
//! Each server tells now and then how many records it has and their sum. Whoever has others asks one who does, and the
//! two of them narrow down where they differ:
//!
//! ```text
//!  A: sync-digest {all: 1000, sum}                              to everybody, every second
//!  B: sync-digest {16 ranges, each with its count and sum}      to A: "I have others"
//!  A: sync-ids    {range, the keys that I have there}           to B, for each range that differs and is small;
//!                                                               sync-digest of its parts, where it is large
//!  B: sync-records {what A does not have, rest}                 to A: a batch, and where the next one begins
//!     sync-want    {what B does not have}                       and back:
//!  A: sync-records {…}
//! ```
//!
//! All of it goes by topic `replica`, and servers that do not know these types pass them over. No message is waited for:
//! each can be understood on its own, and one that is lost is made up for at the next second. Every message has a limit.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::history::{KeyRange, Summary};
use crate::record::{Key, Record};
use crate::store::{Store, StoreError};

/// How often a server says what it has.
pub(crate) const ROUND_MS: u64 = 1_000;

/// For how long what a server said counts.
const HEARD_MS: u64 = 5 * ROUND_MS;

/// For how long no other exchange is begun after records came that are to be followed by more.
const BUSY_MS: u64 = 2 * ROUND_MS;

/// Most servers whose sums are remembered.
const PEERS_MAX: usize = 1_000;

/// Into how many parts a range is cut. Each step narrows down a difference by so much.
const PARTS_MAX: usize = 16;

/// Ranges with more records than this are cut.
const IDS_MAX: usize = 64;

/// Most records of a message.
const BATCH_RECORDS_MAX: usize = 256;

/// Most bytes of the lines of the records of a message, but for its last one.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// What servers say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Exchange {
    /// What the sender has in some ranges. Without a receiver it is about everything.
    #[serde(rename = "sync-digest")]
    Digest {
        /// At most [`PARTS_MAX`].
        ranges: Vec<RangeSummary>,
    },
    /// Exactly what the sender has in a range.
    #[serde(rename = "sync-ids")]
    Ids {
        range: KeyRange,
        /// At most [`IDS_MAX`].
        ids: Vec<Key>,
    },
    /// What the sender would like to have.
    #[serde(rename = "sync-want")]
    Want {
        /// At most [`IDS_MAX`].
        ids: Vec<Key>,
    },
    /// What the receiver does not have.
    #[serde(rename = "sync-records")]
    Records {
        /// At most [`BATCH_RECORDS_MAX`].
        records: Vec<Record>,
        /// Where there is more, if there is.
        rest: Option<KeyRange>,
    },
}

/// A range and what somebody has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RangeSummary {
    pub(crate) range: KeyRange,
    pub(crate) summary: Summary,
}

/// An exchange as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    #[serde(flatten)]
    pub(crate) exchange: Exchange,
    pub(crate) origin: String,
    /// `None`: everybody.
    pub(crate) to: Option<String>,
    pub(crate) timestamp: String,
    pub(crate) clock: u64,
}

/// What is to be said, and to whom; to everybody, if to nobody.
pub(crate) type Saying = (Option<String>, Exchange);

impl Exchange {
    fn is_within_limits(&self) -> bool {
        match self {
            Self::Digest { ranges } => ranges.len() <= PARTS_MAX,
            Self::Ids { ids, .. } | Self::Want { ids } => ids.len() <= IDS_MAX,
            Self::Records { records, .. } => records.len() <= BATCH_RECORDS_MAX,
        }
    }
}

/// What a server knows of the others' histories.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// What each said that it has, and when.
    peers: BTreeMap<String, (Summary, u64)>,
    next_round_ms: u64,
    busy_until_ms: u64,
    /// Where among those who differ it goes on.
    turn: usize,
}

impl CatchUp {
    pub(crate) fn new() -> Self {
        Self { peers: BTreeMap::new(), next_round_ms: 0, busy_until_ms: 0, turn: 0 }
    }

    /// Once a round, says what there is, and begins an exchange with one who has something else, with each in turn.
    pub(crate) fn handle_tick(&mut self, now_ms: u64, store: &impl Store) -> Vec<Saying> {
        if now_ms < self.next_round_ms {
            return Vec::new();
        }
        self.next_round_ms = now_ms + ROUND_MS;
        self.peers.retain(|_, (_, heard_ms)| *heard_ms + HEARD_MS > now_ms);
        let all = RangeSummary { range: KeyRange::ALL, summary: store.summary() };
        let mut sayings = vec![(None, Exchange::Digest { ranges: vec![all] })];
        let others = self.peers.iter().filter(|(_, (summary, _))| *summary != all.summary);
        let others: Vec<&String> = others.map(|(peer, _)| peer).collect();
        if let Some(peer) =
            others.get(self.turn % others.len().max(1)).filter(|_| now_ms >= self.busy_until_ms)
        {
            sayings.push((Some((*peer).clone()), describe(store, KeyRange::ALL)));
            self.turn = self.turn.wrapping_add(1);
        }
        sayings
    }

    /// Answers a message of another server, once the records in it are in the store. `for_me` is whether it is for this
    /// server, and no other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn handle_exchange(
        &mut self,
        now_ms: u64,
        store: &mut impl Store,
        from: &str,
        for_me: bool,
        exchange: &Exchange,
    ) -> Result<Vec<Saying>, StoreError> {
        if !exchange.is_within_limits() {
            return Ok(Vec::new());
        }
        let answers = match exchange {
            Exchange::Digest { ranges } if !for_me => {
                self.hear(now_ms, from, ranges);
                Vec::new()
            }
            _ if !for_me => Vec::new(),
            Exchange::Digest { ranges } => {
                differing(store, ranges).into_iter().map(|range| describe(store, range)).collect()
            }
            Exchange::Ids { range, ids } => complete(store, *range, ids)?,
            Exchange::Want { ids } => batch(store, ids.iter().copied(), None)?.into_iter().collect(),
            Exchange::Records { rest, .. } => {
                if rest.is_some() {
                    self.busy_until_ms = now_ms + BUSY_MS;
                }
                rest.map(|rest| describe(store, rest)).into_iter().collect()
            }
        };
        Ok(answers.into_iter().map(|answer| (Some(from.to_owned()), answer)).collect())
    }

    fn hear(&mut self, now_ms: u64, from: &str, ranges: &[RangeSummary]) {
        let [all] = ranges else { return };
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(from) {
            self.peers.insert(from.to_owned(), (all.summary, now_ms));
        }
    }
}

/// What there is in a range: all its keys, or sums of its parts.
fn describe(store: &impl Store, range: KeyRange) -> Exchange {
    let history = store.history();
    let ids: Vec<Key> = history.keys(range).take(IDS_MAX + 1).collect();
    if ids.len() <= IDS_MAX {
        return Exchange::Ids { range, ids };
    }
    let parts = history.split(range, PARTS_MAX).into_iter();
    Exchange::Digest { ranges: parts.map(|(range, summary)| RangeSummary { range, summary }).collect() }
}

/// The ranges in which this server has something else. Neighbours are joined where that makes nothing too large: who has
/// nothing at all is then sent everything in one go.
fn differing(store: &impl Store, ranges: &[RangeSummary]) -> Vec<KeyRange> {
    let mut differing: Vec<(KeyRange, u64)> = Vec::new();
    for RangeSummary { range, summary } in ranges {
        let own = store.history().summary_of(*range);
        if own == *summary || !range.is_sound() {
            continue;
        }
        match differing.last_mut() {
            Some((before, count))
                if before.until == Some(range.from) && *count + own.count <= IDS_MAX as u64 =>
            {
                before.until = range.until;
                *count += own.count;
            }
            _ => differing.push((*range, own.count)),
        }
    }
    differing.into_iter().map(|(range, _)| range).collect()
}

/// What somebody lacks who has exactly `ids` in a range, and what is asked of them.
fn complete(store: &mut impl Store, range: KeyRange, ids: &[Key]) -> Result<Vec<Exchange>, StoreError> {
    let theirs: BTreeSet<&Key> = ids.iter().collect();
    let lacking = store.history().keys(range).filter(|key| !theirs.contains(key));
    // One more than goes into a message tells where the rest begins.
    let lacking: Vec<Key> = lacking.take(BATCH_RECORDS_MAX + 1).collect();
    let mut answers: Vec<Exchange> = batch(store, lacking.into_iter(), range.until)?.into_iter().collect();
    let want: Vec<Key> = ids.iter().filter(|key| !store.history().contains(key)).copied().collect();
    if !want.is_empty() {
        answers.push(Exchange::Want { ids: want });
    }
    Ok(answers)
}

/// As many records as go into a message; the rest is from the first that does not up to `until`.
fn batch(
    store: &mut impl Store,
    keys: impl Iterator<Item = Key>,
    until: Option<Key>,
) -> Result<Option<Exchange>, StoreError> {
    let (mut records, mut bytes, mut rest) = (Vec::new(), 0, None);
    for key in keys {
        if records.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
            rest = Some(KeyRange { from: key, until });
            break;
        }
        if let Some(record) = store.read(&key)? {
            bytes += record.line().len();
            records.push(record);
        }
    }
    Ok((!records.is_empty()).then_some(Exchange::Records { records, rest }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::wire;

    fn record(clock: u64) -> Record {
        Record::Publish {
            origin: format!("server-{}", clock % 3),
            channel: "general".into(),
            user: "ana".into(),
            message: "x".repeat((clock as usize * 37) % 2_000),
            timestamp: "now".into(),
            clock,
        }
    }

    fn store(clocks: impl IntoIterator<Item = u64>) -> MemoryStore {
        let mut store = MemoryStore::default();
        store.append(clocks.into_iter().map(record).collect()).unwrap();
        store
    }

    /// Two servers talk until neither has anything to say. Returns how much was said: messages and records.
    fn talk(stores: &mut [MemoryStore; 2]) -> (usize, usize) {
        let mut minds = [CatchUp::new(), CatchUp::new()];
        let opening = describe(&stores[0], KeyRange::ALL);
        let mut said = vec![(1, opening)];
        let (mut messages, mut records_sent) = (0, 0);
        while let Some((to, exchange)) = said.pop() {
            messages += 1;
            assert!(messages < 10_000, "they never come to an end");
            assert!(exchange.is_within_limits());
            let written = wire::encode(&Letter {
                exchange: exchange.clone(),
                origin: "a".into(),
                to: None,
                timestamp: String::new(),
                clock: 1,
            });
            let read: Letter = wire::decode(&written.unwrap()).unwrap();
            assert_eq!(read.exchange, exchange);
            if let Exchange::Records { records, .. } = &exchange {
                records_sent += records.len();
                stores[to].append(records.clone()).unwrap();
            }
            let answers = minds[to].handle_exchange(0, &mut stores[to], "peer", true, &exchange).unwrap();
            said.extend(answers.into_iter().map(|(_, answer)| (1 - to, answer)));
        }
        (messages, records_sent)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn two_that_talk_have_the_same_and_send_only_what_is_missing(
            both in proptest::collection::btree_set(1_u64..3_000, 0..1_000),
            left in proptest::collection::btree_set(1_u64..3_000, 0..100),
            right in proptest::collection::btree_set(1_u64..3_000, 0..600),
        ) {
            let mut stores =
                [store(both.union(&left).copied()), store(both.union(&right).copied())];
            let all = stores[0].records.iter().chain(&stores[1].records).map(Key::of).collect::<BTreeSet<_>>();
            let missing = 2 * all.len() - stores[0].records.len() - stores[1].records.len();
            let (_, sent) = talk(&mut stores);
            prop_assert_eq!(sent, missing);
            prop_assert_eq!(stores[0].summary(), stores[1].summary());
            prop_assert_eq!(stores[0].summary().count, all.len() as u64);
        }
    }

    #[test]
    fn a_server_with_nothing_is_sent_everything_in_full_batches() {
        let mut stores = [store([]), store(1..3_000)];
        let (messages, sent) = talk(&mut stores);
        assert_eq!((sent, stores[0].records.len()), (2_999, 2_999));
        assert!(messages < 50, "{messages}");
        let mut stores = [store(1..3_000), store([])];
        let (messages, _) = talk(&mut stores);
        assert_eq!(stores[1].records.len(), 2_999);
        assert!(messages < 50, "{messages}");
    }

    #[test]
    fn one_missing_among_many_takes_few_messages() {
        let mut stores = [store(1..3_000), store((1..3_000).filter(|clock| *clock != 1_234))];
        let (messages, sent) = talk(&mut stores);
        assert_eq!(sent, 1);
        assert!(messages <= 6, "{messages}");
    }

    #[test]
    fn what_is_beyond_the_limits_or_for_another_is_not_answered() {
        let mut store = store(1..100);
        let mut mind = CatchUp::new();
        let ids = (0..65).map(|clock| Key { clock, content: 0 }).collect();
        let want = Exchange::Want { ids };
        assert!(mind.handle_exchange(0, &mut store, "b", true, &want).unwrap().is_empty());
        let ids = Exchange::Ids { range: KeyRange::ALL, ids: vec![] };
        assert!(mind.handle_exchange(0, &mut store, "b", false, &ids).unwrap().is_empty());
        assert!(!mind.handle_exchange(0, &mut store, "b", true, &ids).unwrap().is_empty());
        let backwards = KeyRange { from: Key { clock: 9, content: 0 }, until: Some(Key::MIN) };
        let ids = Exchange::Ids { range: backwards, ids: vec![] };
        assert!(mind.handle_exchange(0, &mut store, "b", true, &ids).unwrap().is_empty());
    }

    #[test]
    fn each_who_differs_is_asked_in_turn_and_nobody_who_does_not() {
        let mut store = store(1..10);
        let mut mind = CatchUp::new();
        let digest =
            |summary| Exchange::Digest { ranges: vec![RangeSummary { range: KeyRange::ALL, summary }] };
        let same = digest(store.summary());
        mind.handle_exchange(0, &mut store, "same", false, &same).unwrap();
        for peer in ["b", "c"] {
            mind.handle_exchange(0, &mut store, peer, false, &digest(Summary::default())).unwrap();
        }
        let mut asked = Vec::new();
        for round in 0..4 {
            let sayings = mind.handle_tick(round * ROUND_MS, &store);
            assert_eq!(sayings[0], (None, same.clone()));
            asked.extend(sayings[1..].iter().filter_map(|(to, _)| to.clone()));
            assert!(mind.handle_tick(round * ROUND_MS + 1, &store).is_empty());
        }
        assert_eq!(asked, ["b", "c", "b", "c"]);
        assert_eq!(mind.handle_tick(100 * ROUND_MS, &store).len(), 1, "who is silent is forgotten");
    }
}
