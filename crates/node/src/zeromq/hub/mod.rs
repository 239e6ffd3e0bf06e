//! Endpoints whose peers talk to each other: an exchange, and the sessions around it.
//!
//! ```text
//!   session ──message──▶ hub: lock ──▶ exchange ──send──▶ outbox of another peer ──wake──▶ its session
//! ```
//!
//! A session calls the exchange itself, under the hub's lock, and puts what comes of it into the outboxes of others
//! before it lets go: messages to one peer keep the order in which the exchange made them, and there is no task between
//! the sender's and the receiver's. The hub's own task only looks at the clock.

mod member;
mod outbox;
mod start;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmmq_broker::exchange::{
    Drop as DropReason, Exchange, Frames, PeerId, PeerInfo, Peers, Room, Side, Verb,
};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

pub(super) use member::Member;
use outbox::Outbox;
pub(super) use start::exchange;

use super::drops::{Drops, Reason};
use super::wakeup::Wakeup;
use crate::security::Principal;

/// Peers that wait to be read whose turn is looked at after one call; the rest is left to the hub's task.
const HELD_EXAMINED: usize = 32;

/// An endpoint's exchange and its peers.
pub(super) struct Hub {
    state: Mutex<State>,
    began: Instant,
    /// The time of the next tick has changed, or held peers are to be looked at.
    changed: Notify,
}

struct State {
    exchange: Box<dyn Exchange>,
    peers: Connected,
    /// Peers whose messages were refused for now, in the order in which they wait.
    held: VecDeque<PeerId>,
    next_peer: u64,
    /// What the hub's task waits for.
    due: Option<u64>,
}

/// The peers as the exchange sees them.
struct Connected {
    endpoint: Arc<str>,
    peers: HashMap<PeerId, Peer>,
    drops: Drops,
    /// Sessions to be woken when the lock is free.
    wake: Vec<Arc<Wakeup>>,
}

struct Peer {
    outbox: Arc<Outbox>,
    principal: Principal,
}

impl Connected {
    fn wake(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get(&peer) {
            self.wake.push(peer.outbox.wakeup().clone());
        }
    }
}

impl Peers for Connected {
    fn send(&mut self, peer: PeerId, frames: Frames) {
        let Some(Peer { outbox, .. }) = self.peers.get(&peer) else { return };
        if outbox.push(frames) {
            self.wake(peer);
        }
    }

    fn room(&self, peer: PeerId) -> Room {
        let none = Room { messages: 0, bytes: 0 };
        self.peers.get(&peer).map_or(none, |peer| peer.outbox.room())
    }

    fn await_room(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.outbox.mark_full();
        }
    }

    fn may(&self, peer: PeerId, verb: Verb, name: &[u8]) -> bool {
        let name = if name.is_empty() && !matches!(verb, Verb::Publish | Verb::Subscribe) {
            self.endpoint.as_bytes()
        } else {
            name
        };
        self.peers.get(&peer).is_some_and(|peer| peer.principal.may_in_flight(verb, name))
    }

    fn dropped(&mut self, _peer: PeerId, reason: DropReason) {
        self.drops.count(reason.into());
    }

    fn disconnect(&mut self, peer: PeerId, explanation: &str) {
        let Some(Peer { outbox, .. }) = self.peers.get(&peer) else { return };
        if outbox.close(explanation) {
            self.wake(peer);
        }
    }
}

impl From<DropReason> for Reason {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Malformed => Self::Malformed,
            DropReason::QueueFull => Self::QueueFull,
            DropReason::Expired => Self::Expired,
            DropReason::Unwanted => Self::Unwanted,
            DropReason::Forbidden => Self::Forbidden,
            DropReason::Unexpected => Self::Unexpected,
            DropReason::LimitReached => Self::LimitReached,
            DropReason::WorkerLost => Self::WorkerLost,
            // There may be reasons that this version of the node does not tell apart.
            _ => Self::Unroutable,
        }
    }
}

/// Calls into the exchange, with the lock held.
struct Turn<'a> {
    state: &'a mut State,
    now_ms: u64,
}

impl Turn<'_> {
    fn exchange(&mut self, call: impl FnOnce(&mut dyn Exchange, u64, &mut dyn Peers)) {
        call(self.state.exchange.as_mut(), self.now_ms, &mut self.state.peers);
    }
}

impl Hub {
    pub(super) fn new(endpoint: &str, exchange: Box<dyn Exchange>, drops: Drops) -> Self {
        let peers = Connected { endpoint: endpoint.into(), peers: HashMap::new(), drops, wake: Vec::new() };
        let state = State { exchange, peers, held: VecDeque::new(), next_peer: 1, due: None };
        Self { state: Mutex::new(state), began: Instant::now(), changed: Notify::new() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the exchange, and then what follows from it.
    fn turn<T>(&self, call: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        let mut state = self.lock();
        let result = call(&mut Turn { state: &mut state, now_ms: self.now_ms() });
        let left = release_held(&mut state, HELD_EXAMINED);
        let due = state.exchange.next_due();
        let is_sooner = due.is_some_and(|due| state.due.is_none_or(|waited| due < waited));
        if is_sooner {
            state.due = due;
        }
        let wake = std::mem::take(&mut state.peers.wake);
        drop(state);
        if is_sooner || left {
            self.changed.notify_one();
        }
        wake.iter().for_each(|wakeup| wakeup.wake());
        // Most calls wake somebody: the list is used again.
        self.give_back(wake);
        result
    }

    fn give_back(&self, mut wake: Vec<Arc<Wakeup>>) {
        wake.clear();
        if let Ok(mut state) = self.state.try_lock()
            && state.peers.wake.capacity() < wake.capacity()
            && state.peers.wake.is_empty()
        {
            state.peers.wake = wake;
        }
    }

    /// A peer has connected: its id, and where messages to it wait.
    fn attach(
        &self,
        side: Side,
        socket_type: &'static str,
        routing_id: bytes::Bytes,
        principal: Principal,
        outbox: Arc<Outbox>,
    ) -> PeerId {
        self.turn(|turn| {
            let id = PeerId(turn.state.next_peer);
            turn.state.next_peer += 1;
            let info = PeerInfo { side, socket_type, routing_id, user: principal.name().into() };
            turn.state.peers.peers.insert(id, Peer { outbox, principal });
            turn.exchange(|exchange, now_ms, peers| exchange.attach(now_ms, id, &info, peers));
            id
        })
    }

    fn detach(&self, peer: PeerId) {
        self.turn(|turn| {
            turn.state.peers.peers.remove(&peer);
            turn.state.held.retain(|held| *held != peer);
            turn.exchange(|exchange, now_ms, peers| exchange.detach(now_ms, peer, peers));
        });
    }

    /// Hands a message over. It comes back if the exchange takes none of this peer now; the peer's outbox then says when
    /// it does.
    fn handle(&self, peer: PeerId, outbox: &Outbox, frames: Frames) -> Result<(), Frames> {
        self.turn(|turn| {
            if !turn.state.exchange.accepts(peer, &turn.state.peers) {
                outbox.set_accepts(false);
                turn.state.held.push_back(peer);
                return Err(frames);
            }
            turn.exchange(|exchange, now_ms, peers| exchange.handle(now_ms, peer, frames, peers));
            Ok(())
        })
    }

    /// The queue of a peer was full and has room again.
    fn drained(&self, peer: PeerId) {
        self.turn(|turn| {
            turn.exchange(|exchange, now_ms, peers| exchange.drained(now_ms, peer, peers));
        });
    }

    /// Calls the exchange when its time has come, for as long as the endpoint lives.
    pub(super) async fn keep_time(&self) {
        loop {
            let due = self.lock().due;
            let at = due.map(|due| self.began + Duration::from_millis(due));
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(at.unwrap_or(self.began)), if at.is_some() => {}
            }
            let now_ms = self.now_ms();
            self.turn(|turn| {
                if turn.state.exchange.next_due().is_some_and(|due| due <= now_ms) {
                    turn.now_ms = now_ms;
                    turn.exchange(|exchange, now_ms, peers| exchange.tick(now_ms, peers));
                }
                release_held(turn.state, usize::MAX);
                turn.state.due = turn.state.exchange.next_due();
            });
        }
    }
}

/// Lets peers be read again whose messages the exchange now takes. True if some were not looked at.
fn release_held(state: &mut State, examined_max: usize) -> bool {
    let examined = state.held.len().min(examined_max);
    for _ in 0..examined {
        let Some(peer) = state.held.pop_front() else { break };
        if state.exchange.accepts(peer, &state.peers) {
            if let Some(found) = state.peers.peers.get(&peer) {
                found.outbox.set_accepts(true);
                state.peers.wake(peer);
            }
        } else {
            state.held.push_back(peer);
        }
    }
    state.held.len() > examined
}
