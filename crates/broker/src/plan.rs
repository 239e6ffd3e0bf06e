//! What the leader asks of its shard beside the log, and what it is answered.

use swarmmq_protocol::response::{SettleOutcome, SettleReply};
use swarmmq_protocol::{DestinationName, GroupName, ProducerId, Receipt};

use crate::command::Command;
use crate::effect::Outcome;
use crate::location::Location;

/// What a consumer wants to lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// From where.
    pub destination: DestinationName,
    /// For which group.
    pub group: GroupName,
    /// Who: an opaque id, for [`Shard::release_consumer`](crate::Shard::release_consumer).
    pub consumer: u64,
    /// At most so many messages.
    pub messages_max: usize,
    /// At most so many bytes of encoded messages; the first message comes whatever its size.
    pub bytes_max: usize,
    /// Time to settle them, ms. 0: the group's.
    pub lease_ms: u64,
}

/// Messages that were leased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "leased messages must be delivered or released"]
pub struct Leases {
    /// They, in the order in which to deliver them.
    pub leased: Vec<Leased>,
    /// There may be more: the search ended at its bound, or at `messages_max` or `bytes_max`. Ask again
    /// if more is wanted. `false`: nothing more is ready until an [`Effect::Ready`](crate::Effect::Ready)
    /// or [`Due::ready`] names the group.
    pub more: bool,
}

/// A message that was leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// What to settle it with.
    pub receipt: Receipt,
    /// Which delivery of the message this is, from 1.
    pub attempt: u32,
    /// When it was stored, ms since 1970.
    pub stored_ms: u64,
    /// Where it stands.
    pub location: Location,
    /// The group has a filter: where [`filter::matches`](crate::filter::matches) says no, acknowledge
    /// the message instead of delivering it.
    pub check_filter: bool,
}

/// What is to be done about a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the command must be proposed, or abandoned"]
pub struct SettlePlan {
    /// One per receipt: what was decided at once, and `None` where the command decides.
    pub outcomes: Vec<Option<SettleOutcome>>,
    /// What to propose; `None` where everything is decided.
    pub command: Option<Command>,
}

impl SettlePlan {
    /// The answer to the client, once the command has had `outcome` in the entry at `index`.
    #[must_use]
    pub fn complete(&self, index: u64, outcome: &Outcome) -> SettleReply {
        let applied: &[SettleOutcome] = if let Outcome::Settled(applied) = outcome { applied } else { &[] };
        let mut applied = applied.iter().copied();
        let outcomes = self
            .outcomes
            .iter()
            // The destination or group went away meanwhile: nothing is left that could be settled.
            .map(|decided| decided.or_else(|| applied.next()).unwrap_or(SettleOutcome::Unknown))
            .collect();
        SettleReply { index, outcomes }
    }

    /// The answer to the client where there is no command to wait for.
    #[must_use]
    pub fn decided(&self) -> Option<SettleReply> {
        self.command.is_none().then(|| self.complete(0, &Outcome::Done))
    }
}

/// A group that may have something to lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wakeup {
    /// From which destination.
    pub destination: DestinationName,
    /// By which group.
    pub group: GroupName,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "the commands must be proposed, or abandoned"]
pub struct Due {
    /// What to propose.
    pub commands: Vec<Command>,
    /// Groups of which a delayed message's time has come.
    pub ready: Vec<Wakeup>,
}

/// Dead letters on their way to one destination, oldest first.
///
/// The shell puts them there with a [`ProducerStamp`](swarmmq_protocol::ProducerStamp) of `producer`,
/// `epoch` and each letter's `sequence`, so that a repetition is recognised there, and then proposes
/// [`Command::OutboxDone`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBatch {
    /// Where they go.
    pub target: DestinationName,
    /// The session they are sent in: always the same for one shard and target.
    pub producer: ProducerId,
    /// Its epoch, which rises with each [`Command::OutboxRestart`].
    pub epoch: u32,
    /// The letters; their sequences follow each other.
    pub letters: Vec<DeadLetter>,
}

/// A dead letter on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its sequence in the outbox's producer session, from 1.
    pub outbox_sequence: u64,
    /// Where it came from.
    pub destination: DestinationName,
    /// Which group gave it up.
    pub group: GroupName,
    /// Its sequence there.
    pub sequence: u64,
    /// Where it stands.
    pub location: Location,
    /// How often it was delivered in vain.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
}

/// What a shard holds and has counted, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardStats {
    /// Destinations there are.
    pub destinations: u64,
    /// The sums over all of them; the age is the oldest of all.
    pub total: DestinationStats,
    /// Dead letters in the outbox.
    pub outbox: u64,
    /// Entries of the log that hold a live message.
    pub held: u64,
    /// The first destinations in the order of their names, as many as were asked for.
    pub by_destination: Vec<(DestinationName, DestinationStats)>,
}

/// What a destination holds and has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestinationStats {
    /// Messages held.
    pub messages: u64,
    /// Bytes of the encoded messages held.
    pub bytes: u64,
    /// Messages that could be delivered, over all groups.
    pub ready: u64,
    /// Messages leased, over all groups.
    pub leased: u64,
    /// Age of the oldest message held, ms.
    pub oldest_age_ms: u64,
    /// Messages stored.
    pub stored: u64,
    /// Puts recognised as repeated.
    pub duplicates: u64,
    /// Messages refused.
    pub refused: u64,
    /// Messages that retention, a limit or a purge took.
    pub dropped: u64,
    /// Messages that outlived their time to live.
    pub expired: u64,
    /// Settled by an acknowledgement, over all groups.
    pub acknowledged: u64,
    /// Deliveries that were not the first, over all groups.
    pub redelivered: u64,
    /// Given up, over all groups, whether they went to another destination or were dropped.
    pub dead: u64,
}

impl DestinationStats {
    /// Adds the figures of another destination.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.ready += other.ready;
        self.leased += other.leased;
        self.oldest_age_ms = self.oldest_age_ms.max(other.oldest_age_ms);
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.dropped += other.dropped;
        self.expired += other.expired;
        self.acknowledged += other.acknowledged;
        self.redelivered += other.redelivered;
        self.dead += other.dead;
    }
}
