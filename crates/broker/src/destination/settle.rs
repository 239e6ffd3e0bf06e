//! What a settlement or an expiry changes, message by message.

use std::sync::Arc;

use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::destination::Destination;
use crate::fault::fault;
use crate::group::{Attempts, Group};
use crate::log::{Log, Stored};
use crate::outbox::Letter;
use crate::work::Work;

/// A group at work on a settlement.
pub(crate) struct Settling<'a> {
    destination: &'a DestinationName,
    name: &'a GroupName,
    log: &'a mut Log,
    group: &'a mut Group,
    work: &'a mut Work,
    /// Settled messages leave the log.
    is_queue: bool,
    /// Something may be leased now that could not be before.
    wake: bool,
}

impl Destination {
    /// The group called `name`, ready to settle.
    pub(crate) fn settling<'a>(
        &'a mut self,
        name: &'a GroupName,
        work: &'a mut Work,
    ) -> Option<Settling<'a>> {
        let is_queue = self.is_queue();
        let group = self.groups.get_mut(name)?;
        let wake = false;
        Some(Settling { destination: &self.name, name, log: &mut self.log, group, work, is_queue, wake })
    }
}

impl Settling<'_> {
    /// Which incarnation the group is.
    pub(crate) fn generation(&self) -> u64 {
        self.group.generation
    }

    /// The message is done.
    pub(crate) fn ack(&mut self, sequence: u64) -> SettleOutcome {
        if let Err(outcome) = self.in_reach(sequence) {
            return outcome;
        }
        if self.settle(sequence) {
            self.group.acknowledged += 1;
            return SettleOutcome::Done;
        }
        SettleOutcome::AlreadySettled
    }

    /// The message will never be done.
    pub(crate) fn reject(&mut self, sequence: u64, reason: &Arc<str>) -> SettleOutcome {
        if let Err(outcome) = self.unsettled(sequence) {
            return outcome;
        }
        self.bury(sequence, Arc::clone(reason));
        SettleOutcome::Done
    }

    /// The delivery that came after `attempts` failed ones has failed. `delay_ms` says how long the next
    /// one waits, given how many have failed now.
    pub(crate) fn fail(
        &mut self,
        sequence: u64,
        attempts: u32,
        delay_ms: impl Fn(&Group, u32) -> u64,
    ) -> SettleOutcome {
        let outcome = match self.unsettled(sequence) {
            Err(outcome) => Some(outcome),
            Ok(()) if self.group.attempts_of(sequence) != attempts && !fault!(LateNackCounts) => {
                Some(SettleOutcome::Stale)
            }
            Ok(()) => None,
        };
        if let Some(outcome) = outcome {
            self.finish(sequence);
            return outcome;
        }
        let count = self.group.attempts_of(sequence).saturating_add(1);
        let deliveries_max = self.group.settings.deliveries_max;
        if deliveries_max > 0 && count >= deliveries_max {
            self.note_attempts(sequence, count, 0);
            self.bury(sequence, Arc::from(format!("delivered {count} times without success")));
            return SettleOutcome::Done;
        }
        let available_ms = self.work.now_ms.saturating_add(delay_ms(self.group, count));
        self.group.redelivered += 1;
        self.end_lease(sequence);
        self.note_attempts(sequence, count, available_ms);
        self.finish(sequence);
        self.put_back(sequence);
        SettleOutcome::Done
    }

    /// All messages of the command are settled: moves the floor, and wakes whoever waits.
    pub(crate) fn done(mut self, was_full: bool) {
        if !self.is_queue && !fault!(FloorStandsStill) {
            self.group.advance(self.log);
        }
        self.wake |= was_full && !self.group.is_full();
        if self.wake && self.group.is_attended() {
            self.work.wake(self.destination, self.name);
        }
    }

    /// Whether as many messages are leased as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.group.is_full()
    }

    /// Whether the message may be there and unsettled; whether it is, the log says.
    fn in_reach(&self, sequence: u64) -> Result<(), SettleOutcome> {
        if sequence == 0 || sequence > self.log.last() {
            return Err(SettleOutcome::Unknown);
        }
        if self.group.is_settled(sequence) {
            return Err(SettleOutcome::AlreadySettled);
        }
        Ok(())
    }

    fn unsettled(&self, sequence: u64) -> Result<(), SettleOutcome> {
        self.in_reach(sequence)?;
        self.log.get(sequence).map(|_| ()).ok_or(SettleOutcome::AlreadySettled)
    }

    fn note_attempts(&mut self, sequence: u64, count: u32, available_ms: u64) {
        if fault!(ExpiryIsNotCounted) {
            return;
        }
        self.group.attempts.insert(sequence, Attempts { count, available_ms });
    }

    /// Gives the message up: to another destination, or to nobody.
    fn bury(&mut self, sequence: u64, reason: Arc<str>) {
        self.group.dead += 1;
        if let (Some(target), Some(stored)) = (&self.group.settings.dead_letter, self.log.get(sequence)) {
            let letter = Letter {
                destination: self.destination.clone(),
                group: self.name.clone(),
                sequence,
                location: stored.location(),
                attempts: self.group.attempts_of(sequence),
                reason,
            };
            if !fault!(DeadLetterIsNotHeld) {
                self.work.held.hold(stored.index);
            }
            self.work.outbox.push(target, letter);
            self.work.letters = true;
        }
        self.settle(sequence);
    }

    /// The group is done with the message, whose lease (if any) goes with it. Returns whether the message
    /// was there.
    fn settle(&mut self, sequence: u64) -> bool {
        let next = if self.is_queue {
            let Some(stored) = self.log.remove(sequence) else { return false };
            if !fault!(RemovedIsHeld) {
                self.work.held.release(stored.index);
            }
            self.group.forget(sequence, &stored);
            stored.next_of_key()
        } else {
            let Some(stored) = self.log.get(sequence) else { return false };
            self.group.settled.insert(sequence);
            self.group.forget(sequence, stored);
            stored.next_of_key()
        };
        if next != 0 && self.group.settings.key_ordered && !fault!(KeyIsNotUnblocked) {
            self.put_back(next);
        }
        true
    }

    fn put_back(&mut self, sequence: u64) {
        if let Some(stored) = self.log.get(sequence) {
            self.wake |= self.group.put_back(sequence, stored, self.work.now_ms);
        }
    }

    /// Nobody holds the message any more.
    fn end_lease(&mut self, sequence: u64) {
        let here = self.work.here;
        let available_ms =
            self.log.get(sequence).map_or(0, |stored| self.group.available_ms(sequence, stored));
        let rank = self.log.get(sequence).map_or(0, |stored| stored.rank);
        let Some(dispatch) = &mut self.group.dispatch else { return };
        match dispatch.leases.get_mut(&sequence) {
            Some(lease) if here => {
                lease.ended = true;
                let deadline_ms = lease.deadline_ms;
                dispatch.deadlines.remove(&(deadline_ms, sequence));
            }
            // An entry of an earlier leadership says nothing about a lease of this one.
            Some(_) => {}
            None => dispatch.forget(sequence, rank, available_ms),
        }
    }

    /// A command about a message that is not settled is over.
    pub(crate) fn finish(&mut self, sequence: u64) {
        if self.work.here {
            let stored = self.log.get(sequence);
            self.wake |= finish(self.group, sequence, stored, false, self.work.now_ms);
        }
    }
}

/// A command about the message is over and has not settled it. `abandoned`: it will never be applied.
/// Returns whether the message may be leased now.
pub(crate) fn finish(
    group: &mut Group,
    sequence: u64,
    stored: Option<&Stored>,
    expiry_abandoned: bool,
    now_ms: u64,
) -> bool {
    let Some(dispatch) = &mut group.dispatch else { return false };
    let Some(lease) = dispatch.leases.get_mut(&sequence) else { return false };
    lease.under_way = lease.under_way.saturating_sub(1);
    if expiry_abandoned && !lease.ended {
        lease.expiring = false;
        dispatch.deadlines.insert((lease.deadline_ms, sequence));
    }
    if lease.under_way > 0 || !lease.ended {
        return false;
    }
    dispatch.drop_lease(sequence);
    if fault!(AbandonedIsLost) {
        return false;
    }
    stored.is_some_and(|stored| group.put_back(sequence, stored, now_ms))
}
