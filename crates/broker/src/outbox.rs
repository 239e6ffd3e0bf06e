//! Dead letters on their way to other destinations.
//!
//! For each target the shard is a producer session: its id follows from the shard's number and the
//! target's name, its sequences are dense from 1, and a letter keeps its sequence until the target has
//! it. So a letter that is sent twice is stored once. A letter holds its entry of the log until then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use swarmmq_protocol::{DestinationName, GroupName, ProducerId};

use crate::location::Location;
use crate::plan::{DeadLetter, OutboxBatch};

/// Targets without letters that are remembered; further ones begin a new epoch when they are needed
/// again, which the target takes as well.
const IDLE_TARGETS_MAX: usize = 1024;
/// Targets of which letters are handed out at once.
const BATCHES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    targets: BTreeMap<DestinationName, Target>,
    /// The epoch of the next target that is met, so that none is used twice.
    pub(crate) next_epoch: u32,
    letters: u64,
    idle: usize,
}

/// The session with one target. Its letters have the sequences before `next`.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) epoch: u32,
    pub(crate) next: u64,
    pub(crate) letters: VecDeque<Letter>,
}

#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) destination: DestinationName,
    pub(crate) group: GroupName,
    pub(crate) sequence: u64,
    pub(crate) location: Location,
    pub(crate) attempts: u32,
    pub(crate) reason: Arc<str>,
}

impl Target {
    /// Sequence of the oldest letter.
    fn first(&self) -> u64 {
        self.next - self.letters.len() as u64
    }
}

impl Outbox {
    /// Adds a letter behind the others for `target`.
    pub(crate) fn push(&mut self, target: &DestinationName, letter: Letter) {
        let entry = match self.targets.get_mut(target) {
            Some(entry) => {
                if entry.letters.is_empty() {
                    self.idle -= 1;
                }
                entry
            }
            None => {
                let epoch = self.next_epoch;
                self.next_epoch += 1;
                let new = Target { epoch, next: 1, letters: VecDeque::new() };
                self.targets.entry(target.clone()).or_insert(new)
            }
        };
        entry.letters.push_back(letter);
        entry.next += 1;
        self.letters += 1;
    }

    /// All letters up to `through` have arrived but those of `again`. Returns the logged entries they
    /// held; `None` where the session is another one by now.
    pub(crate) fn done(
        &mut self,
        target: &DestinationName,
        epoch: u32,
        through: u64,
        again: &[u64],
    ) -> Vec<Location> {
        let mut arrived = Vec::new();
        let Some(entry) = self.targets.get_mut(target).filter(|entry| entry.epoch == epoch) else {
            return arrived;
        };
        let had = !entry.letters.is_empty();
        let mut refused = Vec::new();
        let end = through.saturating_add(1).min(entry.next);
        for sequence in entry.first()..end {
            let Some(letter) = entry.letters.pop_front() else { break };
            if again.contains(&sequence) {
                refused.push(letter);
            } else {
                arrived.push(letter.location);
            }
        }
        entry.next += refused.len() as u64;
        entry.letters.extend(refused);
        self.letters -= arrived.len() as u64;
        if had && entry.letters.is_empty() {
            self.idle += 1;
            self.drop_idle();
        }
        arrived
    }

    /// Begins a new epoch with `target`: the letters are numbered from 1 again.
    pub(crate) fn restart(&mut self, target: &DestinationName, epoch: u32) {
        let next_epoch = self.next_epoch;
        if let Some(entry) = self.targets.get_mut(target).filter(|entry| entry.epoch == epoch) {
            entry.epoch = next_epoch;
            entry.next = 1 + entry.letters.len() as u64;
            self.next_epoch += 1;
        }
    }

    fn drop_idle(&mut self) {
        if self.idle <= IDLE_TARGETS_MAX {
            return;
        }
        self.targets.retain(|_, target| !target.letters.is_empty());
        self.idle = 0;
    }

    /// How many letters there are.
    pub(crate) fn len(&self) -> u64 {
        self.letters
    }

    /// The oldest letters of each target, at most `each_max`.
    pub(crate) fn batches(&self, shard: u32, each_max: usize) -> Vec<OutboxBatch> {
        let waiting = self.targets.iter().filter(|(_, target)| !target.letters.is_empty());
        waiting
            .take(BATCHES_MAX)
            .map(|(name, target)| OutboxBatch {
                target: name.clone(),
                producer: producer(shard, name),
                epoch: target.epoch,
                letters: (target.first()..)
                    .zip(target.letters.iter().take(each_max))
                    .map(|(outbox_sequence, letter)| DeadLetter {
                        outbox_sequence,
                        destination: letter.destination.clone(),
                        group: letter.group.clone(),
                        sequence: letter.sequence,
                        location: letter.location,
                        attempts: letter.attempts,
                        reason: letter.reason.to_string(),
                    })
                    .collect(),
            })
            .collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DestinationName, &Target)> + '_ {
        self.targets.iter()
    }

    pub(crate) fn has(&self, target: &DestinationName) -> bool {
        self.targets.contains_key(target)
    }

    pub(crate) fn insert(&mut self, name: DestinationName, target: Target) {
        self.letters += target.letters.len() as u64;
        self.idle += usize::from(target.letters.is_empty());
        self.targets.insert(name, target);
    }
}

/// The producer session of a shard with a target: FNV-1a of both, 128 bits.
fn producer(shard: u32, target: &DestinationName) -> ProducerId {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = format!("outbox/{shard}/{target}");
    ProducerId(text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(sequence: u64) -> Letter {
        Letter {
            destination: DestinationName::new("orders").unwrap(),
            group: GroupName::default_group(),
            sequence,
            location: Location { index: sequence, offset: 0, length: 20 },
            attempts: 3,
            reason: Arc::from("delivered 3 times"),
        }
    }

    fn sequences(outbox: &Outbox) -> Vec<(u64, u64)> {
        let batches = outbox.batches(4, 10);
        batches.iter().flat_map(|b| b.letters.iter().map(|l| (l.outbox_sequence, l.sequence))).collect()
    }

    #[test]
    fn a_letter_keeps_its_sequence_until_it_has_arrived() {
        let target = DestinationName::new("dead").unwrap();
        let mut outbox = Outbox::default();
        for sequence in 1..=4 {
            outbox.push(&target, letter(sequence));
        }
        assert_eq!(outbox.done(&target, 0, 2, &[1]).len(), 1, "1 was refused for now, 2 has arrived");
        assert_eq!(sequences(&outbox), [(3, 3), (4, 4), (5, 1)]);
        assert!(outbox.done(&target, 0, 2, &[1]).is_empty(), "said twice");
        assert!(outbox.done(&target, 9, 5, &[]).is_empty(), "another epoch");
        outbox.restart(&target, 0);
        assert_eq!(sequences(&outbox), [(1, 3), (2, 4), (3, 1)]);
        assert_eq!(outbox.batches(4, 10)[0].epoch, 1);
        assert_eq!(outbox.done(&target, 1, u64::MAX, &[]).len(), 3);
        assert_eq!(outbox.len(), 0);
        outbox.push(&target, letter(9));
        assert_eq!(sequences(&outbox), [(4, 9)]);
    }

    #[test]
    fn the_session_of_a_shard_with_a_target_never_changes() {
        let id = |shard, target| producer(shard, &DestinationName::new(target).unwrap());
        assert_eq!(id(4, "dead").to_string(), "0c3be523a00594fed60c58a0445ae3da");
        assert_ne!(id(4, "dead"), id(5, "dead"));
        assert_ne!(id(4, "dead"), id(4, "dead2"));
    }
}
