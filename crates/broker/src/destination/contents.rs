//! What a destination holds.

use std::collections::BTreeMap;

use swarmmq_protocol::settings::{DestinationKind, DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{DestinationName, GroupName};

use crate::dedup::{Ids, Sessions};
use crate::fault::fault;
use crate::group::Group;
use crate::log::Log;
use crate::work::Work;

/// A queue or a stream.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) name: DestinationName,
    pub(crate) settings: DestinationSettings,
    pub(crate) log: Log,
    pub(crate) groups: BTreeMap<GroupName, Group>,
    pub(crate) sessions: Sessions,
    pub(crate) ids: Ids,
    pub(crate) counted: Counted,
    /// Not replicated: when the shard's timer for it fires.
    pub(crate) timer: Option<u64>,
    /// Not replicated: a tick that names it is under way.
    pub(crate) ticking: bool,
}

/// What a destination has counted since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
    pub(crate) expired: u64,
}

impl Destination {
    /// An empty destination. A queue needs its group still.
    pub(crate) fn new(name: DestinationName, settings: DestinationSettings) -> Self {
        Self {
            name,
            settings,
            log: Log::default(),
            groups: BTreeMap::new(),
            sessions: Sessions::default(),
            ids: Ids::default(),
            counted: Counted::default(),
            timer: None,
            ticking: false,
        }
    }

    pub(crate) fn is_queue(&self) -> bool {
        self.settings.kind == DestinationKind::Queue
    }

    /// The sequence that `position` means now: from 1 up to one behind the last.
    pub(crate) fn resolve(&self, position: Position) -> u64 {
        let end = self.log.last() + 1;
        match position {
            Position::Earliest => self.log.first(),
            Position::Sequence(sequence) => sequence.clamp(1, end),
            Position::Time(time_ms) => self.log.first_stored_at(time_ms),
            // Latest, and what a later version of the protocol may add.
            _ => end,
        }
    }

    /// Adds a group. Its name is free.
    pub(crate) fn add_group(
        &mut self,
        group: GroupName,
        settings: GroupSettings,
        generation: u64,
        work: &Work,
    ) {
        let floor = self.resolve(settings.start);
        let mut new = Group::new(settings, generation, work.token_bound, floor);
        new.void_below_here = work.token_bound_here;
        self.groups.insert(group, new);
    }

    /// Removes all messages; what is left of them is in the trash.
    pub(crate) fn purge(&mut self, work: &mut Work) {
        self.counted.dropped += self.log.messages();
        self.empty(work);
        let floor = self.log.last() + 1;
        for group in self.groups.values_mut() {
            group.empty(floor);
        }
    }

    /// Moves all messages to the trash.
    pub(crate) fn empty(&mut self, work: &mut Work) {
        for page in self.log.take_pages() {
            for (_, stored) in page.iter() {
                work.trash.push(stored.index);
            }
        }
        if fault!(PurgeForgetsSequences) {
            self.log = Log::default();
        }
    }

    /// Takes a message out of the log and tells every group. Returns whether it was there.
    pub(crate) fn remove(&mut self, sequence: u64, work: &mut Work) -> bool {
        let Some(stored) = self.log.remove(sequence) else { return false };
        if !fault!(RemovedIsHeld) {
            work.held.release(stored.index);
        }
        let next = stored.next_of_key();
        for (name, group) in &mut self.groups {
            let was_full = group.is_full();
            group.forget(sequence, &stored);
            let unblocked = group.settings.key_ordered
                && next != 0
                && self.log.get(next).is_some_and(|behind| group.put_back(next, behind, work.now_ms));
            if group.is_attended() && (unblocked || (was_full && !group.is_full())) {
                work.wake(&self.name, name);
            }
        }
        true
    }

    /// Wakes every group that somebody leases from.
    pub(crate) fn wake_all(&self, work: &mut Work) {
        for (name, group) in &self.groups {
            if group.is_attended() {
                work.wake(&self.name, name);
            }
        }
    }
}
