//! What a shard is to do, written as plainly as possible: lists that are searched from end to end.
//!
//! It shares no code with what it checks but the vocabulary. Where the shard keeps an index, the model
//! looks at every message; where the shard counts commands under way, the model looks through the list
//! of those that are.

use bytes::Bytes;
use swarmmq_protocol::error::ErrorCode;
use swarmmq_protocol::id::Sequence;
use swarmmq_protocol::request::{Put, Verdict};
use swarmmq_protocol::response::{PutOutcome, SettleOutcome};
use swarmmq_protocol::settings::{DestinationKind, DestinationSettings, GroupSettings, Overflow, Position};
use swarmmq_protocol::{DestinationName, GroupName, Receipt};

use crate::command::{Command, SequenceRun};

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) index: u64,
    pub(super) bytes: Bytes,
    pub(super) stored_ms: u64,
    priority: u8,
    expires_ms: Option<u64>,
    available_ms: u64,
    key: Option<Bytes>,
}

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) sequence: u64,
    pub(super) token: u64,
    pub(super) consumer: u64,
    pub(super) deadline_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) settings: GroupSettings,
    pub(super) generation: u64,
    pub(super) void_below: u64,
    pub(super) void_below_here: u64,
    pub(super) paused: bool,
    pub(super) start: u64,
    pub(super) settled: Vec<u64>,
    /// Sequence, how often it failed, when it may come again.
    pub(super) failed: Vec<(u64, u32, u64)>,
    pub(super) leases: Vec<Lease>,
    pub(super) acknowledged: u64,
    pub(super) dead: u64,
    pub(super) redelivered: u64,
}

#[derive(Debug, Clone)]
struct Session {
    id: u128,
    epoch: u32,
    results: Vec<PutOutcome>,
    last_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) name: DestinationName,
    pub(super) settings: DestinationSettings,
    pub(super) last: u64,
    pub(super) messages: Vec<Message>,
    pub(super) groups: Vec<Group>,
    sessions: Vec<Session>,
    ids: Vec<(u128, u64, u64)>,
    pub(super) stored: u64,
    pub(super) duplicates: u64,
    pub(super) dropped: u64,
    pub(super) expired: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) target: DestinationName,
    pub(super) destination: DestinationName,
    pub(super) group: GroupName,
    pub(super) sequence: u64,
    pub(super) index: u64,
    pub(super) attempts: u32,
    /// Its sequence in the outbox.
    pub(super) number: u64,
}

/// What a command is expected to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    Put(Vec<PutOutcome>),
    Settled(Vec<SettleOutcome>),
    Done,
    Error(ErrorCode),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) now_ms: u64,
    generations: u64,
    pub(super) destinations: Vec<Destination>,
    pub(super) letters: Vec<Letter>,
    /// Target, epoch, next number.
    pub(super) targets: Vec<(DestinationName, u32, u64)>,
    epochs: u32,
}

type Outcome<T> = Result<T, ErrorCode>;

impl Group {
    fn new(name: GroupName, settings: GroupSettings, generation: u64, void: (u64, u64), start: u64) -> Self {
        Self {
            name,
            settings,
            generation,
            void_below: void.0,
            void_below_here: void.1,
            paused: false,
            start,
            settled: Vec::new(),
            failed: Vec::new(),
            leases: Vec::new(),
            acknowledged: 0,
            dead: 0,
            redelivered: 0,
        }
    }

    pub(super) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.start || self.settled.contains(&sequence)
    }

    pub(super) fn attempts(&self, sequence: u64) -> u32 {
        self.failed.iter().find(|(failed, ..)| *failed == sequence).map_or(0, |(_, count, _)| *count)
    }

    pub(super) fn available_ms(&self, message: &Message) -> u64 {
        let again = self.failed.iter().find(|(failed, ..)| *failed == message.sequence);
        again.map_or(0, |(.., at)| *at).max(message.available_ms)
    }

    fn forget(&mut self, sequence: u64) {
        self.failed.retain(|(failed, ..)| *failed != sequence);
        self.leases.retain(|lease| lease.sequence != sequence);
    }
}

impl Destination {
    pub(super) fn message(&self, sequence: u64) -> Option<&Message> {
        self.messages.iter().find(|message| message.sequence == sequence)
    }

    pub(super) fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == *name)
    }

    pub(super) fn group_mut(&mut self, name: &GroupName) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.name == *name)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.messages.iter().map(|message| message.bytes.len() as u64).sum()
    }

    fn is_queue(&self) -> bool {
        self.settings.kind == DestinationKind::Queue
    }

    fn position(&self, position: Position) -> u64 {
        let end = self.last + 1;
        match position {
            Position::Earliest => self.messages.first().map_or(end, |message| message.sequence),
            Position::Sequence(sequence) => sequence.max(1).min(end),
            Position::Time(at) => {
                self.messages.iter().find(|message| message.stored_ms >= at).map_or(end, |m| m.sequence)
            }
            _ => end,
        }
    }

    fn remove(&mut self, sequence: u64) {
        self.messages.retain(|message| message.sequence != sequence);
        for group in &mut self.groups {
            group.forget(sequence);
        }
    }

    /// Lets go what time and limits say.
    fn retire(&mut self, now_ms: u64) {
        let settings = self.settings.clone();
        let over = |expires_ms: Option<u64>| expires_ms.is_some_and(|at| at <= now_ms);
        for message in self.messages.clone().iter().filter(|message| over(message.expires_ms)) {
            self.remove(message.sequence);
            self.expired += 1;
        }
        let too_old = |stored_ms: u64| settings.age_max_ms > 0 && stored_ms + settings.age_max_ms <= now_ms;
        for message in self.messages.clone().iter().filter(|message| too_old(message.stored_ms)) {
            self.remove(message.sequence);
            self.dropped += 1;
        }
        self.trim();
        while let Some((.., at)) = self.ids.first()
            && (at + settings.dedup_window_ms <= now_ms
                || settings.dedup_window_ms == 0
                || self.ids.len() as u64 > settings.dedup_ids_max)
        {
            self.ids.remove(0);
        }
        while let Some(nth) = self.idlest()
            && (self.sessions[nth].last_ms + settings.producer_ttl_ms <= now_ms
                || self.sessions.len() as u64 > settings.producers_max)
        {
            self.sessions.remove(nth);
        }
    }

    /// When the first message is to go by itself.
    pub(super) fn retire_at(&self) -> Option<u64> {
        let age_max_ms = self.settings.age_max_ms;
        let aged = |message: &Message| (age_max_ms > 0).then_some(message.stored_ms + age_max_ms);
        self.messages.iter().flat_map(|message| [message.expires_ms, aged(message)]).flatten().min()
    }

    fn idlest(&self) -> Option<usize> {
        (0..self.sessions.len()).min_by_key(|nth| (self.sessions[*nth].last_ms, self.sessions[*nth].id))
    }

    /// Drops the oldest that are too many, and what a queue's group was reset past.
    fn trim(&mut self) {
        loop {
            let settings = &self.settings;
            let many = settings.messages_max > 0 && self.messages.len() as u64 > settings.messages_max;
            let large = settings.bytes_max > 0 && self.bytes() > settings.bytes_max;
            let passed = self.is_queue()
                && self.messages.first().is_some_and(|first| first.sequence < self.groups[0].start);
            if !(passed || (settings.overflow == Overflow::DropOldest && (many || large))) {
                return;
            }
            let oldest = self.messages[0].sequence;
            self.remove(oldest);
            self.dropped += 1;
        }
    }

    /// What may be leased at `now_ms` by a group, in order, given what is under way.
    pub(super) fn leasable(
        &self,
        group: &Group,
        under_way: &[u64],
        now_ms: u64,
        due_ms: u64,
    ) -> Vec<&Message> {
        let unsettled = |message: &Message| !group.is_settled(message.sequence);
        let mut found: Vec<&Message> = self
            .messages
            .iter()
            .filter(|message| unsettled(message))
            .filter(|message| !group.leases.iter().any(|lease| lease.sequence == message.sequence))
            .filter(|message| !under_way.contains(&message.sequence))
            .filter(|message| message.expires_ms.is_none_or(|at| at > now_ms))
            .filter(|message| group.available_ms(message) <= due_ms)
            .filter(|message| {
                let before = |other: &&Message| other.sequence < message.sequence && other.key == message.key;
                let previous = self.messages.iter().rfind(|other| before(other));
                let blocked = message.key.is_some() && previous.is_some_and(unsettled);
                !(group.settings.key_ordered && blocked)
            })
            .collect();
        found.sort_by_key(|message| (10 - message.priority, message.sequence));
        found
    }

    fn put(&mut self, put: &Put, index: u64, now_ms: u64, node_max: u64) -> Outcome<Vec<PutOutcome>> {
        let mut repeated = Vec::new();
        if let Some(stamp) = put.stamp {
            let ttl_ms = self.settings.producer_ttl_ms;
            let session = self
                .sessions
                .iter()
                .find(|session| session.id == stamp.producer.0 && session.last_ms + ttl_ms > now_ms);
            match session {
                None if stamp.sequence != 1 => return Err(ErrorCode::UnknownProducer),
                None => {}
                Some(session) if stamp.epoch < session.epoch => return Err(ErrorCode::Fenced),
                Some(session) if stamp.epoch > session.epoch && stamp.sequence != 1 => {
                    return Err(ErrorCode::SequenceGap);
                }
                Some(session) if stamp.epoch > session.epoch => {}
                Some(session) if stamp.sequence > session.results.len() as u64 + 1 => {
                    return Err(ErrorCode::SequenceGap);
                }
                Some(session) => {
                    let from = usize::try_from(stamp.sequence).unwrap() - 1;
                    let results = session.results.iter().skip(from).take(put.messages.len());
                    repeated = results
                        .map(|result| match result {
                            PutOutcome::Stored(sequence) => PutOutcome::Duplicate(*sequence),
                            other => *other,
                        })
                        .collect();
                }
            }
        }
        let new = put.messages.len() > repeated.len();
        if new && put.expected_last.is_some_and(|expected| expected != self.last) {
            return Err(ErrorCode::WrongRevision);
        }
        self.retire(now_ms);
        let mut outcomes = repeated.clone();
        self.duplicates += repeated.iter().filter(|o| matches!(o, PutOutcome::Duplicate(_))).count() as u64;
        for message in put.messages.iter().skip(repeated.len()) {
            outcomes.push(self.put_one(message, index, now_ms, node_max));
        }
        if let Some(stamp) = put.stamp {
            self.note(&stamp, &outcomes[repeated.len()..], now_ms);
        }
        self.trim();
        Ok(outcomes)
    }

    fn note(&mut self, stamp: &swarmmq_protocol::ProducerStamp, outcomes: &[PutOutcome], now_ms: u64) {
        let id = stamp.producer.0;
        if !self.sessions.iter().any(|session| session.id == id) {
            while self.sessions.len() as u64 >= self.settings.producers_max {
                self.sessions.remove(self.idlest().unwrap());
            }
            self.sessions.push(Session { id, epoch: stamp.epoch, results: Vec::new(), last_ms: now_ms });
        }
        let ttl_ms = self.settings.producer_ttl_ms;
        let session = self.sessions.iter_mut().find(|session| session.id == id).unwrap();
        if session.epoch != stamp.epoch || session.last_ms + ttl_ms <= now_ms {
            session.results.clear();
            session.epoch = stamp.epoch;
        }
        session.results.extend(outcomes);
        session.last_ms = now_ms;
    }

    fn put_one(
        &mut self,
        message: &swarmmq_protocol::EncodedMessage,
        index: u64,
        now_ms: u64,
        node_max: u64,
    ) -> PutOutcome {
        let settings = self.settings.clone();
        let parts = message.decode().unwrap();
        let length = message.len() as u64;
        let largest = if settings.message_bytes_max == 0 { node_max } else { settings.message_bytes_max };
        if length > largest || (settings.bytes_max > 0 && length > settings.bytes_max) {
            return PutOutcome::Refused(ErrorCode::TooLarge);
        }
        let window_ms = settings.dedup_window_ms;
        if window_ms > 0 && parts.id.0 != 0 {
            let first = self.ids.iter().rfind(|(id, _, at)| *id == parts.id.0 && at + window_ms > now_ms);
            if let Some((_, sequence, _)) = first {
                self.duplicates += 1;
                return PutOutcome::Duplicate(Sequence(*sequence));
            }
        }
        let full = (settings.messages_max > 0 && self.messages.len() as u64 >= settings.messages_max)
            || (settings.bytes_max > 0 && self.bytes() + length > settings.bytes_max);
        if full && settings.overflow == Overflow::Refuse {
            return PutOutcome::Refused(ErrorCode::DestinationFull);
        }
        self.last += 1;
        self.stored += 1;
        let sequence = self.last;
        if settings.last_per_key && parts.key.is_some() {
            let same: Vec<u64> =
                self.messages.iter().filter(|m| m.key == parts.key).map(|m| m.sequence).collect();
            for earlier in same {
                self.remove(earlier);
                self.dropped += 1;
            }
        }
        let ttl_ms = parts.ttl_ms.or((settings.ttl_default_ms > 0).then_some(settings.ttl_default_ms));
        self.messages.push(Message {
            sequence,
            index,
            bytes: message.as_bytes().clone(),
            stored_ms: now_ms,
            priority: parts.priority,
            expires_ms: ttl_ms.map(|ttl_ms| now_ms + ttl_ms),
            available_ms: parts.delay_ms.map_or(0, |delay_ms| now_ms + delay_ms),
            key: parts.key,
        });
        if window_ms > 0 && parts.id.0 != 0 {
            self.ids.push((parts.id.0, sequence, now_ms));
            while self.ids.len() as u64 > settings.dedup_ids_max {
                self.ids.remove(0);
            }
        }
        PutOutcome::Stored(Sequence(sequence))
    }
}

/// What stands for a position of the token count: of the entry, and of this leader.
pub(super) type Void = (u64, u64);

impl Model {
    pub(super) fn destination(&self, name: &DestinationName) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.name == *name)
    }

    pub(super) fn destination_mut(&mut self, name: &DestinationName) -> Option<&mut Destination> {
        self.destinations.iter_mut().find(|destination| destination.name == *name)
    }

    pub(super) fn group_mut(&mut self, name: &DestinationName, group: &GroupName) -> Option<&mut Group> {
        self.destination_mut(name)?.group_mut(group)
    }

    /// The entries that hold something.
    pub(super) fn held(&self) -> Vec<u64> {
        let messages = self.destinations.iter().flat_map(|destination| &destination.messages);
        let mut held: Vec<u64> =
            messages.map(|message| message.index).chain(self.letters.iter().map(|l| l.index)).collect();
        held.sort_unstable();
        held.dedup();
        held
    }

    fn found(&mut self, name: &DestinationName) -> Outcome<&mut Destination> {
        self.destination_mut(name).ok_or(ErrorCode::UnknownDestination)
    }

    fn found_group(&mut self, name: &DestinationName, group: &GroupName) -> Outcome<&mut Group> {
        self.found(name)?.group_mut(group).ok_or(ErrorCode::UnknownGroup)
    }

    fn generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    fn create(
        &mut self,
        name: &DestinationName,
        settings: &DestinationSettings,
        group: &GroupSettings,
        void: Void,
    ) -> Outcome<()> {
        if let Some(existing) = self.destination(name) {
            return if existing.settings == *settings { Ok(()) } else { Err(ErrorCode::AlreadyExists) };
        }
        let mut groups = Vec::new();
        if settings.kind == DestinationKind::Queue {
            let generation = self.generation();
            let start = 1;
            groups.push(Group::new(GroupName::default_group(), group.clone(), generation, void, start));
        }
        self.destinations.push(Destination {
            name: name.clone(),
            settings: settings.clone(),
            last: 0,
            messages: Vec::new(),
            groups,
            sessions: Vec::new(),
            ids: Vec::new(),
            stored: 0,
            duplicates: 0,
            dropped: 0,
            expired: 0,
        });
        Ok(())
    }

    /// Applies a command; `generation` is the one it was planned in, by this model's count.
    pub(super) fn apply(
        &mut self,
        command: &Command,
        generation: u64,
        index: u64,
        void: Void,
        node_max: u64,
    ) -> Expected {
        self.try_apply(command, generation, index, void, node_max).unwrap_or_else(Expected::Error)
    }

    fn try_apply(
        &mut self,
        command: &Command,
        planned: u64,
        index: u64,
        void: Void,
        node_max: u64,
    ) -> Outcome<Expected> {
        let now_ms = self.now_ms;
        match command {
            Command::Put { put, auto_create } => {
                if self.destination(&put.destination).is_none() {
                    let auto = auto_create.as_ref().ok_or(ErrorCode::UnknownDestination)?;
                    if put.stamp.is_some_and(|stamp| stamp.sequence != 1) {
                        return Err(ErrorCode::UnknownProducer);
                    }
                    if put.expected_last.is_some_and(|expected| expected != 0) {
                        return Err(ErrorCode::WrongRevision);
                    }
                    // Where the dead letters go has none of its own.
                    let mut group = auto.group.clone();
                    if group.dead_letter.as_ref() == Some(&put.destination) {
                        (group.dead_letter, group.deliveries_max) = (None, 0);
                    }
                    self.create(&put.destination, &auto.destination, &group, void)?;
                }
                return Ok(Expected::Put(self.found(&put.destination)?.put(put, index, now_ms, node_max)?));
            }
            Command::Settle { destination, group, verdict, runs, .. } => {
                let outcomes = self.settle(destination, group, verdict, runs, planned, false)?;
                return Ok(Expected::Settled(outcomes));
            }
            Command::Expire { destination, group, at_once, runs, .. } => {
                let verdict = Verdict::Nack { delay_ms: 0 };
                self.settle(destination, group, &verdict, runs, planned, *at_once)?;
            }
            Command::CreateDestination { destination, settings, group } => {
                self.create(destination, settings, group, void)?
            }
            Command::UpdateDestination { destination, settings } => {
                let found = self.found(destination)?;
                if found.settings.kind != settings.kind {
                    return Err(ErrorCode::InvalidSettings);
                }
                found.settings = settings.clone();
                found.retire(now_ms);
            }
            Command::DeleteDestination { destination } => {
                self.found(destination)?;
                self.destinations.retain(|found| found.name != *destination);
            }
            Command::PurgeDestination { destination } => {
                let found = self.found(destination)?;
                found.dropped += found.messages.len() as u64;
                found.messages.clear();
                for group in &mut found.groups {
                    group.start = found.last + 1;
                    group.settled.clear();
                    group.failed.clear();
                    group.leases.clear();
                }
            }
            Command::CreateGroup { destination, group, settings } => {
                let found = self.found(destination)?;
                if found.is_queue() {
                    return Err(ErrorCode::Unsupported);
                }
                if let Some(existing) = found.group(group) {
                    let same = existing.settings == *settings;
                    return if same { Ok(Expected::Done) } else { Err(ErrorCode::AlreadyExists) };
                }
                let start = found.position(settings.start);
                let generation = self.generation();
                let new = Group::new(group.clone(), settings.clone(), generation, void, start);
                self.found(destination)?.groups.push(new);
            }
            Command::UpdateGroup { destination, group, settings } => {
                self.found_group(destination, group)?.settings = settings.clone();
            }
            Command::DeleteGroup { destination, group } => {
                let found = self.found(destination)?;
                if found.is_queue() {
                    return Err(ErrorCode::Unsupported);
                }
                found.group(group).ok_or(ErrorCode::UnknownGroup)?;
                found.groups.retain(|other| other.name != *group);
            }
            Command::PauseGroup { destination, group, paused } => {
                self.found_group(destination, group)?.paused = *paused;
            }
            Command::ResetGroup { destination, group, to } => {
                let generation = self.generations + 1;
                let found = self.found(destination)?;
                let start = found.position(*to);
                let reset = found.group_mut(group).ok_or(ErrorCode::UnknownGroup)?;
                reset.start = start;
                reset.generation = generation;
                reset.void_below = reset.void_below.max(void.0);
                reset.void_below_here = void.1;
                reset.settled.clear();
                reset.failed.clear();
                reset.leases.clear();
                found.retire(now_ms);
                self.generations += 1;
            }
            Command::Tick { destinations } => {
                for name in destinations {
                    if let Some(found) = self.destination_mut(name) {
                        found.retire(now_ms);
                    }
                }
            }
            Command::OutboxDone { target, epoch, through, again } => {
                self.posted(target, *epoch, *through, again);
            }
            Command::OutboxRestart { target, epoch } => self.renumber(target, *epoch),
        }
        Ok(Expected::Done)
    }

    fn settle(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        verdict: &Verdict,
        runs: &[SequenceRun],
        planned: u64,
        at_once: bool,
    ) -> Outcome<Vec<SettleOutcome>> {
        let now_ms = self.now_ms;
        let mut letters = Vec::new();
        let destination = self.found(name)?;
        let is_queue = destination.is_queue();
        destination.group(group).ok_or(ErrorCode::UnknownGroup)?;
        let mut outcomes = Vec::new();
        for (sequence, attempts) in SequenceRun::each(runs) {
            let message = destination.message(sequence).cloned();
            let last = destination.last;
            let found = destination.group_mut(group).unwrap();
            if found.generation != planned {
                outcomes.push(SettleOutcome::Stale);
                continue;
            }
            if sequence == 0 || sequence > last {
                outcomes.push(SettleOutcome::Unknown);
                continue;
            }
            let Some(message) = message.filter(|_| !found.is_settled(sequence)) else {
                outcomes.push(SettleOutcome::AlreadySettled);
                continue;
            };
            let mut dead = matches!(verdict, Verdict::Reject { .. });
            if let Verdict::Nack { delay_ms } = verdict {
                if found.attempts(sequence) != attempts {
                    outcomes.push(SettleOutcome::Stale);
                    continue;
                }
                let count = attempts + 1;
                found.failed.retain(|(failed, ..)| *failed != sequence);
                let mut wait_ms = found.settings.redelivery_delay_ms;
                for _ in 1..count {
                    wait_ms = (wait_ms * 2).min(3_600_000);
                }
                let wait_ms = if at_once { 0 } else { wait_ms.min(3_600_000).max(*delay_ms) };
                found.failed.push((sequence, count, now_ms + wait_ms));
                found.leases.retain(|lease| lease.sequence != sequence);
                dead = found.settings.deliveries_max > 0 && count >= found.settings.deliveries_max;
                if !dead {
                    found.redelivered += 1;
                    outcomes.push(SettleOutcome::Done);
                    continue;
                }
            }
            outcomes.push(SettleOutcome::Done);
            if dead {
                found.dead += 1;
                if let Some(target) = &found.settings.dead_letter {
                    letters.push(Letter {
                        target: target.clone(),
                        destination: name.clone(),
                        group: group.clone(),
                        sequence,
                        index: message.index,
                        attempts: found.attempts(sequence),
                        number: 0,
                    });
                }
            } else {
                found.acknowledged += 1;
            }
            found.forget(sequence);
            if is_queue {
                destination.remove(sequence);
            } else {
                destination.group_mut(group).unwrap().settled.push(sequence);
            }
        }
        for letter in letters {
            self.post(letter);
        }
        Ok(outcomes)
    }

    fn post(&mut self, letter: Letter) {
        if !self.targets.iter().any(|(target, ..)| *target == letter.target) {
            self.targets.push((letter.target.clone(), self.epochs, 1));
            self.epochs += 1;
        }
        let target = self.targets.iter_mut().find(|(target, ..)| *target == letter.target).unwrap();
        self.letters.push(Letter { number: target.2, ..letter });
        target.2 += 1;
    }

    fn posted(&mut self, target: &DestinationName, epoch: u32, through: u64, again: &[u64]) {
        if !self.targets.iter().any(|(name, at, _)| name == target && *at == epoch) {
            return;
        }
        let arrived = |letter: &Letter| letter.target == *target && letter.number <= through;
        let refused: Vec<Letter> =
            self.letters.iter().filter(|l| arrived(l) && again.contains(&l.number)).cloned().collect();
        self.letters.retain(|letter| !arrived(letter));
        for letter in refused {
            self.post(letter);
        }
    }

    fn renumber(&mut self, target: &DestinationName, epoch: u32) {
        let Some(found) = self.targets.iter_mut().find(|(name, at, _)| name == target && *at == epoch) else {
            return;
        };
        found.1 = self.epochs;
        found.2 = 1;
        self.epochs += 1;
        for letter in self.letters.iter_mut().filter(|letter| letter.target == *target) {
            letter.number = found.2;
            found.2 += 1;
        }
    }

    /// What a leader is to say of a receipt at once; `None` where a command decides.
    pub(super) fn decide(
        &self,
        name: &DestinationName,
        group: &GroupName,
        verdict: &Verdict,
        receipt: &Receipt,
        is_expiring: bool,
    ) -> Option<SettleOutcome> {
        let destination = self.destination(name).unwrap();
        let group = destination.group(group).unwrap();
        let sequence = receipt.sequence.0;
        if sequence == 0 || sequence > destination.last {
            return Some(SettleOutcome::Unknown);
        }
        if destination.message(sequence).is_none() || group.is_settled(sequence) {
            return Some(SettleOutcome::AlreadySettled);
        }
        if receipt.token < group.void_below.max(group.void_below_here) {
            return Some(SettleOutcome::Stale);
        }
        let lease = group.leases.iter().find(|lease| lease.sequence == sequence);
        match (lease, verdict) {
            (Some(lease), _) if lease.token != receipt.token => Some(SettleOutcome::Stale),
            (Some(_), Verdict::Extend { .. }) if is_expiring => Some(SettleOutcome::Stale),
            (Some(_), Verdict::Extend { .. }) => Some(SettleOutcome::Done),
            (None, Verdict::Extend { .. } | Verdict::Nack { .. }) => Some(SettleOutcome::Stale),
            _ => None,
        }
    }
}
