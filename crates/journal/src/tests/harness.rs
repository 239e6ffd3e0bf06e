//! A journal on a simulated disk beside a plain model of what it may contain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::simulated::SimulatedDisk;
use crate::{Completion, Entry, GroupId, Journal, MetaKey, OpenError, Options, Step, Writer};

pub(crate) const GROUPS: u32 = 3;
const LAZY_KEY: MetaKey = MetaKey(9);

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 8 << 10,
        hot_bytes: 2 << 10,
        batch_bytes: 3000,
        batch_records: 20,
        reserve_bytes: 1 << 10,
        mark_bytes: 4 << 10,
        mark_batches: 8,
        move_below_percent: 40,
        move_slice_bytes: 700,
        ..Options::default()
    }
}

/// What one record changes.
#[derive(Debug, Clone)]
enum Change {
    Entry(u64, u64, Bytes),
    Truncate(u64),
    Purge(u64, u64),
    /// Stored for a snapshot: changes nothing of the log.
    Adopt(u64, u64),
    Meta(u8, Bytes),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GroupModel {
    pub(crate) log: BTreeMap<u64, (u64, Bytes)>,
    pub(crate) purged: Option<(u64, u64)>,
    pub(crate) metas: BTreeMap<u8, Bytes>,
}

impl GroupModel {
    pub(crate) fn last(&self) -> u64 {
        let purged = self.purged.map_or(0, |(index, _)| index);
        self.log.keys().next_back().copied().unwrap_or(purged)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Entry(index, term, payload) => {
                self.log.insert(*index, (*term, payload.clone()));
            }
            Change::Truncate(from) => {
                self.log.split_off(from);
            }
            Change::Adopt(..) => {}
            Change::Purge(index, term) => {
                self.purged = Some((*index, *term));
                self.log = self.log.split_off(&(index + 1));
            }
            Change::Meta(key, value) => {
                self.metas.insert(*key, value.clone());
            }
        }
    }
}

pub(crate) type Model = BTreeMap<u32, GroupModel>;

pub(crate) struct Harness {
    pub(crate) disk: SimulatedDisk,
    pub(crate) options: Options,
    pub(crate) journal: Option<Journal>,
    pub(crate) writer: Option<Writer>,
    /// All that was submitted, applied.
    pub(crate) model: Model,
    /// What was applied when the journal was opened, and the records since, each ending its operation or not.
    base: Model,
    changes: Vec<(u32, Change)>,
    /// For each operation, how many records had been submitted with and before it.
    operations: Vec<usize>,
    completed: Arc<AtomicUsize>,
    pub(crate) held: BTreeMap<u32, BTreeMap<u64, (u64, Bytes)>>,
    lazy: BTreeMap<u32, u64>,
    lazy_seen: BTreeMap<u32, u64>,
    terms: u64,
}

impl Harness {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut harness = Self {
            disk: SimulatedDisk::new(seed),
            options,
            journal: None,
            writer: None,
            model: Model::new(),
            base: Model::new(),
            changes: Vec::new(),
            operations: Vec::new(),
            completed: Arc::new(AtomicUsize::new(0)),
            held: BTreeMap::new(),
            lazy: BTreeMap::new(),
            lazy_seen: BTreeMap::new(),
            terms: 1,
        };
        for group in 0..GROUPS {
            harness.model.entry(group).or_default();
            harness.base.entry(group).or_default();
        }
        harness
    }

    pub(crate) fn try_open(&mut self) -> Result<(), OpenError> {
        let disk = Arc::new(self.disk.clone());
        let (journal, writer) = Journal::open(disk, self.options.clone())?;
        self.journal = Some(journal);
        self.writer = Some(writer);
        Ok(())
    }

    pub(crate) fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn done(&self, number: usize) -> Completion {
        let completed = self.completed.clone();
        Box::new(move |result| {
            if result.is_ok() {
                let before = completed.swap(number + 1, Ordering::SeqCst);
                assert_eq!(before, number, "completions out of order");
            }
        })
    }

    fn submit(&mut self, group: u32, changes: Vec<Change>) -> Completion {
        let model = self.model.get_mut(&group).unwrap();
        for change in changes {
            model.apply(&change);
            self.changes.push((group, change));
        }
        self.operations.push(self.changes.len());
        self.done(self.operations.len() - 1)
    }

    pub(crate) fn append(&mut self, group: u32, count: usize, size: usize) {
        let next = self.model[&group].last() + 1;
        let term = self.terms;
        let entries: Vec<Entry> = (next..next + count as u64)
            .map(|index| Entry {
                index,
                term,
                payload: payload(group, index, term, size + index as usize % 7),
            })
            .collect();
        let changes = entries
            .iter()
            .map(|entry| Change::Entry(entry.index, entry.term, entry.payload.clone()))
            .collect();
        let done = self.submit(group, changes);
        self.journal().append(GroupId(group), entries, done);
    }

    pub(crate) fn truncate(&mut self, group: u32, back: u64) {
        let model = &self.model[&group];
        let purged = model.purged.map_or(0, |(index, _)| index);
        let from = (model.last() + 1).saturating_sub(back).max(purged + 1);
        self.terms += 1;
        if let Some(held) = self.held.get_mut(&group) {
            held.split_off(&from);
        }
        let done = self.submit(group, vec![Change::Truncate(from)]);
        self.journal().truncate_from(GroupId(group), from, done);
    }

    pub(crate) fn purge(&mut self, group: u32, keep: u64) {
        let model = &self.model[&group];
        let purged = model.purged.map_or(0, |(index, _)| index);
        let index = model.last().saturating_sub(keep);
        if index <= purged {
            return;
        }
        let term = model.log.get(&index).map_or(0, |(term, _)| *term);
        let done = self.submit(group, vec![Change::Purge(index, term)]);
        self.journal().purge(GroupId(group), index, done);
    }

    /// A snapshot that reaches beyond the log was received: it refers to one entry, and the log begins behind it.
    pub(crate) fn install(&mut self, group: u32, gap: u64) {
        let last = self.model[&group].last() + gap;
        let term = self.terms;
        let held = payload(group, last, term, 90);
        let done = self.submit(group, vec![Change::Adopt(last, term)]);
        let entry = Entry { index: last, term, payload: held.clone() };
        self.journal().adopt(GroupId(group), vec![entry], done);
        self.held.entry(group).or_default().insert(last, (term, held));
        let done = self.submit(group, vec![Change::Purge(last, term)]);
        self.journal().purge_to(GroupId(group), last, term, done);
    }

    pub(crate) fn meta(&mut self, group: u32, key: u8, size: usize) {
        let value = payload(group, u64::from(key), self.operations.len() as u64, size);
        let done = self.submit(group, vec![Change::Meta(key, value.clone())]);
        self.journal().put_meta(GroupId(group), MetaKey(key), value, done);
    }

    pub(crate) fn lazy(&mut self, group: u32) {
        let version = self.lazy.entry(group).or_default();
        *version += 1;
        let value = Bytes::copy_from_slice(&version.to_le_bytes());
        self.journal().put_meta_lazy(GroupId(group), LAZY_KEY, value);
    }

    pub(crate) fn hold(&mut self, group: u32, back: u64) {
        let model = &self.model[&group];
        let index = model.last().saturating_sub(back);
        if let Some(entry) = model.log.get(&index) {
            let held = self.held.entry(group).or_default();
            held.insert(index, entry.clone());
            assert!(self.journal().hold(GroupId(group), index));
        }
    }

    pub(crate) fn release(&mut self, group: u32, pick: usize) {
        let Some(held) = self.held.get_mut(&group) else {
            return;
        };
        let Some(index) = held.keys().copied().nth(pick % held.len().max(1)) else {
            return;
        };
        held.remove(&index);
        self.journal().release(GroupId(group), index);
    }

    pub(crate) fn step(&mut self) -> Step {
        self.writer.as_mut().unwrap().step()
    }

    pub(crate) fn idle(&mut self) -> Step {
        self.writer.as_mut().unwrap().idle()
    }

    /// Steps until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.step() != Step::Worked && self.idle() != Step::Worked {
                return;
            }
        }
        panic!("the writer does not come to rest");
    }

    pub(crate) fn close(&mut self) {
        self.journal = None;
        self.writer = None;
    }

    pub(crate) fn completed_all(&self) -> bool {
        self.completed.load(Ordering::SeqCst) == self.operations.len()
    }

    /// What is readable now is what was submitted, synced or not.
    pub(crate) fn check_running(&self) {
        let found = self.recovered(&self.model);
        assert_eq!(found, self.model, "a running journal shows something else");
        self.check_held();
    }

    fn check_held(&self) {
        for (group, held) in &self.held {
            for (index, (term, payload)) in held {
                let entry = self
                    .journal()
                    .read(GroupId(*group), *index)
                    .unwrap()
                    .unwrap_or_else(|| panic!("held entry {group}/{index} is gone"));
                assert_eq!((entry.term, &entry.payload), (*term, payload));
            }
        }
    }

    fn recovered(&self, like: &Model) -> Model {
        let journal = self.journal();
        let mut all = Model::new();
        for (&group, model) in like {
            let id = GroupId(group);
            let state = journal.state(id);
            let mut found = GroupModel { purged: state.purged, ..GroupModel::default() };
            if let (Some(first), Some((last, _))) = (state.first, state.last) {
                let entries = journal.read_range(id, first, last + 1, usize::MAX).unwrap();
                for entry in entries {
                    found.log.insert(entry.index, (entry.term, entry.payload));
                }
                assert_eq!(found.log.len() as u64, last + 1 - first);
                assert_eq!(found.log[&last].0, state.last.unwrap().1);
            }
            for key in 0..8 {
                if let Some(value) = journal.meta(id, MetaKey(key)) {
                    found.metas.insert(key, value);
                }
            }
            let _ = model;
            all.insert(group, found);
        }
        all
    }

    /// After opening again: what was completed is there, the rest is a prefix. Goes on from what was found.
    pub(crate) fn check_recovered(&mut self) {
        let found = self.recovered(&self.model);
        let completed = self.completed.load(Ordering::SeqCst);
        let least = completed.checked_sub(1).map_or(0, |last| self.operations[last]);
        let mut model = self.base.clone();
        let mut at = None;
        for count in 0..=self.changes.len() {
            if count > 0 {
                let (group, change) = &self.changes[count - 1];
                model.get_mut(group).unwrap().apply(change);
            }
            if count >= least && model == found {
                at = Some(count);
                break;
            }
        }
        let Some(count) = at else {
            panic!(
                "recovered something that was never there: {completed} operations ({least} records) of {} completed, records {}, found {:?}, expected at least {:?}",
                self.operations.len(),
                self.changes.len(),
                summary(&found),
                summary(&self.prefix(least)),
            );
        };
        self.check_lazy();
        let durable: BTreeSet<(u32, u64, u64)> = self.changes[..count]
            .iter()
            .filter_map(|(group, change)| match change {
                Change::Entry(index, term, _) | Change::Adopt(index, term) => Some((*group, *index, *term)),
                _ => None,
            })
            .chain(self.base_entries())
            .collect();
        for (group, held) in &mut self.held {
            // Stored for a snapshot whose purge did not become durable: the snapshot is received again.
            let last = found[group].last();
            held.retain(|index, (term, _)| *index <= last && durable.contains(&(*group, *index, *term)));
        }
        self.check_held();
        for (group, held) in &self.held {
            for index in held.keys() {
                assert!(self.journal().hold(GroupId(*group), *index));
            }
        }
        self.journal().holds_restored();
        self.check_held();
        self.model = found;
        // After a crash raft has a new leader: an index and a term never name two payloads.
        self.terms += 1;
        self.base = self.model.clone();
        self.changes.clear();
        self.operations.clear();
        self.completed = Arc::new(AtomicUsize::new(0));
    }

    fn prefix(&self, count: usize) -> Model {
        let mut model = self.base.clone();
        for (group, change) in &self.changes[..count] {
            model.get_mut(group).unwrap().apply(change);
        }
        model
    }

    fn base_entries(&self) -> Vec<(u32, u64, u64)> {
        let log = self
            .base
            .iter()
            .flat_map(|(group, model)| model.log.iter().map(|(index, (term, _))| (*group, *index, *term)));
        // Entries held since before the last restart were durable then.
        let held = self.held.iter().flat_map(|(group, held)| {
            let purged = self.base[group].purged.map_or(0, |(index, _)| index);
            held.iter()
                .filter(move |(index, _)| **index <= purged)
                .map(|(index, (term, _))| (*group, *index, *term))
        });
        log.chain(held).collect()
    }

    fn check_lazy(&mut self) {
        for group in 0..GROUPS {
            let found = self
                .journal()
                .meta(GroupId(group), LAZY_KEY)
                .map_or(0, |value| u64::from_le_bytes(value.as_ref().try_into().unwrap()));
            let seen = self.lazy_seen.entry(group).or_default();
            let latest = self.lazy.entry(group).or_default();
            assert!(*seen <= found && found <= *latest, "lazy value went back");
            *seen = found;
            *latest = found;
        }
    }
}

fn summary(model: &Model) -> Vec<String> {
    model
        .iter()
        .map(|(group, model)| {
            format!(
                "group {group}: purged {:?}, log {:?}..={:?}, {} metas",
                model.purged,
                model.log.first_key_value().map(|(i, (t, _))| (i, t)),
                model.log.last_key_value().map(|(i, (t, _))| (i, t)),
                model.metas.len()
            )
        })
        .collect()
}

fn payload(group: u32, index: u64, term: u64, size: usize) -> Bytes {
    let text = format!("{group}/{index}/{term} ");
    text.bytes().cycle().take(size).collect()
}
