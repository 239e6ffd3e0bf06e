//! The exchange of an endpoint behind a lock, and what follows from each call into it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use bytes::Bytes;
use swarmmq_broker::exchange::{
    Exchange, Figure, Frames, Intake, PeerId, PeerInfo, Peers, Side, StorageEvent, StorageRequest,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::outbox::Outbox;
use super::peers::{Connected, Peer};
use crate::security::Principal;
use crate::zeromq::drops::Drops;
use crate::zeromq::wakeup::Wakeup;

/// Peers that wait to be read whose turn is looked at after one call; the rest is left to the hub's task.
const HELD_EXAMINED: usize = 32;

/// An endpoint's exchange and its peers.
pub(in crate::zeromq) struct Hub {
    state: Mutex<State>,
    began: Instant,
    /// The time of the next tick has changed, or held peers are to be looked at.
    changed: Notify,
    /// The exchange wants something of its queue.
    wants_storage: Wakeup,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
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

/// How far handing messages over came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::zeromq) enum Handled {
    /// The exchange has all of them.
    All,
    /// The queue of some peer has become crowded: who empties it comes first.
    Crowded,
    /// The exchange has none: it is another session's turn.
    Busy,
    /// The exchange takes none of this peer now. The peer's outbox says when it does.
    Held,
}

impl Hub {
    pub(in crate::zeromq) fn new(endpoint: &str, exchange: Box<dyn Exchange>, drops: Drops) -> Self {
        let peers = Connected::new(endpoint, drops);
        let state = State { exchange, peers, held: VecDeque::new(), next_peer: 1, due: None };
        Self {
            state: Mutex::new(state),
            began: Instant::now(),
            changed: Notify::new(),
            wants_storage: Wakeup::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the exchange, and then what follows from it.
    fn turn<T>(&self, call: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        let (result, left) = self.turn_and_release(HELD_EXAMINED, call);
        if left {
            self.changed.notify_one();
        }
        result
    }

    /// A turn, and a look at so many of the peers that are held. Says whether some were not looked at.
    fn turn_and_release<T>(&self, examined_max: usize, call: impl FnOnce(&mut Turn<'_>) -> T) -> (T, bool) {
        self.turn_with(self.lock(), examined_max, call)
    }

    fn turn_with<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        examined_max: usize,
        call: impl FnOnce(&mut Turn<'_>) -> T,
    ) -> (T, bool) {
        let result = call(&mut Turn { state: &mut state, now_ms: self.now_ms() });
        state.peers.flush();
        let left = release_held(&mut state, examined_max);
        let due = state.exchange.next_due();
        let is_sooner = due.is_some_and(|due| state.due.is_none_or(|waited| due < waited));
        if is_sooner {
            state.due = due;
        }
        let wake = std::mem::take(&mut state.peers.wake);
        let wants_storage = state.exchange.wants_storage();
        drop(state);
        if wants_storage {
            self.wants_storage.wake();
        }
        if is_sooner {
            self.changed.notify_one();
        }
        wake.iter().for_each(|wakeup| wakeup.wake());
        // Most calls wake somebody: the list is used again.
        self.give_back(wake);
        (result, left)
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
    pub(in crate::zeromq) fn attach(
        &self,
        side: Side,
        socket_type: &'static str,
        routing_id: Bytes,
        principal: Principal,
        outbox: Arc<Outbox>,
    ) -> PeerId {
        self.turn(|turn| {
            let id = PeerId(turn.state.next_peer);
            turn.state.next_peer += 1;
            let info = PeerInfo { side, socket_type, routing_id, user: principal.name().into() };
            turn.state.peers.peers.insert(id, Peer::new(outbox, principal));
            turn.exchange(|exchange, now_ms, peers| exchange.attach(now_ms, id, &info, peers));
            id
        })
    }

    /// A peer may do something else than before.
    pub(super) fn set_rights(&self, peer: PeerId, principal: Principal) {
        self.turn(|turn| {
            if let Some(peer) = turn.state.peers.peers.get_mut(&peer) {
                peer.principal = principal;
            }
            turn.exchange(|exchange, now_ms, peers| exchange.rights_changed(now_ms, peer, peers));
        });
    }

    pub(in crate::zeromq) fn detach(&self, peer: PeerId) {
        self.turn(|turn| {
            turn.state.peers.peers.remove(&peer);
            turn.state.held.retain(|held| *held != peer);
            turn.exchange(|exchange, now_ms, peers| exchange.detach(now_ms, peer, peers));
        });
    }

    /// Hands messages over, in one turn: those that stay in `inbox` are not taken now. With `waits` false nothing is
    /// handed over while another session has its turn.
    pub(in crate::zeromq) fn handle(
        &self,
        peer: PeerId,
        outbox: &Outbox,
        inbox: &mut VecDeque<Frames>,
        waits: bool,
    ) -> Handled {
        let state = match self.state.try_lock() {
            Err(TryLockError::WouldBlock) if !waits => return Handled::Busy,
            Err(TryLockError::WouldBlock) => self.lock(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(state) => state,
        };
        let (handled, left) = self.turn_with(state, HELD_EXAMINED, |turn| {
            let State { exchange, peers, held, .. } = &mut *turn.state;
            match exchange.handle_all(turn.now_ms, peer, inbox, peers) {
                Intake::All => Handled::All,
                Intake::Crowded => Handled::Crowded,
                Intake::Refused => {
                    outbox.set_accepts(false);
                    held.push_back(peer);
                    Handled::Held
                }
            }
        });
        if left {
            self.changed.notify_one();
        }
        handled
    }

    /// The queue of a peer was full and has room again.
    pub(in crate::zeromq) fn drained(&self, peer: PeerId) {
        self.turn(|turn| {
            turn.exchange(|exchange, now_ms, peers| exchange.drained(now_ms, peer, peers));
        });
    }

    /// How much the exchange has of what.
    pub(in crate::zeromq) fn figures(&self) -> Vec<(Figure, u64)> {
        self.lock().exchange.figures()
    }

    /// The queue of the exchange has something to say.
    pub(super) fn handle_storage(&self, events: impl IntoIterator<Item = StorageEvent>) {
        self.turn(|turn| {
            for event in events {
                turn.exchange(|exchange, now_ms, peers| exchange.handle_storage(now_ms, event, peers));
            }
        });
    }

    /// Takes what the exchange wants of its queue.
    pub(super) fn poll_storage(&self) -> Vec<StorageRequest> {
        let mut state = self.lock();
        std::iter::from_fn(|| state.exchange.poll_storage()).collect()
    }

    /// Whether the queue has refused something for now that the exchange will ask for again.
    pub(super) fn has_refused_by_storage(&self) -> bool {
        self.lock().exchange.has_refused_by_storage()
    }

    /// Whether the exchange knows all that its queue holds.
    pub(super) fn has_read_storage(&self) -> bool {
        self.lock().exchange.has_read_storage()
    }

    /// Whether the exchange wants something of its queue.
    pub(super) fn wants_storage(&self) -> bool {
        self.lock().exchange.wants_storage()
    }

    /// Answers to a peer that wait for the queue.
    pub(super) fn owed(&self, peer: PeerId) -> usize {
        self.lock().exchange.owed(peer)
    }

    /// Waits until the exchange wants something of its queue.
    pub(super) async fn storage_wanted(&self) {
        self.wants_storage.woken().await;
    }

    /// Calls the exchange when its time has come, for as long as the endpoint lives.
    pub(in crate::zeromq) async fn keep_time(&self) {
        loop {
            let due = self.lock().due;
            let at = due.map(|due| self.began + Duration::from_millis(due));
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(at.unwrap_or(self.began)), if at.is_some() => {}
            }
            let now_ms = self.now_ms();
            // All who are held are looked at here: the clock must not wake itself for them.
            self.turn_and_release(usize::MAX, |turn| {
                if turn.state.exchange.next_due().is_some_and(|due| due <= now_ms) {
                    turn.now_ms = now_ms;
                    turn.exchange(|exchange, now_ms, peers| exchange.tick(now_ms, peers));
                }
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
