//! A leader and a follower of a shard that apply the same entries, and what must hold of them.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_broker::{Applied, Command, Effect, EntryBuilder, LeaseRequest, Shard, entry};
use swarmmq_protocol::request::{Settle, Verdict};
use swarmmq_protocol::{DestinationName, GroupName, Receipt};

use crate::input::Input;

/// Steps of one program.
const STEPS_MAX: usize = 48;

/// Two replicas, and the leader's hands.
#[derive(Debug)]
pub struct Replicas {
    leader: Shard,
    follower: Shard,
    held: BTreeSet<u64>,
    term: u64,
    now_ms: u64,
    receipts: Vec<(DestinationName, GroupName, Receipt)>,
}

impl Replicas {
    /// Replicas whose state is that of `shard`.
    #[must_use]
    pub fn new(shard: &Shard) -> Self {
        let now_ms = shard.now_ms();
        let held = shard.held().collect();
        let mut new =
            Self { leader: copy(shard), follower: copy(shard), held, term: 0, now_ms, receipts: Vec::new() };
        new.lead();
        new
    }

    fn lead(&mut self) {
        self.term += 1;
        self.leader.reset_volatile(self.term << 8);
        self.receipts.clear();
    }

    /// Runs a program: entries of any bytes, and what a leader does between them.
    pub fn run(&mut self, input: &mut Input<'_>) {
        for _ in 0..STEPS_MAX {
            if input.is_empty() {
                break;
            }
            self.step(input);
        }
        self.check();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 8 {
            0..=2 => {
                let mut bytes = BytesMut::new();
                bytes.put_u8(entry::ENTRY_VERSION);
                bytes.put_u64(self.now_ms);
                bytes.put_u64(self.leader.token_bound());
                bytes.put_slice(input.long());
                self.apply(bytes.freeze());
            }
            3 => self.apply(Bytes::copy_from_slice(input.long())),
            4 => self.lease(input),
            5 => self.settle(input),
            6 => {
                self.now_ms = self.now_ms.saturating_add(u64::from(input.u16()) << (input.u8() % 16));
                let due = self.leader.due(self.now_ms);
                self.propose(&due.commands);
            }
            _ => match input.u8() % 3 {
                0 => {
                    let commands = self.leader.release_consumer(1);
                    self.propose(&commands);
                }
                1 => {
                    std::mem::swap(&mut self.leader, &mut self.follower);
                    self.lead();
                }
                _ => {
                    self.leader = copy(&self.leader);
                    self.lead();
                }
            },
        }
    }

    fn propose(&mut self, commands: &[Command]) {
        let mut entry = EntryBuilder::new(self.now_ms, self.leader.token_bound());
        commands.iter().for_each(|command| entry.push(command));
        self.apply(entry.finish());
    }

    /// Applies an entry of any bytes to both, and checks that it is an error or does the same to both.
    fn apply(&mut self, bytes: Bytes) {
        if let Ok(read) = entry::decode(bytes.clone()) {
            let mut again = EntryBuilder::new(read.now_ms, read.token_bound);
            read.commands.iter().for_each(|placed| again.push(&placed.command));
            assert_eq!(again.finish(), bytes, "one entry has one encoding");
        }
        let Some(index) = self.leader.applied().checked_add(1) else { return };
        let led = self.leader.apply(index, bytes.clone());
        let followed = self.follower.apply(index, bytes);
        match (led, followed) {
            (Ok(led), Ok(followed)) => {
                assert_eq!(led.outcomes, followed.outcomes, "every replica says the same");
                self.perform(&led);
            }
            (led, followed) => assert_eq!(led, followed, "every replica refuses the same"),
        }
        self.now_ms = self.now_ms.max(self.leader.now_ms());
    }

    fn perform(&mut self, applied: &Applied) {
        for effect in &applied.effects {
            match effect {
                Effect::Hold { index } => assert!(self.held.insert(*index), "{index} was held already"),
                Effect::Release { index } => assert!(self.held.remove(index), "{index} was not held"),
                _ => {}
            }
        }
        assert!(self.leader.held().eq(self.held.iter().copied()), "effects say what is held");
    }

    fn lease(&mut self, input: &mut Input<'_>) {
        let infos = self.leader.list(self.now_ms, "", None, 20);
        let Some(info) = infos.get(usize::from(input.u8()) % infos.len().max(1)) else { return };
        let Some(group) = info.groups.get(usize::from(input.u8()) % info.groups.len().max(1)) else { return };
        let request = LeaseRequest {
            destination: info.name.clone(),
            group: group.name.clone(),
            consumer: u64::from(input.u8() % 2),
            messages_max: usize::from(input.u8() % 16),
            bytes_max: 1 << 20,
            lease_ms: u64::from(input.u8()),
        };
        if let Ok(leases) = self.leader.lease(self.now_ms, &request) {
            let receipts = leases.leased.iter().map(|leased| leased.receipt);
            self.receipts.extend(
                receipts.map(|receipt| (request.destination.clone(), request.group.clone(), receipt)),
            );
        }
    }

    fn settle(&mut self, input: &mut Input<'_>) {
        let verdict = match input.u8() % 4 {
            0 => Verdict::Ack,
            1 => Verdict::Nack { delay_ms: u64::from(input.u8()) },
            2 => Verdict::Reject { reason: "no".into() },
            _ => Verdict::Extend { lease_ms: u32::from(input.u8()).into() },
        };
        if self.receipts.is_empty() {
            return;
        }
        let nth = usize::from(input.u8()) % self.receipts.len();
        let (destination, group, receipt) = self.receipts.swap_remove(nth);
        let settle = Settle { destination, group, verdict, receipts: vec![receipt, receipt] };
        if let Ok(plan) = self.leader.settle(self.now_ms, &settle)
            && let Some(command) = &plan.command
        {
            self.propose(std::slice::from_ref(command));
        }
    }

    /// Both have the same state, and a snapshot of it is the whole of it.
    fn check(&mut self) {
        let snapshot = self.leader.snapshot();
        assert!(snapshot == self.follower.snapshot(), "the same entries give the same state");
        // Without leases, which no snapshot holds, both must look the same from outside.
        self.leader.reset_volatile(0);
        let restored = copy(&self.leader);
        let list = |shard: &Shard| shard.list(self.now_ms, "", None, 100);
        assert_eq!(list(&restored), list(&self.leader), "a snapshot tells the whole state");
        assert_eq!(restored.stats(self.now_ms, 100), self.leader.stats(self.now_ms, 100));
        assert!(restored.held().eq(self.held.iter().copied()), "a snapshot tells what is held");
        assert_eq!(restored.outbox(10), self.leader.outbox(10));
        assert_eq!(restored.next_due(), self.leader.next_due());
    }
}

/// The shard that a snapshot of `shard` restores to.
///
/// # Panics
/// When that is another one: that is what is looked for.
#[must_use]
pub fn copy(shard: &Shard) -> Shard {
    let snapshot = shard.snapshot();
    let restored = match Shard::restore(&snapshot) {
        Ok(restored) => restored,
        Err(error) => panic!("a snapshot cannot be restored: {error}"),
    };
    assert!(restored.snapshot() == snapshot, "a shard is restored to an equal one");
    restored
}
