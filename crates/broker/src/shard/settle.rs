//! Deciding what a settlement takes: which receipts are good, and which command to propose.

use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::request::{Settle, Verdict};
use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::{DestinationName, GroupName, Receipt};

use crate::command::{Command, SequenceRun};
use crate::destination::settle::finish;
use crate::fault::fault;
use crate::group::Group;
use crate::group::dispatch::Dispatch;
use crate::group::lease::Lease;
use crate::log::Log;
use crate::plan::{SettlePlan, Wakeup};
use crate::shard::{Shard, unknown_destination, unknown_group};

impl Shard {
    /// Decides what a settlement takes. Only at the leader.
    ///
    /// An acknowledgement, a negative one or a rejection becomes a command, and the message is not
    /// leased again until that command is applied or [abandoned](Self::abandon). An extension is done at
    /// once. The outcome of a receipt:
    ///
    /// | the message is | ack, reject | nack, extend |
    /// |---|---|---|
    /// | leased under the receipt's token | the command decides | the command decides; an extension is done |
    /// | leased under another token | `Stale` | `Stale` |
    /// | unsettled, and with nobody (the lease ran out, or the leader changed) | the command decides | `Stale`: it is ready already |
    /// | unsettled, the receipt is of before a reset | `Stale` | `Stale` |
    /// | settled, or gone from the log | `AlreadySettled` | `AlreadySettled` |
    /// | not stored yet | `Unknown` | `Unknown` |
    ///
    /// # Errors
    /// `UnknownDestination`, `UnknownGroup`.
    pub fn settle(&mut self, now_ms: u64, settle: &Settle) -> Result<SettlePlan, ErrorReply> {
        let now_ms = self.tell_time(now_ms);
        let Settle { destination: name, group: group_name, verdict, receipts } = settle;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        let group = destination.groups.get_mut(group_name).ok_or_else(|| unknown_group(name, group_name))?;
        let mut runs = Vec::new();
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let decided = decide(&destination.log, group, verdict, receipt, now_ms);
            if decided.is_none() {
                let sequence = receipt.sequence.0;
                SequenceRun::push(&mut runs, sequence, group.attempts_of(sequence));
            }
            outcomes.push(decided);
        }
        let generation = group.generation;
        if matches!(verdict, Verdict::Extend { .. }) {
            self.arm_group(name, group_name);
        }
        let command = (!runs.is_empty()).then(|| Command::Settle {
            destination: name.clone(),
            group: group_name.clone(),
            generation,
            verdict: verdict.clone(),
            runs,
        });
        Ok(SettlePlan { outcomes, command })
    }

    /// A command of [`Self::settle`], [`Self::due`] or [`Self::release_consumer`] of this leadership will
    /// certainly never be committed: what it was about may be leased or settled again.
    pub fn abandon(&mut self, now_ms: u64, command: &Command) -> Vec<Wakeup> {
        let now_ms = self.tell_time(now_ms);
        match command {
            Command::Settle { destination, group, generation, runs, .. } => {
                self.abandon_runs(now_ms, (destination, group), *generation, runs, false)
            }
            Command::Expire { destination, group, generation, runs, .. } => {
                self.abandon_runs(now_ms, (destination, group), *generation, runs, true)
            }
            Command::Tick { destinations } => {
                self.volatile.sweeping = false;
                for name in destinations {
                    if let Some(destination) = self.destinations.get_mut(name) {
                        destination.ticking = false;
                        self.volatile.arm_retention(destination, now_ms);
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn abandon_runs(
        &mut self,
        now_ms: u64,
        (name, group_name): (&DestinationName, &GroupName),
        generation: u64,
        runs: &[SequenceRun],
        is_expiry: bool,
    ) -> Vec<Wakeup> {
        let Some(destination) = self.destinations.get_mut(name) else { return Vec::new() };
        let Some(group) = destination.groups.get_mut(group_name) else { return Vec::new() };
        if group.generation != generation {
            return Vec::new();
        }
        let was_full = group.is_full();
        let mut wake = false;
        for (sequence, _) in SequenceRun::each(runs) {
            // The lease may be of a consumer that was released: let it be found once more.
            if let Some(lease) = group.dispatch.as_ref().and_then(|dispatch| dispatch.leases.get(&sequence))
                && is_expiry
            {
                let here = Wakeup { destination: name.clone(), group: group_name.clone() };
                self.volatile.consumers.entry(lease.consumer).or_default().insert(here);
            }
            wake |= finish(group, sequence, destination.log.get(sequence), is_expiry, now_ms);
        }
        wake |= was_full && !group.is_full();
        let wake = wake && group.is_attended();
        self.arm_group(name, group_name);
        if wake { vec![Wakeup { destination: name.clone(), group: group_name.clone() }] } else { Vec::new() }
    }
}

/// What is known of a receipt at once; `None` where a command decides, which is then under way.
fn decide(
    log: &Log,
    group: &mut Group,
    verdict: &Verdict,
    receipt: &Receipt,
    now_ms: u64,
) -> Option<SettleOutcome> {
    let Receipt { sequence, token } = *receipt;
    let sequence = sequence.0;
    if sequence == 0 || sequence > log.last() {
        return Some(SettleOutcome::Unknown);
    }
    let Some(stored) = log.get(sequence) else { return Some(SettleOutcome::AlreadySettled) };
    if group.is_settled(sequence) {
        return Some(SettleOutcome::AlreadySettled);
    }
    if token < group.void_below.max(group.void_below_here) {
        return Some(SettleOutcome::Stale);
    }
    let floor = group.floor;
    let lease_ms = group.settings.lease_ms;
    let available_ms = group.available_ms(sequence, stored);
    let dispatch = group.dispatch.get_or_insert_with(|| Box::new(Dispatch::new(floor)));
    let keeps = matches!(verdict, Verdict::Ack | Verdict::Reject { .. });
    match dispatch.leases.get_mut(&sequence) {
        Some(lease) if !lease.ended && lease.token != token => Some(SettleOutcome::Stale),
        Some(lease) if !lease.ended => {
            if let Verdict::Extend { lease_ms: wanted } = verdict {
                if lease.expiring {
                    return Some(SettleOutcome::Stale);
                }
                dispatch.deadlines.remove(&(lease.deadline_ms, sequence));
                lease.deadline_ms = now_ms.saturating_add(if *wanted == 0 { lease_ms } else { *wanted });
                dispatch.deadlines.insert((lease.deadline_ms, sequence));
                return Some(SettleOutcome::Done);
            }
            lease.under_way += 1;
            if fault!(SettlingIsLeased) {
                dispatch.drop_lease(sequence);
                dispatch.put_back(sequence, stored.rank, available_ms, now_ms);
            }
            None
        }
        _ if !keeps => Some(SettleOutcome::Stale),
        Some(late) => {
            late.under_way += 1;
            None
        }
        None => {
            dispatch.forget(sequence, stored.rank, available_ms);
            let mut late = Lease::late(token);
            late.under_way = 1;
            dispatch.insert_lease(sequence, late);
            None
        }
    }
}
