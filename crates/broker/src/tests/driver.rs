//! Plays a history on a leader, a follower and the model, and compares them after every step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::test_runner::TestCaseError;
use swarmmq_protocol::request::{Put, Settle, Verdict};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{DestinationName, GroupName, ProducerId, ProducerStamp, Receipt, Sequence};

use super::history::{Op, Stamp, destination, group};
use super::model::{Expected, Lease, Model};
use crate::{
    Applied, AutoCreate, Command, Effect, EntryBuilder, Frozen, LeaseRequest, Leased, Outcome, SequenceRun,
    Shard, ShardLimits, Wakeup,
};

const NODE_MAX: u64 = 64;

type Checked = Result<(), TestCaseError>;

macro_rules! same {
    ($left:expr, $right:expr, $what:expr) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(TestCaseError::fail(format!("{}: shard {left:?}, model {right:?}", $what)));
        }
    }};
}

macro_rules! holds {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(TestCaseError::fail(format!($($what)+)));
        }
    };
}

/// A command that was proposed, with the model's count of the group's generation when it was planned.
#[derive(Debug, Clone)]
struct Pending {
    command: Command,
    generation: u64,
}

pub(super) struct Driver {
    leader: Shard,
    follower: Shard,
    model: Model,
    now_ms: u64,
    /// When the leader last looked at what is due.
    looked_ms: u64,
    term: u64,
    index: u64,
    entries: BTreeMap<u64, Bytes>,
    held: BTreeSet<u64>,
    pending: Vec<Pending>,
    receipts: Vec<(DestinationName, GroupName, Receipt)>,
    token: u64,
    /// Groups that were told there is no more, and have not been woken since.
    hungry: BTreeSet<Wakeup>,
    /// Where each producer stands, as it believes itself.
    producers: BTreeMap<(usize, u128, u32), u64>,
    /// The floor of each group since it was made or reset: its generation, and the floor.
    floors: BTreeMap<(DestinationName, GroupName), (u64, u64)>,
    /// A state that was frozen at the last restart and not written, and what it was then.
    frozen: Option<(Frozen, Vec<Bytes>)>,
}

impl Driver {
    pub(super) fn new() -> Self {
        let limits = ShardLimits { message_bytes_max: NODE_MAX, ..ShardLimits::default() };
        let mut leader = Shard::new(3, limits.clone());
        leader.reset_volatile(1);
        Self {
            leader,
            follower: Shard::new(3, limits),
            model: Model::default(),
            now_ms: 1_000,
            looked_ms: 0,
            term: 1,
            index: 0,
            entries: BTreeMap::new(),
            held: BTreeSet::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            token: 0,
            hungry: BTreeSet::new(),
            producers: BTreeMap::new(),
            floors: BTreeMap::new(),
            frozen: None,
        }
    }

    pub(super) fn step(&mut self, op: &Op) -> Checked {
        match op.clone() {
            Op::Create { at, settings, group } => {
                self.propose(Command::CreateDestination { destination: destination(at), settings, group });
            }
            Op::Update { at, settings } => {
                self.propose(Command::UpdateDestination { destination: destination(at), settings });
            }
            Op::Delete { at } => self.propose(Command::DeleteDestination { destination: destination(at) }),
            Op::Purge { at } => self.propose(Command::PurgeDestination { destination: destination(at) }),
            Op::CreateGroup { at, group: nth, settings } => {
                self.propose(Command::CreateGroup {
                    destination: destination(at),
                    group: group(nth),
                    settings,
                });
            }
            Op::UpdateGroup { at, group: nth, settings } => {
                self.propose(Command::UpdateGroup {
                    destination: destination(at),
                    group: group(nth),
                    settings,
                });
            }
            Op::DeleteGroup { at, group: nth } => {
                self.propose(Command::DeleteGroup { destination: destination(at), group: group(nth) });
            }
            Op::Pause { at, group: nth, paused } => {
                self.propose(Command::PauseGroup { destination: destination(at), group: group(nth), paused });
            }
            Op::Reset { at, group: nth, to } => {
                self.propose(Command::ResetGroup { destination: destination(at), group: group(nth), to });
            }
            Op::Put { at, messages, stamp, expected, auto } => self.put(at, &messages, stamp, expected, auto),
            Op::Lease { at, group: nth, consumer, messages_max, bytes_max, lease_ms } => {
                let (destination, group) = (destination(at), group(nth));
                self.lease(&LeaseRequest {
                    destination,
                    group,
                    consumer,
                    messages_max,
                    bytes_max,
                    lease_ms,
                })?;
            }
            Op::Settle { picks, verdict } => self.settle(&picks, verdict)?,
            Op::Commit { skew_ms } => self.commit(skew_ms)?,
            Op::Abandon { pick } => {
                if !self.pending.is_empty() {
                    let pending = self.pending.remove(usize::from(pick) % self.pending.len());
                    for wakeup in self.leader.abandon(self.now_ms, &pending.command) {
                        self.hungry.remove(&wakeup);
                    }
                }
            }
            Op::Wait { ms } => self.now_ms += ms,
            Op::Due => self.due()?,
            Op::Release { consumer } => self.release(consumer)?,
            Op::Forward { leave, again } => self.forward(leave, again),
            Op::RestartOutbox => {
                if let Some((target, epoch, _)) = self.model.targets.first().cloned() {
                    self.propose(Command::OutboxRestart { target, epoch });
                }
            }
            Op::Lead { commit } => self.lead(commit)?,
            Op::Restore { commit } => self.restore(commit)?,
        }
        self.compare()
    }

    /// The replicas end with the same bytes, whatever their leases were.
    pub(super) fn finish(mut self) -> Checked {
        self.commit(0)?;
        self.compare()?;
        self.compare_frozen()?;
        holds!(self.leader.snapshot() == self.follower.snapshot(), "leader and follower differ");
        let restored = Shard::restore(&self.leader.snapshot())
            .map_err(|error| TestCaseError::fail(format!("the snapshot cannot be read: {error}")))?;
        holds!(restored.snapshot() == self.leader.snapshot(), "a restored shard differs");
        Ok(())
    }

    fn propose(&mut self, command: Command) {
        let generation = match &command {
            Command::Settle { destination, group, .. } | Command::Expire { destination, group, .. } => {
                self.model.group_mut(destination, group).map_or(0, |group| group.generation)
            }
            _ => 0,
        };
        self.pending.push(Pending { command, generation });
    }

    fn put(
        &mut self,
        at: usize,
        messages: &[swarmmq_protocol::Message],
        stamp: Option<Stamp>,
        expected: Option<bool>,
        auto: Option<GroupSettings>,
    ) {
        let count = messages.len() as u64;
        let stamp = stamp.map(|Stamp { producer, epoch, back }| {
            let next = self.producers.entry((at, producer, epoch)).or_insert(1);
            let sequence = next.saturating_add_signed(back).max(1);
            *next = (*next).max(sequence + count);
            ProducerStamp { producer: ProducerId(producer), epoch, sequence }
        });
        let last = self.model.destination(&destination(at)).map_or(0, |found| found.last);
        let put = Put {
            destination: destination(at),
            stamp,
            expected_last: expected.map(|right| if right { last } else { last + 7 }),
            messages: messages.iter().map(|message| message.encode().unwrap()).collect(),
        };
        let settings = if at == 1 { DestinationSettings::stream() } else { DestinationSettings::queue() };
        let auto_create = auto.map(|group| AutoCreate { destination: settings, group });
        self.propose(Command::Put { put, auto_create });
    }

    /// Sequences of the group that commands are under way about.
    fn under_way(&self, destination: &DestinationName, group: &GroupName, only_expiry: bool) -> Vec<u64> {
        let generation =
            self.model.destination(destination).and_then(|d| d.group(group)).map(|g| g.generation);
        let about = |pending: &Pending| -> Vec<u64> {
            let (at, of, runs, is_expiry) = match &pending.command {
                Command::Settle { destination, group, runs, .. } => (destination, group, runs, false),
                Command::Expire { destination, group, runs, .. } => (destination, group, runs, true),
                _ => return Vec::new(),
            };
            let same = at == destination && of == group && Some(pending.generation) == generation;
            if !same || (only_expiry && !is_expiry) {
                return Vec::new();
            }
            SequenceRun::each(runs).map(|(sequence, _)| sequence).collect()
        };
        self.pending.iter().flat_map(about).collect()
    }

    /// How many messages of the group are leased or settling.
    fn leased(&self, destination: &DestinationName, group: &GroupName) -> usize {
        let Some(found) = self.model.destination(destination) else { return 0 };
        let Some(of) = found.group(group) else { return 0 };
        let under_way = self.under_way(destination, group, false);
        let live = |sequence: &u64| found.message(*sequence).is_some() && !of.is_settled(*sequence);
        let leases = of.leases.iter().map(|lease| lease.sequence);
        leases.chain(under_way.into_iter().filter(live)).collect::<BTreeSet<_>>().len()
    }

    fn lease(&mut self, request: &LeaseRequest) -> Checked {
        let LeaseRequest { destination: name, group: group_name, .. } = request;
        let answer = self.leader.lease(self.now_ms, request);
        let under_way = self.under_way(name, group_name, false);
        let leased = self.leased(name, group_name);
        let Some(found) = self.model.destination(name) else {
            holds!(answer.is_err(), "leased from a destination that is not there");
            return Ok(());
        };
        let Some(of) = found.group(group_name) else {
            holds!(answer.is_err(), "leased by a group that is not there");
            return Ok(());
        };
        let Ok(answer) = answer else { return Err(TestCaseError::fail("nothing may be leased")) };
        let mut expected = Vec::new();
        let (mut bytes, mut complete) = (0, true);
        let lease_ms = if request.lease_ms == 0 { of.settings.lease_ms } else { request.lease_ms };
        let leasable =
            if of.paused { Vec::new() } else { found.leasable(of, &under_way, self.now_ms, self.now_ms) };
        for message in leasable {
            if leased + expected.len() >= of.settings.leased_max as usize {
                break;
            }
            bytes += message.bytes.len();
            if expected.len() == request.messages_max || (!expected.is_empty() && bytes > request.bytes_max) {
                complete = false;
                break;
            }
            expected.push((
                message.sequence,
                of.attempts(message.sequence) + 1,
                message.stored_ms,
                message.bytes.clone(),
            ));
        }
        let got = answer.leased.iter().map(|leased| {
            (leased.receipt.sequence.0, leased.attempt, leased.stored_ms, self.bytes_at(leased))
        });
        same!(got.collect::<Vec<_>>(), expected, format!("leased from {name} by {group_name}"));
        holds!(answer.more || complete, "said there is no more of {name}, and there is");
        let deadline_ms = self.now_ms + lease_ms;
        for leased in &answer.leased {
            holds!(leased.receipt.token > self.token, "the token {:x} is not new", leased.receipt.token);
            self.token = leased.receipt.token;
            self.receipts.push((name.clone(), group_name.clone(), leased.receipt));
            let of = self.model.group_mut(name, group_name).unwrap();
            let Receipt { sequence: Sequence(sequence), token } = leased.receipt;
            of.leases.push(Lease { sequence, token, consumer: request.consumer, deadline_ms });
        }
        if !answer.more {
            self.hungry.insert(Wakeup { destination: name.clone(), group: group_name.clone() });
        }
        Ok(())
    }

    fn bytes_at(&self, leased: &Leased) -> Bytes {
        let location = leased.location;
        let from = location.offset as usize;
        self.entries[&location.index].slice(from..from + location.length as usize)
    }

    fn settle(&mut self, picks: &[(u16, u8)], verdict: Verdict) -> Checked {
        if self.receipts.is_empty() {
            return Ok(());
        }
        let picked: Vec<_> = picks
            .iter()
            .map(|(pick, tamper)| {
                let nth = self.receipts.len() - 1 - usize::from(*pick) % self.receipts.len();
                (self.receipts[nth].clone(), *tamper)
            })
            .collect();
        let (name, group_name, _) = picked[0].0.clone();
        let receipts: Vec<Receipt> = picked
            .into_iter()
            .filter(|((destination, group, _), _)| *destination == name && *group == group_name)
            .map(|((.., receipt), tamper)| match tamper {
                0..6 => Receipt { sequence: Sequence(receipt.sequence.0 + 2), ..receipt },
                6..10 => Receipt { sequence: Sequence(0), ..receipt },
                10..14 => Receipt { token: receipt.token + 1, ..receipt },
                _ => receipt,
            })
            .collect();
        let settle = Settle { destination: name.clone(), group: group_name.clone(), verdict, receipts };
        let answer = self.leader.settle(self.now_ms, &settle);
        if self.model.group_mut(&name, &group_name).is_none() {
            holds!(answer.is_err(), "settled in a group that is not there");
            return Ok(());
        }
        let Ok(plan) = answer else { return Err(TestCaseError::fail("settled nothing")) };
        let expiring = self.under_way(&name, &group_name, true);
        let mut expected = Vec::new();
        let mut undecided = Vec::new();
        for receipt in &settle.receipts {
            let sequence = receipt.sequence.0;
            let decided =
                self.model.decide(&name, &group_name, &settle.verdict, receipt, expiring.contains(&sequence));
            if decided.is_none() {
                undecided.push(sequence);
            } else if let (
                Verdict::Extend { lease_ms },
                Some(swarmmq_protocol::response::SettleOutcome::Done),
            ) = (&settle.verdict, decided)
            {
                let of = self.model.group_mut(&name, &group_name).unwrap();
                let lease_ms = if *lease_ms == 0 { of.settings.lease_ms } else { *lease_ms };
                let lease = of.leases.iter_mut().find(|lease| lease.sequence == sequence).unwrap();
                lease.deadline_ms = self.now_ms + lease_ms;
            }
            expected.push(decided);
        }
        same!(plan.outcomes, expected, format!("plan of {settle:?}"));
        let planned = match &plan.command {
            Some(Command::Settle { runs, .. }) => {
                SequenceRun::each(runs).map(|(sequence, _)| sequence).collect()
            }
            _ => Vec::new(),
        };
        same!(planned, undecided, "what the command is about");
        if let Some(command) = plan.command {
            self.propose(command);
        }
        Ok(())
    }

    /// Applies all that is proposed in one entry, stamped by a clock that may be behind.
    fn commit(&mut self, skew_ms: u64) -> Checked {
        let pending = std::mem::take(&mut self.pending);
        let stamped_ms = self.now_ms - skew_ms.min(self.now_ms);
        let bound = self.leader.token_bound();
        let mut entry = EntryBuilder::new(stamped_ms, bound);
        for pending in &pending {
            entry.push(&pending.command);
        }
        let entry = entry.finish();
        self.index += 1;
        self.entries.insert(self.index, entry.clone());
        let applied = self.leader.apply(self.index, entry.clone());
        let followed = self.follower.apply(self.index, entry);
        let (Ok(applied), Ok(followed)) = (applied, followed) else {
            return Err(TestCaseError::fail("the entry cannot be applied"));
        };
        same!(followed.outcomes, applied.outcomes, "outcomes at the follower");
        self.model.now_ms = self.model.now_ms.max(stamped_ms);
        for (pending, outcome) in pending.iter().zip(&applied.outcomes) {
            let Pending { command, generation } = pending;
            let expected = self.model.apply(command, *generation, self.index, (bound, bound), NODE_MAX);
            let got = match outcome {
                Outcome::Put(reply) => Expected::Put(reply.outcomes().collect()),
                Outcome::Settled(outcomes) => Expected::Settled(outcomes.clone()),
                Outcome::Done => Expected::Done,
                Outcome::Error(error) => Expected::Error(error.code),
            };
            same!(got, expected, format!("outcome of {command:?}"));
        }
        same!(applied.outcomes.len(), pending.len(), "number of outcomes");
        self.perform(&applied)
    }

    fn perform(&mut self, applied: &Applied) -> Checked {
        let mut named = BTreeSet::new();
        for effect in &applied.effects {
            match effect {
                Effect::Hold { index } => {
                    holds!(named.insert(*index), "{index} is named twice");
                    holds!(self.held.insert(*index), "{index} was held already");
                }
                Effect::Release { index } => {
                    holds!(named.insert(*index), "{index} is named twice");
                    holds!(self.held.remove(index), "{index} was not held");
                }
                Effect::Ready { destination, group } => {
                    self.hungry.remove(&Wakeup { destination: destination.clone(), group: group.clone() });
                }
                Effect::GroupGone { destination, group, .. } => {
                    self.hungry.remove(&Wakeup { destination: destination.clone(), group: group.clone() });
                }
                Effect::Outbox => {}
            }
        }
        Ok(())
    }

    fn due(&mut self) -> Checked {
        let mut expected = BTreeSet::new();
        for found in &self.model.destinations {
            for of in &found.groups {
                let expiring = self.under_way(&found.name, &of.name, true);
                for lease in &of.leases {
                    if lease.deadline_ms <= self.now_ms && !expiring.contains(&lease.sequence) {
                        expected.insert((found.name.clone(), of.name.clone(), lease.sequence));
                    }
                }
            }
        }
        let due = self.leader.due(self.now_ms);
        self.looked_ms = self.now_ms;
        for wakeup in due.ready {
            self.hungry.remove(&wakeup);
        }
        let mut got = BTreeSet::new();
        for command in due.commands {
            if let Command::Expire { destination, group, runs, at_once, .. } = &command {
                holds!(!at_once, "a lease that ran out is not at once ready again");
                for (sequence, _) in SequenceRun::each(runs) {
                    holds!(
                        got.insert((destination.clone(), group.clone(), sequence)),
                        "{sequence} expires twice"
                    );
                }
            }
            self.propose(command);
        }
        same!(got, expected, "leases that ran out");
        Ok(())
    }

    fn release(&mut self, consumer: u64) -> Checked {
        let mut expected = BTreeSet::new();
        for found in &self.model.destinations {
            for of in &found.groups {
                let expiring = self.under_way(&found.name, &of.name, true);
                for lease in of.leases.iter().filter(|lease| lease.consumer == consumer) {
                    if !expiring.contains(&lease.sequence) {
                        expected.insert((found.name.clone(), of.name.clone(), lease.sequence));
                    }
                }
            }
        }
        let mut got = BTreeSet::new();
        for command in self.leader.release_consumer(consumer) {
            if let Command::Expire { destination, group, runs, at_once: true, .. } = &command {
                got.extend(
                    SequenceRun::each(runs)
                        .map(|(sequence, _)| (destination.clone(), group.clone(), sequence)),
                );
            }
            self.propose(command);
        }
        same!(got, expected, format!("leases of consumer {consumer}"));
        Ok(())
    }

    /// Puts dead letters where they belong, and says so; a letter may be sent again before that is said.
    fn forward(&mut self, leave: u64, again: bool) {
        for batch in self.leader.outbox(3) {
            let (Some(first), Some(last)) = (batch.letters.first(), batch.letters.last()) else { continue };
            let stamp = ProducerStamp {
                producer: batch.producer,
                epoch: batch.epoch,
                sequence: first.outbox_sequence,
            };
            let bytes = |location: crate::Location| {
                let from = location.offset as usize;
                self.entries[&location.index].slice(from..from + location.length as usize)
            };
            let letters = batch.letters.iter();
            let messages = letters
                .map(|letter| swarmmq_protocol::EncodedMessage::new(bytes(letter.location)).unwrap())
                .collect();
            let put =
                Put { destination: batch.target.clone(), stamp: Some(stamp), expected_last: None, messages };
            let through = last.outbox_sequence - leave.min(batch.letters.len() as u64);
            let again = if again { vec![first.outbox_sequence] } else { Vec::new() };
            let mut auto_create = AutoCreate::from(DestinationSettings::queue());
            auto_create.group.deliveries_max = 2;
            auto_create.group.dead_letter = Some(batch.target.clone());
            self.propose(Command::Put { put, auto_create: Some(auto_create) });
            self.propose(Command::OutboxDone { target: batch.target, epoch: batch.epoch, through, again });
        }
    }

    /// The follower leads. What was proposed is committed by the old leader, or lost.
    fn lead(&mut self, commit: bool) -> Checked {
        if commit {
            self.commit(0)?;
        }
        std::mem::swap(&mut self.leader, &mut self.follower);
        self.new_term();
        Ok(())
    }

    /// The leader starts anew from its snapshot, and leads again.
    fn restore(&mut self, commit: bool) -> Checked {
        if commit {
            self.commit(0)?;
        }
        self.compare_frozen()?;
        let snapshot = self.leader.snapshot();
        let restored = Shard::restore(&snapshot)
            .map_err(|error| TestCaseError::fail(format!("the snapshot cannot be read: {error}")))?;
        holds!(restored.snapshot() == snapshot, "a restored shard gives another snapshot");
        self.leader = restored;
        self.frozen = Some((self.leader.freeze(), snapshot));
        self.new_term();
        Ok(())
    }

    /// What was frozen is written as it was, whatever has happened since.
    fn compare_frozen(&mut self) -> Checked {
        if let Some((frozen, then)) = self.frozen.take() {
            holds!(frozen.write() == then, "a frozen state has changed before it was written");
        }
        Ok(())
    }

    fn new_term(&mut self) {
        self.term += 1;
        self.leader.reset_volatile(self.term);
        self.pending.clear();
        self.hungry.clear();
        for of in self.model.destinations.iter_mut().flat_map(|found| &mut found.groups) {
            of.leases.clear();
        }
    }

    fn compare(&mut self) -> Checked {
        same!(self.leader.now_ms(), self.model.now_ms, "time");
        let held: Vec<u64> = self.leader.held().collect();
        same!(held, self.model.held(), "held entries");
        same!(held, self.held.iter().copied().collect::<Vec<_>>(), "held entries by the effects");
        let listed = self.leader.list(self.now_ms, "", None, 100);
        same!(listed.len(), self.model.destinations.len(), "destinations");
        for info in listed {
            self.compare_destination(&info)?;
        }
        self.compare_outbox()?;
        self.compare_timers()?;
        // Where the shard asks to be called at once, the wake-up may come of that.
        let asks = self.leader.next_due().is_some_and(|at| at <= self.looked_ms);
        for wakeup in self.hungry.iter().filter(|_| !asks) {
            let Wakeup { destination: name, group: group_name } = wakeup;
            let Some(found) = self.model.destination(name) else { continue };
            let Some(of) = found.group(group_name) else { continue };
            let full = self.leased(name, group_name) >= of.settings.leased_max as usize;
            let under_way = self.under_way(name, group_name, false);
            let leasable = found.leasable(of, &under_way, self.now_ms, self.looked_ms);
            holds!(
                of.paused || full || leasable.is_empty(),
                "nobody woke {group_name} of {name} for {:?}",
                leasable
            );
        }
        Ok(())
    }

    fn compare_destination(&mut self, info: &swarmmq_protocol::info::DestinationInfo) -> Checked {
        let name = &info.name;
        let found = self.model.destination(name).unwrap();
        let first = found.messages.first().map_or(found.last + 1, |message| message.sequence);
        let got = (info.first, info.last, info.messages, info.bytes);
        same!(got, (first, found.last, found.messages.len() as u64, found.bytes()), format!("log of {name}"));
        let got = (info.dropped, info.expired, info.duplicates);
        same!(got, (found.dropped, found.expired, found.duplicates), format!("counters of {name}"));
        let settled_away = match found.settings.kind {
            swarmmq_protocol::settings::DestinationKind::Queue => {
                info.groups.iter().map(|group| group.acknowledged + group.dead).sum()
            }
            _ => 0,
        };
        holds!(
            found.stored == info.messages + info.dropped + info.expired + settled_away,
            "of {} stored in {name}, some are neither there nor counted: {info:?}",
            found.stored
        );
        same!(info.groups.len(), found.groups.len(), format!("groups of {name}"));
        for group in &info.groups {
            let of = found.group(&group.name).unwrap();
            let unsettled: Vec<_> = found.messages.iter().filter(|m| !of.is_settled(m.sequence)).collect();
            let delayed = unsettled.iter().filter(|m| of.available_ms(m) > self.now_ms).count() as u64;
            let leased = self.leased(name, &group.name) as u64;
            let got = (group.ready, group.leased, group.delayed);
            let ready = (unsettled.len() as u64).saturating_sub(leased + delayed);
            same!(got, (ready, leased, delayed), format!("gauges of {} of {name}", group.name));
            let floor = unsettled.first().map_or(found.last + 1, |message| message.sequence);
            let got = (group.floor, group.acknowledged, group.dead, group.redelivered);
            same!(
                got,
                (floor, of.acknowledged, of.dead, of.redelivered),
                format!("counters of {} of {name}", group.name)
            );
            let before = self
                .floors
                .insert((name.clone(), group.name.clone()), (of.generation, group.floor))
                .filter(|(generation, _)| *generation == of.generation);
            holds!(before.is_none_or(|(_, before)| before <= group.floor), "a floor went back");
        }
        Ok(())
    }

    fn compare_outbox(&self) -> Checked {
        let got: Vec<_> = self
            .leader
            .outbox(1000)
            .into_iter()
            .flat_map(|batch| {
                let (target, epoch) = (batch.target.clone(), batch.epoch);
                batch.letters.into_iter().map(move |letter| {
                    let place = (letter.destination, letter.group, letter.sequence, letter.location.index);
                    (target.clone(), epoch, letter.outbox_sequence, place, letter.attempts)
                })
            })
            .collect();
        let mut expected: Vec<_> = self
            .model
            .letters
            .iter()
            .map(|letter| {
                let target = self.model.targets.iter().find(|(target, ..)| *target == letter.target).unwrap();
                let place = (letter.destination.clone(), letter.group.clone(), letter.sequence, letter.index);
                (letter.target.clone(), target.1, letter.number, place, letter.attempts)
            })
            .collect();
        expected.sort();
        same!(got, expected, "outbox");
        Ok(())
    }

    /// Nothing is due before the shard asks to be called.
    fn compare_timers(&self) -> Checked {
        let next = self.leader.next_due();
        for found in &self.model.destinations {
            for of in &found.groups {
                let expiring = self.under_way(&found.name, &of.name, true);
                let running = of.leases.iter().filter(|lease| !expiring.contains(&lease.sequence));
                for lease in running {
                    holds!(
                        next.is_some_and(|at| at <= lease.deadline_ms),
                        "a lease runs out at {}, the shard asks for {next:?}",
                        lease.deadline_ms
                    );
                }
            }
            let ticking = |pending: &Pending| matches!(&pending.command, Command::Tick { destinations } if destinations.contains(&found.name));
            if let Some(at_ms) = found.retire_at()
                && !self.pending.iter().any(ticking)
            {
                holds!(
                    next.is_some_and(|next| next <= at_ms.div_ceil(1000) * 1000),
                    "something of {} is to go at {at_ms}, the shard asks for {next:?}",
                    found.name
                );
            }
        }
        Ok(())
    }
}
