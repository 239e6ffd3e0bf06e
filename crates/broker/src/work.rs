//! What applying one entry carries along: its time and place, and what comes of it.

use std::collections::VecDeque;

use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::effect::Effect;
use crate::held::Held;
use crate::outbox::Outbox;
use crate::plan::Wakeup;

/// The parts of a shard that all destinations share, and the effects gathered so far.
#[derive(Debug)]
pub(crate) struct Work {
    /// Log index of the entry.
    pub(crate) index: u64,
    pub(crate) now_ms: u64,
    /// Whether the entry was made by the leadership whose leases this shard has.
    pub(crate) here: bool,
    /// The entry's token bound.
    pub(crate) token_bound: u64,
    /// This shard's own token bound.
    pub(crate) token_bound_here: u64,
    /// How much may still be retired.
    pub(crate) budget: usize,
    pub(crate) held: Held,
    pub(crate) outbox: Outbox,
    pub(crate) trash: Trash,
    ready: Vec<Wakeup>,
    gone: Vec<Effect>,
    /// A dead letter was added.
    pub(crate) letters: bool,
}

impl Work {
    pub(crate) fn new(index: u64, now_ms: u64, budget: usize) -> Self {
        Self {
            index,
            now_ms,
            here: false,
            token_bound: 0,
            token_bound_here: 0,
            budget,
            held: Held::default(),
            outbox: Outbox::default(),
            trash: Trash::default(),
            ready: Vec::new(),
            gone: Vec::new(),
            letters: false,
        }
    }

    /// Something may be leased.
    pub(crate) fn wake(&mut self, destination: &DestinationName, group: &GroupName) {
        let again = |last: &Wakeup| last.destination == *destination && last.group == *group;
        if !self.ready.last().is_some_and(again) {
            self.ready.push(Wakeup { destination: destination.clone(), group: group.clone() });
        }
    }

    /// A group was deleted.
    pub(crate) fn group_gone(&mut self, destination: &DestinationName, group: GroupName, error: ErrorReply) {
        self.gone.push(Effect::GroupGone { destination: destination.clone(), group, error });
    }

    /// Takes one from the budget, if there is any left.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }

    /// What is to be done about the entry.
    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        let changes = self.held.take_changes();
        let held = changes.held.into_iter().map(|index| Effect::Hold { index });
        let released = changes.released.into_iter().map(|index| Effect::Release { index });
        self.ready.sort();
        self.ready.dedup();
        let ready = std::mem::take(&mut self.ready)
            .into_iter()
            .map(|Wakeup { destination, group }| Effect::Ready { destination, group });
        let gone = std::mem::take(&mut self.gone);
        held.chain(released).chain(ready).chain(gone).chain(self.letters.then_some(Effect::Outbox)).collect()
    }
}

/// Messages of purged and deleted destinations: they are gone for everybody, only their entries are
/// still held, and released a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Trash {
    /// Log index of an entry, and how many messages of it.
    runs: VecDeque<(u64, u32)>,
}

impl Trash {
    pub(crate) fn push(&mut self, index: u64) {
        match self.runs.back_mut() {
            Some((last, count)) if *last == index && *count < u32::MAX => *count += 1,
            _ => self.runs.push_back((index, 1)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.runs.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn push_run(&mut self, index: u64, count: u32) {
        self.runs.push_back((index, count));
    }
}

impl Work {
    /// Releases the entries of some of the trash.
    pub(crate) fn sweep(&mut self) {
        while self.budget > 0
            && let Some((index, count)) = self.trash.runs.pop_front()
        {
            self.budget -= 1;
            self.held.release_many(index, count);
        }
    }
}
