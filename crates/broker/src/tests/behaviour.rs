//! Single behaviours, above all those that need more messages, or smaller budgets, than histories have.

use std::collections::BTreeSet;

use bytes::Bytes;
use swarmmq_protocol::error::ErrorCode;
use swarmmq_protocol::request::{Put, Settle, Verdict};
use swarmmq_protocol::response::{PutOutcome, SettleOutcome};
use swarmmq_protocol::settings::{Condition, DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{
    DestinationName, GroupName, Message, MessageId, ProducerId, ProducerStamp, Receipt, Sequence,
};

use crate::{
    ApplyError, AutoCreate, Command, Effect, EntryBuilder, LeaseRequest, Leases, Outcome, Shard, ShardLimits,
    Wakeup,
};

/// A shard that leads, with a log of its own.
pub(super) struct Leader {
    pub(super) shard: Shard,
    index: u64,
    pub(super) now_ms: u64,
    pub(super) effects: Vec<Effect>,
}

pub(super) fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

pub(super) fn default() -> GroupName {
    GroupName::default_group()
}

pub(super) fn create(destination: DestinationName, settings: DestinationSettings) -> Command {
    Command::CreateDestination { destination, settings, group: GroupSettings::default() }
}

fn group(change: impl FnOnce(&mut GroupSettings)) -> GroupSettings {
    let mut settings = GroupSettings::default();
    change(&mut settings);
    settings
}

impl Leader {
    pub(super) fn new(limits: ShardLimits) -> Self {
        let mut shard = Shard::new(0, limits);
        shard.reset_volatile(1);
        Self { shard, index: 0, now_ms: 10_000, effects: Vec::new() }
    }

    /// A leader with a queue and a stream, whose group is `default` too.
    fn with(change: impl FnOnce(&mut DestinationSettings), group: GroupSettings) -> Self {
        Self::limited(ShardLimits::default(), change, group)
    }

    fn limited(
        limits: ShardLimits,
        change: impl FnOnce(&mut DestinationSettings),
        settings: GroupSettings,
    ) -> Self {
        let mut leader = Self::new(limits);
        let mut queue = DestinationSettings::queue();
        change(&mut queue);
        let mut stream = queue.clone();
        stream.kind = DestinationSettings::stream().kind;
        stream.overflow = DestinationSettings::stream().overflow;
        for (destination, of) in [(name("queue"), queue), (name("stream"), stream)] {
            leader.done(create(destination, of));
        }
        let (stream, group) = (name("stream"), default());
        leader.done(Command::CreateGroup {
            destination: stream,
            group: group.clone(),
            settings: settings.clone(),
        });
        leader.done(Command::UpdateGroup { destination: name("queue"), group, settings });
        leader
    }

    pub(super) fn apply(&mut self, command: &Command) -> Outcome {
        let mut entry = EntryBuilder::new(self.now_ms, self.shard.token_bound());
        entry.push(command);
        self.index += 1;
        let applied = self.shard.apply(self.index, entry.finish()).unwrap();
        self.effects = applied.effects;
        applied.outcomes.into_iter().next().unwrap()
    }

    pub(super) fn done(&mut self, command: Command) {
        assert_eq!(self.apply(&command), Outcome::Done, "{command:?}");
    }

    fn refused(&mut self, command: &Command) -> (ErrorCode, String) {
        match self.apply(command) {
            Outcome::Error(error) => (error.code, error.explanation),
            other => panic!("{command:?} came to {other:?}"),
        }
    }

    pub(super) fn put(&mut self, to: &str, messages: &[Message]) -> Vec<PutOutcome> {
        self.put_stamped(to, messages, None)
    }

    fn put_stamped(
        &mut self,
        to: &str,
        messages: &[Message],
        stamp: Option<ProducerStamp>,
    ) -> Vec<PutOutcome> {
        let messages = messages.iter().map(|message| message.encode().unwrap()).collect();
        let put = Put { destination: name(to), stamp, expected_last: None, messages };
        match self.apply(&Command::Put { put, auto_create: None }) {
            Outcome::Put(reply) => reply.outcomes().collect(),
            other => panic!("the put came to {other:?}"),
        }
    }

    pub(super) fn put_many(&mut self, to: &str, count: usize) {
        for nth in (0..count).step_by(1000) {
            self.put(to, &vec![Message::new("x"); (count - nth).min(1000)]);
        }
    }

    fn try_lease(&mut self, from: &str, messages_max: usize) -> Leases {
        let request = LeaseRequest {
            destination: name(from),
            group: default(),
            consumer: 7,
            messages_max,
            bytes_max: usize::MAX,
            lease_ms: 0,
        };
        self.shard.lease(self.now_ms, &request).unwrap()
    }

    pub(super) fn lease(&mut self, from: &str, messages_max: usize) -> Vec<Receipt> {
        self.try_lease(from, messages_max).leased.iter().map(|leased| leased.receipt).collect()
    }

    pub(super) fn settle(
        &mut self,
        of: &str,
        verdict: Verdict,
        receipts: Vec<Receipt>,
    ) -> Vec<SettleOutcome> {
        let settle = Settle { destination: name(of), group: default(), verdict, receipts };
        let plan = self.shard.settle(self.now_ms, &settle).unwrap();
        let outcome = match &plan.command {
            Some(command) => self.apply(command),
            None => Outcome::Done,
        };
        plan.complete(self.index, &outcome).outcomes
    }

    /// Does all that is due, and says how often it had to be asked.
    fn do_due(&mut self) -> usize {
        let mut asked = 0;
        while self.shard.next_due().is_some_and(|at_ms| at_ms <= self.now_ms) {
            asked += 1;
            let commands = self.shard.due(self.now_ms).commands;
            for command in commands {
                let _ = self.apply(&command);
            }
        }
        asked
    }
}

fn sequences(receipts: &[Receipt]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.sequence.0).collect()
}

#[test]
fn a_late_ack_is_accepted_unless_the_message_was_leased_again() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("queue", &[Message::new("a"), Message::new("b")]);
    let first = leader.lease("queue", 2);
    leader.now_ms += 30_000;
    leader.do_due();
    let second = leader.lease("queue", 1);
    assert_eq!(sequences(&second), [1]);
    assert_eq!(
        leader.settle("queue", Verdict::Ack, first),
        [SettleOutcome::Stale, SettleOutcome::Done],
        "1 was leased again, 2 was not"
    );
    assert_eq!(leader.settle("queue", Verdict::Ack, second.clone()), [SettleOutcome::Done]);
    assert_eq!(leader.settle("queue", Verdict::Ack, second), [SettleOutcome::AlreadySettled]);
}

#[test]
fn a_message_with_a_settlement_under_way_is_with_nobody_else() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("queue", &[Message::new("a")]);
    let receipts = leader.lease("queue", 1);
    let settle = Settle { destination: name("queue"), group: default(), verdict: Verdict::Ack, receipts };
    let ack = leader.shard.settle(leader.now_ms, &settle).unwrap().command.unwrap();
    leader.now_ms += 30_000;
    let expire = leader.shard.due(leader.now_ms).commands.remove(0);
    let _ = leader.apply(&expire);
    assert!(leader.lease("queue", 1).is_empty(), "the acknowledgement is still under way");
    let woken = leader.shard.abandon(leader.now_ms, &ack);
    assert_eq!(woken, [Wakeup { destination: name("queue"), group: default() }]);
    let leased = leader.try_lease("queue", 1).leased;
    assert_eq!(leased.iter().map(|leased| leased.attempt).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_new_leader_finds_leased_messages_ready_and_keeps_the_count_of_failures() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("queue", &[Message::new("a"), Message::new("b")]);
    let old = leader.lease("queue", 1);
    leader.settle("queue", Verdict::Nack { delay_ms: 0 }, old);
    let old = leader.lease("queue", 2);
    leader.shard = Shard::restore(&leader.shard.snapshot()).unwrap();
    leader.shard.reset_volatile(2);
    assert_eq!(
        leader.settle("queue", Verdict::Ack, vec![old[1]]),
        [SettleOutcome::Done],
        "an acknowledgement that comes after the leader changed counts"
    );
    let leased = leader.try_lease("queue", 9).leased;
    assert_eq!(leased.iter().map(|l| (l.receipt.sequence.0, l.attempt)).collect::<Vec<_>>(), [(1, 2)]);
    assert!(leased[0].receipt.token >> 40 == 2 && leased[0].receipt.token > old[0].token);
}

#[test]
fn a_consumer_that_goes_away_gives_its_messages_back_at_once_and_they_count() {
    let settings = group(|group| group.redelivery_delay_ms = 5000);
    let mut leader = Leader::with(|_| {}, settings);
    leader.put_many("queue", 5000);
    assert_eq!(leader.lease("queue", 5000).len(), 5000);
    let commands = leader.shard.release_consumer(7);
    assert_eq!(commands.len(), 2, "one command names at most 4,096 messages");
    for command in commands {
        leader.done(command);
        let ready = Effect::Ready { destination: name("queue"), group: default() };
        assert!(leader.effects.contains(&ready));
    }
    let leased = leader.try_lease("queue", 5000).leased;
    assert!(leased.len() == 5000 && leased.iter().all(|leased| leased.attempt == 2));
    assert!(leader.shard.release_consumer(8).is_empty());
}

#[test]
fn a_consumer_whose_release_was_abandoned_can_be_released_again() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("queue", &[Message::new("a")]);
    leader.lease("queue", 1);
    let released = leader.shard.release_consumer(7);
    assert!(leader.shard.release_consumer(7).is_empty());
    assert!(leader.shard.abandon(leader.now_ms, &released[0]).is_empty(), "the lease is valid again");
    assert_eq!(leader.shard.release_consumer(7), released);
}

#[test]
fn a_purge_is_complete_at_once_and_its_entries_are_released_a_few_at_a_time() {
    let limits = ShardLimits { retire_max: 10, ..ShardLimits::default() };
    let mut leader = Leader::limited(limits, |_| {}, GroupSettings::default());
    for _ in 0..95 {
        leader.put("queue", &[Message::new("a")]);
    }
    leader.done(Command::PurgeDestination { destination: name("queue") });
    let releases =
        |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Release { .. })).count();
    assert_eq!(leader.shard.describe(0, &name("queue")).unwrap().messages, 0);
    assert_eq!((releases(&leader.effects), leader.shard.held().count()), (10, 85));
    leader.shard = Shard::restore(&leader.shard.snapshot()).unwrap();
    leader.shard.reset_volatile(2);
    assert_eq!(leader.shard.held().count(), 85, "what is left to release is replicated");
    assert_eq!(leader.do_due(), 9);
    assert_eq!((leader.shard.held().count(), leader.shard.next_due()), (0, None));
    assert_eq!(leader.put("queue", &[Message::new("b")]), [PutOutcome::Stored(Sequence(96))]);
    leader.done(Command::DeleteDestination { destination: name("queue") });
    assert_eq!(leader.shard.held().count(), 0);
}

#[test]
fn what_one_entry_may_not_retire_is_left_to_ticks_that_are_due_at_once() {
    let limits = ShardLimits { retire_max: 10, ..ShardLimits::default() };
    let mut leader = Leader::limited(limits, |settings| settings.age_max_ms = 500, GroupSettings::default());
    leader.put_many("stream", 95);
    assert_eq!(leader.shard.next_due(), Some(11_000), "retention that lies ahead is done once a second");
    leader.now_ms = 11_000;
    assert_eq!(leader.do_due(), 10);
    let info = leader.shard.describe(leader.now_ms, &name("stream")).unwrap();
    assert_eq!((info.messages, info.dropped, leader.shard.held().count()), (0, 95, 0));
}

#[test]
fn a_full_stream_never_grows_however_large_the_entry() {
    let limits = ShardLimits { retire_max: 1, ..ShardLimits::default() };
    let mut leader = Leader::limited(limits, |settings| settings.messages_max = 10, GroupSettings::default());
    leader.put_many("stream", 3000);
    let info = leader.shard.describe(leader.now_ms, &name("stream")).unwrap();
    assert_eq!((info.first, info.last, info.dropped), (2991, 3000, 2990));
}

#[test]
pub(super) fn an_id_whose_window_is_over_does_not_count_while_it_waits_to_be_forgotten() {
    let limits = ShardLimits { retire_max: 1, ..ShardLimits::default() };
    let mut leader =
        Leader::limited(limits, |settings| settings.dedup_window_ms = 100, GroupSettings::default());
    let message = |id| Message::new("x").id(MessageId(id));
    leader.put("queue", &[message(1), message(2), message(3)]);
    leader.now_ms += 99;
    assert_eq!(leader.put("queue", &[message(3)]), [PutOutcome::Duplicate(Sequence(3))]);
    leader.now_ms += 1;
    assert_eq!(leader.put("queue", &[message(3)]), [PutOutcome::Stored(Sequence(4))]);
    assert_eq!(leader.put("queue", &[message(3)]), [PutOutcome::Duplicate(Sequence(4))]);
    assert_eq!(leader.shard.stats(leader.now_ms, 0).total.duplicates, 2);
}

#[test]
pub(super) fn settled_messages_of_a_stream_leave_nothing_behind() {
    let mut leader = Leader::with(|settings| settings.age_max_ms = 1000, GroupSettings::default());
    let fresh = leader.shard.snapshot().iter().map(Bytes::len).sum::<usize>();
    leader.put_many("stream", 20_000);
    let all = leader.lease("stream", 20_000);
    for receipts in all[1..].chunks(4096) {
        leader.settle("stream", Verdict::Ack, receipts.to_vec());
    }
    let words = |leader: &Leader| {
        let stream = &leader.shard.destinations[&name("stream")];
        let group = &stream.groups[&default()];
        group.settled.live_words(group.floor, &stream.log).count()
    };
    assert_eq!(leader.shard.describe(0, &name("stream")).unwrap().groups[0].floor, 1);
    assert_eq!(words(&leader), 20_000 / 64 + 1, "the first message is unsettled, so the others are noted");
    leader.settle("stream", Verdict::Ack, vec![all[0]]);
    assert_eq!(words(&leader), 0);
    leader.now_ms += 2000;
    leader.do_due();
    assert_eq!(leader.shard.snapshot().iter().map(Bytes::len).sum::<usize>(), fresh);
}

#[test]
fn notes_about_messages_that_are_gone_are_swept_out() {
    let mut leader = Leader::with(|settings| settings.messages_max = 100, GroupSettings::default());
    for _ in 0..2000 {
        leader.put("stream", &vec![Message::new("x"); 50]);
        let mut receipts = leader.lease("stream", 50);
        receipts.remove(0);
        leader.settle("stream", Verdict::Ack, receipts);
    }
    let stream = &leader.shard.destinations[&name("stream")];
    let group = &stream.groups[&default()];
    assert!(group.settled.live_words(0, &stream.log).count() <= 4);
    assert!(stream.log.pages() <= 3 && group.floor > 99_000);
    let dispatch = group.dispatch.as_ref().unwrap();
    assert!(dispatch.leases.len() <= 2 && dispatch.deadlines.len() <= 2 && dispatch.returned.is_empty());
}

#[test]
fn a_dead_letter_that_is_sent_twice_is_stored_once() {
    let settings = group(|group| {
        group.deliveries_max = 1;
        group.dead_letter = Some(name("dead"));
    });
    let mut leader = Leader::with(|_| {}, settings);
    leader.done(create(name("dead"), DestinationSettings::queue()));
    leader.put("queue", &[Message::new("a"), Message::new("b"), Message::new("c")]);
    let receipts = leader.lease("queue", 2);
    leader.settle("queue", Verdict::Nack { delay_ms: 0 }, receipts);
    assert_eq!(leader.effects.last(), Some(&Effect::Outbox));
    let third = leader.lease("queue", 1);
    leader.settle("queue", Verdict::Reject { reason: "bad".into() }, third);
    let send = |leader: &mut Leader| {
        let batch = leader.shard.outbox(10).remove(0);
        let first = batch.letters[0].outbox_sequence;
        let stamp = ProducerStamp { producer: batch.producer, epoch: batch.epoch, sequence: first };
        let messages = vec![Message::new("letter"); batch.letters.len()];
        (leader.put_stamped("dead", &messages, Some(stamp)), batch)
    };
    let (_, batch) = send(&mut leader);
    let reasons: Vec<_> = batch.letters.iter().map(|l| (l.sequence, l.attempts, l.reason.as_str())).collect();
    let tired = "delivered 1 times without success";
    assert_eq!(reasons, [(1, 1, tired), (2, 1, tired), (3, 0, "bad")]);
    leader.shard = Shard::restore(&leader.shard.snapshot()).unwrap();
    leader.shard.reset_volatile(2);
    let (again, batch) = send(&mut leader);
    assert_eq!(again, [1, 2, 3].map(|sequence| PutOutcome::Duplicate(Sequence(sequence))));
    assert!(leader.shard.held().count() > 1, "letters on their way hold their entries");
    leader.done(Command::OutboxDone { target: batch.target, epoch: batch.epoch, through: 3, again: vec![] });
    assert_eq!(leader.shard.describe(0, &name("dead")).unwrap().messages, 3);
    let outbox = leader.shard.stats(0, 0).outbox;
    assert_eq!((outbox, leader.shard.held().count()), (0, 1), "the letters' copies stand in one entry");
}

#[test]
fn a_session_remembers_where_its_last_8192_messages_are() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    let stamp = |sequence| Some(ProducerStamp { producer: ProducerId(1), epoch: 0, sequence });
    for nth in 0..10_000_u64 {
        // A message without a session in between, so that no two results are joined.
        leader.put_stamped("queue", &[Message::new("x")], stamp(nth + 1));
        leader.put("queue", &[Message::new("y")]);
    }
    let retry =
        |leader: &mut Leader, sequence| leader.put_stamped("queue", &[Message::new("x")], stamp(sequence));
    assert_eq!(retry(&mut leader, 10_000), [PutOutcome::Duplicate(Sequence(19_999))]);
    assert_eq!(retry(&mut leader, 10_000 - 8191), [PutOutcome::Duplicate(Sequence(2 * (10_000 - 8191) - 1))]);
    assert_eq!(retry(&mut leader, 1), [PutOutcome::Duplicate(Sequence(0))], "known, but not where");
    let mixed = leader.put_stamped("queue", &[Message::new("x"), Message::new("x")], stamp(10_000));
    assert_eq!(
        mixed,
        [PutOutcome::Duplicate(Sequence(19_999)), PutOutcome::Stored(Sequence(20_001))],
        "of a batch that is repeated in part, the new tail is stored"
    );
}

#[test]
fn an_entry_that_cannot_be_read_changes_nothing() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    let before = leader.shard.snapshot();
    let error = leader.shard.apply(99, Bytes::from_static(&[2, 0, 0])).unwrap_err();
    assert_eq!(error.to_string(), "the entry at index 99 cannot be read");
    let entry = EntryBuilder::new(1, 0).finish();
    let error = leader.shard.apply(1, entry).unwrap_err();
    assert_eq!(error, ApplyError::OutOfOrder { index: 1, applied: leader.index });
    assert_eq!(leader.shard.snapshot(), before);
}

#[test]
fn a_queue_has_the_one_group_default() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    let group = GroupName::new("b").unwrap();
    let settings = GroupSettings::default();
    let command = Command::CreateGroup { destination: name("queue"), group: group.clone(), settings };
    let (code, text) = leader.refused(&command);
    assert_eq!(code, ErrorCode::Unsupported);
    assert!(text.contains("exactly one group, default"), "{text}");
    let (code, _) = leader.refused(&Command::DeleteGroup { destination: name("queue"), group: default() });
    assert_eq!(code, ErrorCode::Unsupported);
    let (code, _) = leader.refused(&Command::PauseGroup { destination: name("queue"), group, paused: true });
    assert_eq!(code, ErrorCode::UnknownGroup);
}

#[test]
fn a_wrong_revision_names_both_numbers() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put_many("stream", 3);
    let messages = vec![Message::new("x").encode().unwrap()];
    let put = Put { destination: name("stream"), stamp: None, expected_last: Some(7), messages };
    let (code, text) = leader.refused(&Command::Put { put, auto_create: None });
    assert_eq!(code, ErrorCode::WrongRevision);
    assert_eq!(text, "the last sequence of stream is 3, not the expected 7");
}

#[test]
fn limits_of_the_shard_refuse_with_a_reason() {
    let limits = ShardLimits { destinations_max: 2, groups_max: 1, ..ShardLimits::default() };
    let mut leader = Leader::limited(limits, |_| {}, GroupSettings::default());
    let settings = DestinationSettings::queue();
    let (code, _) = leader.refused(&create(name("third"), settings));
    assert_eq!(code, ErrorCode::LimitReached);
    let settings = GroupSettings::default();
    let group = GroupName::new("b").unwrap();
    let (code, _) = leader.refused(&Command::CreateGroup { destination: name("stream"), group, settings });
    assert_eq!(code, ErrorCode::LimitReached);
    let put = Put {
        destination: name("third"),
        stamp: None,
        expected_last: None,
        messages: vec![Message::new("x").encode().unwrap()],
    };
    let auto_create = Some(AutoCreate::from(DestinationSettings::queue()));
    let (code, _) = leader.refused(&Command::Put { put: put.clone(), auto_create });
    assert_eq!(code, ErrorCode::LimitReached);
    let (code, _) = leader.refused(&Command::Put { put, auto_create: None });
    assert_eq!(code, ErrorCode::UnknownDestination);
}

fn put_one(destination: &str, auto_create: Option<AutoCreate>) -> Command {
    let messages = vec![Message::new("x").encode().unwrap()];
    let put = Put { destination: name(destination), stamp: None, expected_last: None, messages };
    Command::Put { put, auto_create }
}

#[test]
fn a_queue_begins_with_the_group_it_was_made_with() {
    let mut leader = Leader::new(ShardLimits::default());
    let settings = group(|group| {
        group.deliveries_max = 2;
        group.lease_ms = 5_000;
        group.dead_letter = Some(name("dead"));
    });
    let auto = AutoCreate { destination: DestinationSettings::queue(), group: settings.clone() };
    assert!(matches!(leader.apply(&put_one("made", Some(auto.clone()))), Outcome::Put(_)));
    assert_eq!(leader.shard.group_settings(&name("made"), &default()), Some(&settings));
    // A destination that is there keeps what it has, whatever a put would make it with.
    assert!(matches!(
        leader.apply(&put_one("made", Some(DestinationSettings::stream().into()))),
        Outcome::Put(_)
    ));
    assert_eq!(leader.shard.group_settings(&name("made"), &default()), Some(&settings));
    let create = |destination, settings: DestinationSettings, group| Command::CreateDestination {
        destination: name(destination),
        settings,
        group,
    };
    leader.done(create("asked-for", DestinationSettings::queue(), settings.clone()));
    assert_eq!(leader.shard.group_settings(&name("asked-for"), &default()), Some(&settings));
    leader.done(create("stream", DestinationSettings::stream(), settings.clone()));
    assert_eq!(leader.shard.group_settings(&name("stream"), &default()), None, "a stream begins without");
    // Where the dead letters of the others go is made without any of its own.
    assert!(matches!(leader.apply(&put_one("dead", Some(auto))), Outcome::Put(_)));
    let expected = group(|group| group.lease_ms = 5_000);
    assert_eq!(leader.shard.group_settings(&name("dead"), &default()), Some(&expected));
    assert_eq!(leader.shard.destinations(), 4);
    assert!(leader.shard.has_destination(&name("dead")) && !leader.shard.has_destination(&name("no")));
}

#[test]
fn a_queue_whose_group_is_invalid_is_not_made() {
    let mut leader = Leader::new(ShardLimits::default());
    for wrong in [group(|group| group.lease_ms = 0), group(|group| group.dead_letter = Some(name("queue")))] {
        let (code, _) = leader.refused(&Command::CreateDestination {
            destination: name("queue"),
            settings: DestinationSettings::queue(),
            group: wrong,
        });
        assert_eq!(code, ErrorCode::InvalidSettings);
        assert_eq!(leader.shard.destinations(), 0);
    }
}

#[test]
fn messages_of_a_key_come_one_at_a_time_and_in_order() {
    let settings = group(|group| group.key_ordered = true);
    let mut leader = Leader::with(|_| {}, settings);
    for destination in ["queue", "stream"] {
        let keyed = |key: &'static str, priority| Message::new("x").key(key).priority(priority);
        leader.put(
            destination,
            &[keyed("a", 1), keyed("b", 5), keyed("a", 10), Message::new("x"), keyed("b", 5)],
        );
        let first = leader.lease(destination, 9);
        assert_eq!(sequences(&first), [2, 4, 1], "by priority among the first of each key");
        leader.settle(destination, Verdict::Nack { delay_ms: 100 }, vec![first[0]]);
        assert!(leader.lease(destination, 9).is_empty(), "2 is delayed, and 5 waits behind it");
        leader.settle(destination, Verdict::Ack, vec![first[2]]);
        let woken = Effect::Ready { destination: name(destination), group: default() };
        assert!(leader.effects.contains(&woken));
        assert_eq!(sequences(&leader.lease(destination, 9)), [3]);
        leader.now_ms += 100;
        assert_eq!(sequences(&leader.lease(destination, 9)), [2]);
    }
}

#[test]
fn a_lease_passes_over_a_bounded_number_of_messages_and_says_that_there_may_be_more() {
    let settings = group(|group| group.key_ordered = true);
    let mut leader = Leader::with(|_| {}, settings);
    for _ in 0..10 {
        leader.put("queue", &vec![Message::new("x").key("one"); 1000]);
    }
    leader.put("queue", &[Message::new("x").key("other")]);
    let leases = leader.try_lease("queue", 9);
    assert_eq!((leases.leased.len(), leases.more), (1, true));
    let leases = leader.try_lease("queue", 9);
    assert_eq!(leases.leased.iter().map(|l| l.receipt.sequence.0).collect::<Vec<_>>(), [10_001]);
    assert!(!leases.more);
}

#[test]
fn the_first_message_comes_whatever_its_size() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("queue", &[Message::new(vec![0; 1000]), Message::new("x")]);
    let request = LeaseRequest {
        destination: name("queue"),
        group: default(),
        consumer: 1,
        messages_max: 10,
        bytes_max: 10,
        lease_ms: 0,
    };
    let leases = leader.shard.lease(leader.now_ms, &request).unwrap();
    assert_eq!((leases.leased.len(), leases.more), (1, true));
}

#[test]
fn messages_of_a_group_with_a_filter_are_to_be_checked() {
    let settings = group(|group| group.filter = vec![Condition::PriorityAtLeast(6)]);
    let mut leader = Leader::with(|_| {}, settings);
    leader.put("stream", &[Message::new("x")]);
    assert!(leader.try_lease("stream", 1).leased[0].check_filter);
    assert_eq!(leader.shard.group_settings(&name("stream"), &default()).unwrap().filter.len(), 1);
}

#[test]
fn receipts_of_before_a_reset_say_nothing_any_more() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.put("stream", &[Message::new("a"), Message::new("b")]);
    let receipts = leader.lease("stream", 2);
    let settle = Settle {
        destination: name("stream"),
        group: default(),
        verdict: Verdict::Ack,
        receipts: vec![receipts[0]],
    };
    let under_way = leader.shard.settle(leader.now_ms, &settle).unwrap().command.unwrap();
    leader.done(Command::ResetGroup {
        destination: name("stream"),
        group: default(),
        to: Position::Earliest,
    });
    assert_eq!(leader.apply(&under_way), Outcome::Settled(vec![SettleOutcome::Stale]));
    assert_eq!(leader.settle("stream", Verdict::Ack, vec![receipts[1]]), [SettleOutcome::Stale]);
    assert_eq!(sequences(&leader.lease("stream", 9)), [1, 2]);
}

#[test]
fn deleting_tells_whoever_waits() {
    let mut leader = Leader::with(|_| {}, GroupSettings::default());
    leader.done(Command::DeleteGroup { destination: name("stream"), group: default() });
    let gone = |effects: &[Effect]| match effects {
        [Effect::GroupGone { destination, group, error }] => {
            (destination.to_string(), group.to_string(), error.code)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(gone(&leader.effects), ("stream".into(), "default".into(), ErrorCode::UnknownGroup));
    leader.done(Command::DeleteDestination { destination: name("queue") });
    assert_eq!(gone(&leader.effects), ("queue".into(), "default".into(), ErrorCode::UnknownDestination));
}

#[test]
fn destinations_are_listed_by_prefix_and_page() {
    let mut leader = Leader::new(ShardLimits::default());
    for destination in ["a", "b.1", "b.2", "b.3", "c"] {
        let settings = DestinationSettings::queue();
        leader.done(create(name(destination), settings));
    }
    let list = |prefix: &str, after: Option<&str>, limit| {
        let page = leader.shard.list(0, prefix, after.map(name).as_ref(), limit);
        page.into_iter().map(|info| info.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("", None, 2), ["a", "b.1"]);
    assert_eq!(list("", Some("b.1"), 9), ["b.2", "b.3", "c"]);
    assert_eq!(list("b.", None, 9), ["b.1", "b.2", "b.3"]);
    assert_eq!(list("b.", Some("b.2"), 9), ["b.3"]);
    assert_eq!(list("b.", Some("a"), 1), ["b.1"]);
    assert!(list("/", None, 9).is_empty() && list("d", None, 9).is_empty());
}

#[test]
fn a_hundred_thousand_idle_queues_ask_for_nothing() {
    let mut leader = Leader::new(ShardLimits::default());
    for nth in 0..100 {
        let mut entry = EntryBuilder::new(leader.now_ms, leader.shard.token_bound());
        for at in 0..1000 {
            let destination = name(&format!("queue-{nth}-{at}"));
            entry.push(&create(destination, DestinationSettings::queue()));
        }
        leader.index += 1;
        let _ = leader.shard.apply(leader.index, entry.finish()).unwrap();
    }
    assert_eq!(leader.shard.next_due(), None);
    let stats = leader.shard.stats(0, 3);
    assert_eq!((stats.destinations, stats.by_destination.len()), (100_000, 3));
}

#[test]
fn many_expiries_at_once_are_bounded_and_lose_no_destination() {
    let mut leader = Leader::new(ShardLimits::default());
    let names: Vec<String> = (0..600).map(|nth| format!("queue-{nth}")).collect();
    for destination in &names {
        let mut settings = DestinationSettings::queue();
        settings.age_max_ms = 100;
        leader.done(create(name(destination), settings));
        leader.put(destination, &[Message::new("x")]);
    }
    leader.now_ms = 20_000;
    assert_eq!(leader.do_due(), 3, "a tick names at most 256");
    assert_eq!(leader.shard.stats(0, 0).total.dropped, 600);
    let left: BTreeSet<_> = leader.shard.held().collect();
    assert!(left.is_empty());
}

#[test]
fn a_stored_message_takes_forty_bytes() {
    assert_eq!(size_of::<crate::log::Stored>(), 40);
}
