//! Applying an entry.

use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::DestinationName;
use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::request::{Put, Verdict};
use swarmmq_protocol::response::SettleOutcome;

use crate::auto_create::AutoCreate;
use crate::command::{Command, Placed, PlacedMessage, SequenceRun};
use crate::destination::put::wrong_revision;
use crate::effect::{Applied, ApplyError, Outcome};
use crate::entry::{self, Entry};
use crate::fault::fault;
use crate::shard::{Shard, unknown_destination, unknown_group};
use crate::work::Work;

impl Shard {
    /// Applies the entry at log index `index`. The same entries give the same state on every replica.
    ///
    /// The work of one entry is bounded by its size and by [`ShardLimits::retire_max`]; what remains to
    /// be retired is done by the next tick, for which [`Self::next_due`] then asks at once.
    ///
    /// [`ShardLimits::retire_max`]: crate::ShardLimits::retire_max
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was changed then.
    pub fn apply(&mut self, index: u64, entry: Bytes) -> Result<Applied, ApplyError> {
        if index <= self.applied {
            return Err(ApplyError::OutOfOrder { index, applied: self.applied });
        }
        let Entry { now_ms, token_bound, commands } =
            entry::decode(entry).map_err(|source| ApplyError::Undecodable { index, source })?;
        self.applied = index;
        self.now_ms = if fault!(TimeRunsBack) { now_ms } else { self.now_ms.max(now_ms) };
        let mut work = Work::new(index, self.now_ms, self.limits.retire_max.max(1) as usize);
        work.here = self.volatile.is_own(token_bound);
        work.token_bound = token_bound;
        work.token_bound_here = self.volatile.token_bound();
        work.held = std::mem::take(&mut self.held);
        work.outbox = std::mem::take(&mut self.outbox);
        work.trash = std::mem::take(&mut self.trash);
        let outcomes = commands.iter().map(|placed| self.apply_one(placed, &mut work)).collect();
        work.sweep();
        let effects = work.effects();
        self.held = work.held;
        self.outbox = work.outbox;
        self.trash = work.trash;
        Ok(Applied { outcomes, effects })
    }

    fn apply_one(&mut self, placed: &Placed, work: &mut Work) -> Outcome {
        let done = match &placed.command {
            Command::Put { put, auto_create } => {
                return self
                    .apply_put(put, &placed.messages, auto_create.as_ref(), work)
                    .unwrap_or_else(Outcome::Error);
            }
            Command::Settle { destination, group, generation, verdict, runs } => {
                let settlement = Settlement { destination, group, generation: *generation, runs };
                return self.apply_settle(&settlement, verdict, work).unwrap_or_else(Outcome::Error);
            }
            Command::Expire { destination, group, generation, at_once, runs } => {
                let settlement = Settlement { destination, group, generation: *generation, runs };
                self.apply_expire(&settlement, *at_once, work)
            }
            Command::CreateDestination { destination, settings, group } => {
                self.create_destination(destination, settings, group, work)
            }
            Command::UpdateDestination { destination, settings } => {
                self.update_destination(destination, settings, work)
            }
            Command::DeleteDestination { destination } => self.delete_destination(destination, work),
            Command::PurgeDestination { destination } => self.purge_destination(destination, work),
            Command::CreateGroup { destination, group, settings } => {
                self.create_group(destination, group, settings, work)
            }
            Command::UpdateGroup { destination, group, settings } => {
                self.update_group(destination, group, settings, work)
            }
            Command::DeleteGroup { destination, group } => self.delete_group(destination, group, work),
            Command::PauseGroup { destination, group, paused } => {
                self.pause_group(destination, group, *paused, work)
            }
            Command::ResetGroup { destination, group, to } => self.reset_group(destination, group, *to, work),
            Command::Tick { destinations } => {
                self.apply_tick(destinations, work);
                Ok(())
            }
            Command::OutboxDone { target, epoch, through, again } => {
                for location in work.outbox.done(target, *epoch, *through, again) {
                    work.held.release(location.index);
                }
                work.letters |= !again.is_empty();
                Ok(())
            }
            Command::OutboxRestart { target, epoch } => {
                work.outbox.restart(target, *epoch);
                work.letters = true;
                Ok(())
            }
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Error(error),
        }
    }

    fn apply_put(
        &mut self,
        put: &Put,
        messages: &[PlacedMessage],
        auto_create: Option<&AutoCreate>,
        work: &mut Work,
    ) -> Result<Outcome, ErrorReply> {
        if !self.destinations.contains_key(&put.destination) {
            self.auto_create(put, auto_create, work)?;
        }
        let message_bytes_max = self.limits.message_bytes_max;
        let destination = self
            .destinations
            .get_mut(&put.destination)
            .ok_or_else(|| unknown_destination(&put.destination))?;
        let reply = destination.put(put, messages, message_bytes_max, work);
        self.volatile.arm_retention(destination, work.now_ms);
        reply.map(Outcome::Put)
    }

    /// Makes the destination of `put`, unless the put would be refused there anyway.
    fn auto_create(
        &mut self,
        put: &Put,
        auto_create: Option<&AutoCreate>,
        work: &mut Work,
    ) -> Result<(), ErrorReply> {
        let auto_create = auto_create.ok_or_else(|| unknown_destination(&put.destination))?;
        if let Some(stamp) = &put.stamp
            && stamp.sequence != 1
        {
            return Err(ErrorReply::new(
                ErrorCode::UnknownProducer,
                format!(
                    "{} does not exist, so producer {} begins there with sequence 1, not {}",
                    put.destination, stamp.producer, stamp.sequence
                ),
            ));
        }
        if let Some(expected) = put.expected_last
            && expected != 0
        {
            return Err(wrong_revision(put, expected, 0));
        }
        let group = auto_create.group_of(&put.destination);
        self.create_destination(&put.destination, &auto_create.destination, &group, work)
    }

    fn apply_settle(
        &mut self,
        settlement: &Settlement<'_>,
        verdict: &Verdict,
        work: &mut Work,
    ) -> Result<Outcome, ErrorReply> {
        let Settlement { destination: name, group, generation, runs } = *settlement;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        let mut settling = destination.settling(group, work).ok_or_else(|| unknown_group(name, group))?;
        if settling.generation() != generation {
            return Ok(Outcome::Settled(vec![SettleOutcome::Stale; SequenceRun::count(runs)]));
        }
        let was_full = settling.is_full();
        let mut outcomes = Vec::with_capacity(SequenceRun::count(runs));
        match verdict {
            Verdict::Ack => {
                outcomes.extend(SequenceRun::each(runs).map(|(sequence, _)| settling.ack(sequence)))
            }
            Verdict::Nack { delay_ms } => {
                outcomes.extend(SequenceRun::each(runs).map(|(sequence, attempts)| {
                    settling.fail(sequence, attempts, |group, count| {
                        group.redelivery_delay_ms(count).max(*delay_ms)
                    })
                }))
            }
            Verdict::Reject { reason } => {
                let reason: Arc<str> = Arc::from(reason.as_str());
                outcomes
                    .extend(SequenceRun::each(runs).map(|(sequence, _)| settling.reject(sequence, &reason)));
            }
            // Refused by the decoder.
            _ => outcomes.resize(SequenceRun::count(runs), SettleOutcome::Unknown),
        }
        settling.done(was_full);
        self.arm_group(name, group);
        Ok(Outcome::Settled(outcomes))
    }

    fn apply_expire(
        &mut self,
        settlement: &Settlement<'_>,
        at_once: bool,
        work: &mut Work,
    ) -> Result<(), ErrorReply> {
        let Settlement { destination: name, group, generation, runs } = *settlement;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        let mut settling = destination.settling(group, work).ok_or_else(|| unknown_group(name, group))?;
        if settling.generation() != generation {
            return Ok(());
        }
        let was_full = settling.is_full();
        for (sequence, attempts) in SequenceRun::each(runs) {
            let _ =
                settling.fail(
                    sequence,
                    attempts,
                    |group, count| {
                        if at_once { 0 } else { group.redelivery_delay_ms(count) }
                    },
                );
        }
        settling.done(was_full);
        self.arm_group(name, group);
        Ok(())
    }

    fn apply_tick(&mut self, destinations: &[DestinationName], work: &mut Work) {
        if work.here {
            self.volatile.sweeping = false;
        }
        for name in destinations {
            let Some(destination) = self.destinations.get_mut(name) else { continue };
            destination.retire(work);
            if work.here {
                destination.ticking = false;
            }
            self.volatile.arm_retention(destination, work.now_ms);
        }
    }
}

/// What a settlement or an expiry is about.
#[derive(Debug, Clone, Copy)]
struct Settlement<'a> {
    destination: &'a DestinationName,
    group: &'a swarmmq_protocol::GroupName,
    generation: u64,
    runs: &'a [SequenceRun],
}
