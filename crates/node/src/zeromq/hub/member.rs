//! A peer's session with a hub.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_broker::exchange::{Frames, PeerId, Side};
use tokio::time::Instant;

use super::Hub;
use super::core::Handled;
use super::outbox::Outbox;
use crate::security::Principal;
use crate::zeromq::drops::{Drops, Reason};
use crate::zeromq::options::Limits;
use crate::zeromq::session::{Outgoing, Service};
use crate::zeromq::shared::{Outbound, bytes_of};
use crate::zeromq::wakeup::Wakeup;
use crate::zeromq::zmtp::{PeerProperties, ZmtpError};

/// Messages handed over in one turn: others wait for it.
const BATCH_MAX: usize = 64;
/// How often a session lets others run while the hub is busy, rather than have its thread wait.
const YIELDS_MAX: u32 = 4;

/// A peer among others. It leaves when this is dropped.
pub(in crate::zeromq) struct Member {
    hub: Arc<Hub>,
    id: PeerId,
    outbox: Arc<Outbox>,
    is_rep: bool,
    limits: Limits,
    drops: Drops,
    /// Messages that the exchange does not have yet: those of the batch that was read last, or that it does not take.
    inbox: VecDeque<Frames>,
    /// The exchange takes nothing of this peer.
    is_held: bool,
    /// A queue that it filled is crowded: who empties it comes first. Or it was another's turn.
    pauses: bool,
    /// How often in a row it was another's turn.
    yielded: u32,
    /// It has sent what is larger than it may be, and is to go.
    too_large: Option<ZmtpError>,
    out: VecDeque<Outbound>,
}

impl Member {
    pub(in crate::zeromq) fn new(
        hub: Arc<Hub>,
        side: Side,
        peer: &PeerProperties,
        principal: Principal,
        takes_encoded: bool,
        limits: Limits,
        drops: Drops,
    ) -> Self {
        let (messages_max, bytes_max) = (limits.peer_queue_messages_max, limits.send_queue_bytes);
        let outbox = Arc::new(Outbox::new(messages_max, bytes_max, takes_encoded));
        let id = hub.attach(side, peer.socket_type, peer.routing_id.clone(), principal, outbox.clone());
        Self {
            hub,
            id,
            outbox,
            is_rep: peer.socket_type == "REP",
            limits,
            drops,
            inbox: VecDeque::new(),
            is_held: false,
            pauses: false,
            yielded: 0,
            too_large: None,
            out: VecDeque::new(),
        }
    }

    /// Counts messages that nobody gets any more. What a REP worker has not answered its exchange counts, sent or not.
    fn count_unsent(&self, messages: usize) {
        if messages > 0 && !self.is_rep {
            self.drops.count_many(Reason::Unroutable, messages as u64);
        }
    }

    fn hand_over(&mut self) {
        let waits = self.yielded >= YIELDS_MAX;
        match self.hub.handle(self.id, &self.outbox, &mut self.inbox, waits) {
            Handled::All => {}
            Handled::Busy => {
                self.yielded += 1;
                self.pauses = true;
                return;
            }
            Handled::Crowded => self.pauses = true,
            Handled::Held => self.is_held = true,
        }
        self.yielded = 0;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let taken: usize = self.out.iter().map(Outbound::messages).sum();
        self.count_unsent(taken + self.outbox.len());
        self.hub.detach(self.id);
    }
}

impl Service for Member {
    fn wakeup(&self) -> Arc<Wakeup> {
        self.outbox.wakeup().clone()
    }

    fn wants_input(&self) -> bool {
        !self.is_held && !self.pauses && self.inbox.len() < BATCH_MAX
    }

    fn poll_pause(&mut self) -> bool {
        std::mem::take(&mut self.pauses)
    }

    fn handle_message(&mut self, frames: Vec<Bytes>) {
        let (bytes, count) = (bytes_of(&frames), frames.len());
        if bytes > self.limits.message_bytes_max || count > self.limits.frames_max {
            // The exchange would wait for it: a worker whose reply is passed over is lost, and has to be seen to be.
            let text = format!("its message has {count} frames with {bytes} bytes");
            self.too_large.get_or_insert_with(|| ZmtpError::new(Reason::TooLarge, text));
            return;
        }
        self.inbox.push_back(frames);
        if self.inbox.len() >= BATCH_MAX {
            self.hand_over();
        }
    }

    fn handle_round(&mut self, _now: Instant) {
        self.is_held &= !self.outbox.accepts();
        if !self.is_held && !self.pauses && !self.inbox.is_empty() {
            self.hand_over();
        }
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        if self.out.is_empty() && self.outbox.take(&mut self.out) {
            self.hub.drained(self.id);
        }
        let message = self.out.pop_front()?;
        Some(Outgoing { message, delivered: None })
    }

    fn handle_full(&mut self) {
        self.outbox.set_behind();
    }

    fn handle_unsent(&mut self, messages: usize) {
        self.count_unsent(messages);
    }

    fn handle_rights(&mut self, principal: &Principal) {
        self.hub.set_rights(self.id, principal.clone());
    }

    fn handle_written(&mut self, _subscription: u64, _bytes: usize) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_close(&mut self) -> Option<ZmtpError> {
        if let Some(error) = self.too_large.take() {
            return Some(error);
        }
        let explanation = self.outbox.closing()?;
        Some(ZmtpError::new(Reason::Disconnected, explanation))
    }

    fn is_held(&self) -> bool {
        self.is_held
    }

    fn is_done(&self) -> bool {
        let is_handed_over = self.is_held || self.inbox.is_empty();
        // Whoever owes nothing any more has queued what it owed.
        is_handed_over && self.hub.owed(self.id) == 0 && self.out.is_empty() && self.outbox.is_empty()
    }

    fn unconfirmed(&self) -> usize {
        self.inbox.len() + self.hub.owed(self.id)
    }
}
