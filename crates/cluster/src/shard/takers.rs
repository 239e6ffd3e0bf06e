//! Who waits for messages of a shard: subscriptions with credit, and pulls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use swarmmq_protocol::response::Response;
use swarmmq_protocol::{DestinationName, ErrorReply, GroupName};
use tokio::time::Instant;

use super::proposal::Waiting;
use super::window::{Freed, SessionWindow, Window};
use crate::peer::Peer;

/// Which group of which destination.
pub(crate) type Key = (DestinationName, GroupName);

/// A subscription.
pub(crate) struct Subscription {
    pub(crate) peer: Arc<dyn Peer>,
    /// The id the session knows it by.
    pub(crate) id: u64,
    /// The id its leases are under.
    pub(crate) consumer: u64,
    pub(crate) key: Key,
    pub(crate) lease_ms: u64,
    credit: AtomicU32,
    window: Window,
    ended: AtomicBool,
}

impl Subscription {
    pub(crate) fn new(
        peer: Arc<dyn Peer>,
        id: u64,
        consumer: u64,
        key: Key,
        lease_ms: u64,
        credit: u32,
        session: Arc<SessionWindow>,
    ) -> Self {
        Self {
            peer,
            id,
            consumer,
            key,
            lease_ms,
            credit: AtomicU32::new(credit),
            window: Window::new(session),
            ended: AtomicBool::new(false),
        }
    }

    /// How many messages it may be sent now.
    pub(crate) fn room(&self) -> u32 {
        if self.ended.load(Ordering::Acquire) || self.window.is_full() {
            return 0;
        }
        self.credit.load(Ordering::Acquire)
    }

    /// Gives it more credit, at most 2³² − 1 in all.
    pub(crate) fn add_credit(&self, messages: u32) {
        let _was = self.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, |credit| {
            Some(credit.saturating_add(messages))
        });
    }

    /// Takes note of messages that are on their way. Only the dispatcher takes credit, so there is enough.
    pub(crate) fn sent(&self, messages: u32, bytes: usize) {
        let _was = self.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, |credit| {
            Some(credit.saturating_sub(messages))
        });
        self.window.add(bytes);
    }

    /// Takes note of bytes that have left the session's queue. Says for whom that made room.
    pub(crate) fn written(&self, bytes: usize) -> Freed {
        self.window.remove(bytes)
    }

    /// Ends it. Says whether it was not ended before.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// A pull that waits.
pub(crate) struct PullWaiter {
    pub(crate) waiting: Waiting,
    /// The id of the attachment, so that a session that goes takes its pulls with it.
    pub(crate) attachment: u64,
    pub(crate) consumer: u64,
    pub(crate) messages_max: u32,
    pub(crate) lease_ms: u64,
    pub(crate) deadline: Instant,
}

/// Those who wait for one group.
#[derive(Default)]
struct Line {
    subscriptions: VecDeque<Arc<Subscription>>,
    pulls: VecDeque<PullWaiter>,
}

/// The next to be served.
pub(crate) enum Taker {
    Subscription(Arc<Subscription>),
    Pull(PullWaiter),
}

/// All who wait, and for which groups it is worth looking.
#[derive(Default)]
pub(crate) struct Takers {
    lines: BTreeMap<Key, Line>,
    /// Groups worth looking at, each once, in the order they became so: none waits behind a busy one.
    round: VecDeque<Key>,
    in_round: BTreeSet<Key>,
    pulls: usize,
}

impl Takers {
    pub(crate) fn subscribe(&mut self, subscription: Arc<Subscription>) {
        let key = subscription.key.clone();
        self.lines.entry(key.clone()).or_default().subscriptions.push_back(subscription);
        self.mark(key);
    }

    pub(crate) fn pull(&mut self, key: Key, pull: PullWaiter) {
        self.lines.entry(key.clone()).or_default().pulls.push_back(pull);
        self.pulls += 1;
        self.mark(key);
    }

    /// Puts a pull that found nothing back to the front of its line.
    pub(crate) fn pull_again(&mut self, key: Key, pull: PullWaiter) {
        self.lines.entry(key).or_default().pulls.push_front(pull);
        self.pulls += 1;
    }

    /// How many pulls wait.
    pub(crate) fn pulls(&self) -> usize {
        self.pulls
    }

    /// How many subscriptions a group has.
    pub(crate) fn consumers(&self, key: &Key) -> u64 {
        self.lines.get(key).map_or(0, |line| (line.subscriptions.len() + line.pulls.len()) as u64)
    }

    /// Says that a group may have messages to give. Says whether anybody waits for them.
    pub(crate) fn mark(&mut self, key: Key) -> bool {
        let waited_for = self.lines.contains_key(&key);
        if waited_for && self.in_round.insert(key.clone()) {
            self.round.push_back(key);
        }
        waited_for
    }

    /// Says that any group may have messages to give.
    pub(crate) fn mark_all(&mut self) {
        let keys: Vec<Key> = self.lines.keys().cloned().collect();
        for key in keys {
            self.mark(key);
        }
    }

    /// The next group worth looking at.
    pub(crate) fn next_key(&mut self) -> Option<Key> {
        let key = self.round.pop_front()?;
        self.in_round.remove(&key);
        Some(key)
    }

    /// The next in a group's line who can take messages, pulls first; a subscription moves to the end.
    pub(crate) fn next_taker(&mut self, key: &Key) -> Option<Taker> {
        let line = self.lines.get_mut(key)?;
        if let Some(pull) = line.pulls.pop_front() {
            self.pulls -= 1;
            self.tidy(key);
            return Some(Taker::Pull(pull));
        }
        for _ in 0..line.subscriptions.len() {
            let subscription = line.subscriptions.pop_front()?;
            line.subscriptions.push_back(subscription.clone());
            if subscription.room() > 0 {
                return Some(Taker::Subscription(subscription));
            }
        }
        None
    }

    fn tidy(&mut self, key: &Key) {
        if self.lines.get(key).is_some_and(|line| line.subscriptions.is_empty() && line.pulls.is_empty()) {
            self.lines.remove(key);
        }
    }

    /// Takes a subscription out of its line.
    pub(crate) fn unsubscribe(&mut self, subscription: &Subscription) {
        if let Some(line) = self.lines.get_mut(&subscription.key) {
            line.subscriptions.retain(|other| other.consumer != subscription.consumer);
            self.tidy(&subscription.key);
        }
    }

    /// Takes the pulls of a session that has gone out of their lines. Nobody is answered.
    pub(crate) fn forget_pulls(&mut self, attachment: u64) {
        self.take_pulls(|pull| pull.attachment == attachment);
    }

    /// Answers the pulls whose wait is over with no messages.
    pub(crate) fn expire_pulls(&mut self, now: Instant) {
        for pull in self.take_pulls(|pull| pull.deadline <= now) {
            pull.waiting.answer(Response::Messages(Vec::new()));
        }
    }

    fn take_pulls(&mut self, mut which: impl FnMut(&PullWaiter) -> bool) -> Vec<PullWaiter> {
        if self.pulls == 0 {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let keys: Vec<Key> = self
            .lines
            .iter()
            .filter(|(_, line)| !line.pulls.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            if let Some(line) = self.lines.get_mut(&key) {
                for pull in std::mem::take(&mut line.pulls) {
                    if which(&pull) {
                        self.pulls -= 1;
                        taken.push(pull);
                    } else {
                        line.pulls.push_back(pull);
                    }
                }
            }
            self.tidy(&key);
        }
        taken
    }

    /// When the first wait of a pull is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.pulls == 0 {
            return None;
        }
        self.lines.values().flat_map(|line| &line.pulls).map(|pull| pull.deadline).min()
    }

    /// Tells everybody who waits for a group why there will be nothing, and takes them out.
    pub(crate) fn dismiss(&mut self, key: &Key, error: &ErrorReply) {
        let Some(line) = self.lines.remove(key) else { return };
        self.pulls -= line.pulls.len();
        for pull in line.pulls {
            pull.waiting.answer(error.clone().into());
        }
        for subscription in line.subscriptions {
            if subscription.end() {
                subscription.peer.ended(subscription.id, error.clone());
            }
        }
    }

    /// As [`Self::dismiss`], for every group.
    pub(crate) fn dismiss_all(&mut self, error: &ErrorReply) {
        let keys: Vec<Key> = self.lines.keys().cloned().collect();
        for key in keys {
            self.dismiss(&key, error);
        }
    }
}
