//! The requests that clients may repeat: those at work, and the replies that are kept.
//!
//! ```text
//!   ask ──the first──▶ at work ──reply──▶ answered ──too old, or no room──▶ forgotten
//!                         └──────────────dropped────────────────────────────▶ ┘
//!   ask again: whoever asks last has the reply, now or when it is there
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::RequestId;

use super::dialect::Back;
use super::limits::RepeatLimits;
use crate::exchange::pool::weigh;
use crate::exchange::{Frames, PeerId, own};

/// What a kept reply is counted for besides its frames and names: about what it costs in the maps that hold it.
pub(super) const KEPT_BYTES: usize = 512;

/// What makes two requests one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) id: RequestId,
    pub(super) service: Bytes,
    pub(super) user: Arc<str>,
}

/// Who asked, and what the reply needs.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) back: Back,
}

/// Whether a request is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It was not: it is to be worked on.
    First,
    /// It is at work, or has a reply.
    Before(Arc<Name>),
}

#[derive(Debug)]
enum State {
    AtWork,
    Answered { reply: Frames, bytes: usize },
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// Whoever asked last and has no reply yet. While the request is at work it may be gone.
    asker: Option<Asker>,
}

/// A connected peer.
#[derive(Debug)]
struct Client {
    user: Arc<str>,
    /// What it was the last to ask, and has no reply to.
    asked: BTreeSet<Arc<Name>>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Repeats {
    limits: RepeatLimits,
    entries: BTreeMap<Arc<Name>, Entry>,
    /// What is at work, by the client inside that asks the pool.
    jobs: BTreeMap<PeerId, Arc<Name>>,
    /// Kept replies, oldest first, and until when.
    kept: VecDeque<(u64, Arc<Name>)>,
    /// The memory of kept replies.
    bytes: usize,
    clients: BTreeMap<PeerId, Client>,
}

impl Repeats {
    pub(super) fn new(limits: RepeatLimits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            jobs: BTreeMap::new(),
            kept: VecDeque::new(),
            bytes: 0,
            clients: BTreeMap::new(),
        }
    }

    /// A peer is there.
    pub(super) fn attach(&mut self, peer: PeerId, user: Arc<str>) {
        self.clients.insert(peer, Client { user, asked: BTreeSet::new() });
    }

    /// A peer is gone. What it asked goes on.
    pub(super) fn detach(&mut self, peer: PeerId) {
        let asked = self.clients.remove(&peer).map(|client| client.asked).unwrap_or_default();
        for name in asked {
            if let Some(entry) = self.entries.get_mut(&name)
                && matches!(entry.state, State::Answered { .. })
            {
                entry.asker = None;
            }
        }
    }

    /// The user of a connected peer.
    pub(super) fn user(&self, peer: PeerId) -> Option<Arc<str>> {
        self.clients.get(&peer).map(|client| client.user.clone())
    }

    /// How many replies a peer waits for.
    pub(super) fn waiting_of(&self, peer: PeerId) -> usize {
        self.clients.get(&peer).map_or(0, |client| client.asked.len())
    }

    /// Replies that are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Somebody asks, and waits for the reply instead of whoever asked before. If it is the first, `job` is to ask the
    /// pool for it.
    pub(super) fn ask(&mut self, name: Arc<Name>, asker: Asker, job: PeerId) -> Asked {
        let peer = asker.peer;
        let asked = if let Some(entry) = self.entries.get_mut(&name) {
            let before = entry.asker.replace(asker);
            self.let_go(before.as_ref(), &name);
            Asked::Before(name.clone())
        } else {
            self.jobs.insert(job, name.clone());
            self.entries.insert(name.clone(), Entry { state: State::AtWork, asker: Some(asker) });
            Asked::First
        };
        if let Some(client) = self.clients.get_mut(&peer) {
            client.asked.insert(name);
        }
        asked
    }

    /// Whether a client inside asks the pool for one of these.
    pub(super) fn is_job(&self, job: PeerId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// A request at work has its reply, which is kept until [`shrink`](Self::shrink) at least.
    pub(super) fn answer(&mut self, now_ms: u64, job: PeerId, reply: &Frames) -> Option<Arc<Name>> {
        let name = self.jobs.remove(&job)?;
        let entry = self.entries.get_mut(&name)?;
        let bytes = KEPT_BYTES
            .saturating_add(weigh(reply))
            .saturating_add(name.service.len())
            .saturating_add(name.id.as_bytes().len());
        entry.state = State::Answered { reply: own(reply), bytes };
        let clients = &self.clients;
        entry.asker.take_if(|asker| !clients.contains_key(&asker.peer));
        self.bytes = self.bytes.saturating_add(bytes);
        let kept = (now_ms.saturating_add(self.limits.keep_ms), name.clone());
        if bytes > self.limits.bytes_max {
            // It cannot stay, and no other is to make room for it.
            self.kept.push_front(kept);
        } else {
            self.kept.push_back(kept);
        }
        Some(name)
    }

    /// A request at work was dropped, and is forgotten. Returns who asked last, who may be gone.
    pub(super) fn forget(&mut self, job: PeerId) -> Option<PeerId> {
        let name = self.jobs.remove(&job)?;
        let asker = self.entries.remove(&name)?.asker;
        self.let_go(asker.as_ref(), &name);
        asker.map(|asker| asker.peer)
    }

    /// The connected peer to which a kept reply is still to be given.
    pub(super) fn owed(&self, name: &Name) -> Option<PeerId> {
        let entry = self.entries.get(name)?;
        let State::Answered { .. } = entry.state else { return None };
        entry.asker.as_ref().map(|asker| asker.peer)
    }

    /// What is at work for a peer, or owed to it.
    pub(super) fn asked_by(&self, peer: PeerId) -> Vec<Arc<Name>> {
        self.clients.get(&peer).map(|client| client.asked.iter().cloned().collect()).unwrap_or_default()
    }

    /// A kept reply and whom it is owed to; it is owed no longer.
    pub(super) fn take_owed(&mut self, name: &Arc<Name>) -> Option<(Asker, Frames)> {
        let entry = self.entries.get_mut(name)?;
        let State::Answered { reply, .. } = &entry.state else { return None };
        let reply = reply.clone();
        let asker = entry.asker.take()?;
        self.let_go(Some(&asker), name);
        Some((asker, reply))
    }

    /// Forgets the oldest replies until the others are within their limits. Returns to whom they were owed.
    #[must_use]
    pub(super) fn shrink(&mut self) -> Vec<PeerId> {
        let mut owed = Vec::new();
        while self.kept.len() > self.limits.replies_max || self.bytes > self.limits.bytes_max {
            let Some((_, name)) = self.kept.pop_front() else { break };
            owed.extend(self.forget_reply(&name));
        }
        owed
    }

    /// When the oldest reply is forgotten.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.kept.front().map(|(until_ms, _)| *until_ms)
    }

    /// Forgets the replies whose time is over. Returns to whom they were owed.
    #[must_use]
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<PeerId> {
        let mut owed = Vec::new();
        while let Some((_, name)) = self.kept.pop_front_if(|(until_ms, _)| *until_ms <= now_ms) {
            owed.extend(self.forget_reply(&name));
        }
        owed
    }

    fn forget_reply(&mut self, name: &Arc<Name>) -> Option<PeerId> {
        let entry = self.entries.remove(name)?;
        if let State::Answered { bytes, .. } = entry.state {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        self.let_go(entry.asker.as_ref(), name);
        entry.asker.map(|asker| asker.peer)
    }

    /// Somebody does not wait for a reply any more.
    fn let_go(&mut self, asker: Option<&Asker>, name: &Arc<Name>) {
        if let Some(client) = asker.and_then(|asker| self.clients.get_mut(&asker.peer)) {
            client.asked.remove(name);
        }
    }

    /// Requests at work, and kept replies.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.jobs.len(), self.kept.len())
    }

    /// Panics where the parts contradict each other or a limit is passed.
    #[cfg(test)]
    pub(super) fn check(&self, now_ms: u64) {
        let mut answered = 0;
        let mut bytes = 0;
        for (name, entry) in &self.entries {
            if let State::Answered { bytes: of_this, .. } = entry.state {
                answered += 1;
                bytes += of_this;
            }
            if let Some(asker) = &entry.asker {
                let client = self.clients.get(&asker.peer);
                assert!(client.map_or(matches!(entry.state, State::AtWork), |one| one.asked.contains(name)));
            }
        }
        let at_work = self.jobs.values().filter(|name| self.entries.contains_key(*name)).count();
        assert_eq!((at_work, answered), (self.jobs.len(), self.kept.len()));
        assert_eq!(at_work + answered, self.entries.len(), "a request is at work or answered");
        assert_eq!(bytes, self.bytes);
        assert!(self.kept.len() <= self.limits.replies_max && self.bytes <= self.limits.bytes_max);
        assert!(self.kept.iter().is_sorted_by_key(|(until_ms, _)| *until_ms), "the oldest is the first");
        assert!(self.kept.iter().all(|(until_ms, _)| now_ms < *until_ms), "an old reply is kept");
        for (peer, client) in &self.clients {
            for name in &client.asked {
                let asker = self.entries.get(name).and_then(|entry| entry.asker.as_ref());
                assert_eq!(asker.map(|asker| asker.peer), Some(*peer), "who waits asked last");
            }
        }
    }
}
