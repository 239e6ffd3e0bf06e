//! What time brings: leases that run out, delays that end, retention.

use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::command::{Command, SequenceRun, TICK_DESTINATIONS_MAX};
use crate::destination::Destination;
use crate::group::Group;
use crate::group::dispatch::Dispatch;
use crate::plan::{Due, Wakeup};
use crate::shard::Shard;

impl Shard {
    /// What is due at `now_ms`. Only at the leader; nothing is named twice before its command was applied
    /// or [abandoned](Self::abandon).
    ///
    /// Looks at a bounded number of destinations; where there are more, [`Self::next_due`] still lies in
    /// the past.
    pub fn due(&mut self, now_ms: u64) -> Due {
        let now_ms = self.tell_time(now_ms);
        let mut due = Due::default();
        let mut ticks = Vec::new();
        for _ in 0..TICK_DESTINATIONS_MAX {
            let Some((at_ms, _)) = self.volatile.timers.first() else { break };
            if *at_ms > now_ms {
                break;
            }
            let Some((_, name)) = self.volatile.timers.pop_first() else { break };
            let Some(destination) = self.destinations.get_mut(&name) else { continue };
            destination.timer = None;
            destination.due(now_ms, &mut due);
            if !destination.ticking && destination.retire_at().is_some_and(|at_ms| at_ms <= now_ms) {
                destination.ticking = true;
                ticks.push(name);
            }
            let next =
                destination.groups.values().filter_map(|group| group.dispatch.as_ref()?.next_due()).min();
            if let Some(at_ms) = next {
                self.volatile.arm(destination, at_ms);
            }
            self.volatile.arm_retention(destination, now_ms);
        }
        let sweep = !self.trash.is_empty() && !self.volatile.sweeping;
        if sweep || !ticks.is_empty() {
            self.volatile.sweeping |= sweep;
            due.commands.push(Command::Tick { destinations: ticks });
        }
        due
    }

    /// When to call [`Self::due`] next, ms since 1970; a time that has passed means now.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        if !self.trash.is_empty() && !self.volatile.sweeping {
            return Some(0);
        }
        self.volatile.timers.first().map(|(at_ms, _)| *at_ms)
    }

    /// The consumer is gone: its leases end. The commands count the deliveries, and make the messages
    /// ready at once.
    pub fn release_consumer(&mut self, consumer: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        for Wakeup { destination: name, group: group_name } in
            self.volatile.consumers.remove(&consumer).unwrap_or_default()
        {
            let Some(destination) = self.destinations.get_mut(&name) else { continue };
            let Some(group) = destination.groups.get_mut(&group_name) else { continue };
            let Some(dispatch) = &mut group.dispatch else { continue };
            let leases = dispatch.leases.iter();
            let sequences: Vec<u64> = leases
                .filter(|(_, lease)| lease.consumer == consumer && lease.is_timed())
                .map(|(sequence, _)| *sequence)
                .collect();
            for sequence in &sequences {
                begin_expiry(dispatch, *sequence);
            }
            expire(&name, &group_name, group, &sequences, true, &mut commands);
        }
        commands
    }

    /// Sees to it that the group's leases and delays are looked at in time.
    pub(super) fn arm_group(&mut self, name: &DestinationName, group: &GroupName) {
        let Some(destination) = self.destinations.get_mut(name) else { return };
        let next = destination.groups.get(group).and_then(|group| group.dispatch.as_ref()?.next_due());
        if let Some(at_ms) = next {
            self.volatile.arm(destination, at_ms);
        }
    }
}

impl Destination {
    /// Leases that have run out, and delays that have ended.
    fn due(&mut self, now_ms: u64, due: &mut Due) {
        for (name, group) in &mut self.groups {
            let Some(dispatch) = &mut group.dispatch else { continue };
            let mut sequences = Vec::new();
            while let Some((deadline_ms, sequence)) = dispatch.deadlines.first().copied()
                && deadline_ms <= now_ms
            {
                begin_expiry(dispatch, sequence);
                sequences.push(sequence);
            }
            let log = &self.log;
            let ready = dispatch.promote(now_ms, |sequence| log.get(sequence).map(|stored| stored.rank));
            if ready && group.is_attended() {
                due.ready.push(Wakeup { destination: self.name.clone(), group: name.clone() });
            }
            expire(&self.name, name, group, &sequences, false, &mut due.commands);
        }
    }
}

/// An expiry of the lease is under way; its time does not run any more.
fn begin_expiry(dispatch: &mut Dispatch, sequence: u64) {
    let Some(lease) = dispatch.leases.get_mut(&sequence) else { return };
    lease.expiring = true;
    lease.under_way += 1;
    let deadline_ms = lease.deadline_ms;
    dispatch.deadlines.remove(&(deadline_ms, sequence));
}

/// The commands that end the leases of `sequences`.
fn expire(
    destination: &DestinationName,
    name: &GroupName,
    group: &Group,
    sequences: &[u64],
    at_once: bool,
    commands: &mut Vec<Command>,
) {
    for chunk in sequences.chunks(BATCH_MAX) {
        let mut runs = Vec::new();
        for sequence in chunk {
            SequenceRun::push(&mut runs, *sequence, group.attempts_of(*sequence));
        }
        commands.push(Command::Expire {
            destination: destination.clone(),
            group: name.clone(),
            generation: group.generation,
            at_once,
            runs,
        });
    }
}
