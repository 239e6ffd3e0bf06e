//! Patterns of messages in flight: proxies, topics with a last value, services with workers.
//!
//! ```text
//!   a peer's session ──attach, handle, detach──▶ ┌──────────┐ ──send, dropped, disconnect──▶ [Peers]
//!   the endpoint's clock ────────tick──────────▶ │ Exchange │ ◀──room, may────────────────── the node
//!                                                └──────────┘
//! ```
//!
//! Nothing here is replicated, and nothing stored but by [`Titanic`], which asks its node for it in values
//! ([`StorageRequest`], [`StorageEvent`]). The rules are those of the rest of the crate: no clock, no chance, no
//! I/O. An exchange is one endpoint's state. The node calls it from the sessions of the peers, one call at a time, and
//! gives it the time, so that tests play any history against it with a model in place of the peers.

mod inside;
mod own;
mod pool;
pub mod pub_sub;
mod request_reply;
mod service;
mod storage;
mod titanic;
mod workers;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use own::own;
pub use pool::PoolLimits;
pub use pub_sub::{PubSub, PubSubLimits};
pub use request_reply::RequestReply;
pub use service::{Majordomo, RepeatLimits};
pub use storage::{Refusal, StorageEvent, StorageRequest};
pub use titanic::{Ids, Titanic, TitanicLimits};
pub use workers::ParanoidPirate;

/// The frames of one ZeroMQ message.
pub type Frames = Vec<Bytes>;

/// A connection of an endpoint. Ids count up and are never used again. Those from 2⁶³ on are no connections: an
/// exchange that is a client of its own services gives them to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl PeerId {
    const INSIDE: u64 = 1 << 63;

    /// A client inside the exchange.
    fn inside(number: u64) -> Self {
        Self(Self::INSIDE | number)
    }

    /// Whether it is a client inside the exchange. That one always reads.
    fn is_inside(self) -> bool {
        self.0 & Self::INSIDE != 0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of an endpoint's two addresses a peer connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where clients and publishers connect; the only one of an endpoint with one address.
    Front,
    /// Where workers and subscribers connect.
    Back,
}

/// What is known of a peer when it has connected.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Where it connected.
    pub side: Side,
    /// What it says its socket is, as `DEALER`; one that goes with the endpoint.
    pub socket_type: &'static str,
    /// The routing id it chose, of 0 to 255 bytes. Nobody has checked it.
    pub routing_id: Bytes,
    /// Who it is, as far as its mechanism says.
    pub user: Arc<str>,
}

/// What a peer may be allowed or forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// To send requests to a service.
    Request,
    /// To be a worker of a service.
    Serve,
    /// To publish on a topic.
    Publish,
    /// To subscribe to topics.
    Subscribe,
}

/// Why an exchange dropped a message. Each is counted by endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Drop {
    /// It does not have the frames that its protocol asks for.
    Malformed,
    /// It is for a peer that is gone, or says so of itself wrongly.
    Unroutable,
    /// The queue of its receiver is full.
    QueueFull,
    /// Its deadline passed before anybody could take it.
    Expired,
    /// Nobody subscribed to it.
    Unwanted,
    /// Its sender may not do this.
    Forbidden,
    /// A reply that nobody waits for: its request was answered, given up or never made.
    Unexpected,
    /// There are as many topics, services, subscriptions or stored requests as there may be, or a reply is too large to
    /// be stored.
    LimitReached,
    /// Its worker died, and it is not given to another.
    WorkerLost,
    /// It cannot be stored now.
    Unavailable,
}

/// What an exchange can say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Figure {
    /// Workers that are registered or connected.
    Workers,
    /// Workers that have a request.
    BusyWorkers,
    /// Requests that are not answered: those that wait, and those that a worker has.
    Requests,
    /// Services with a worker or a request.
    Services,
    /// Peers with a subscription.
    Subscribers,
    /// Topics whose last value is kept.
    LastValues,
    /// Requests that are kept until they are closed.
    Stored,
    /// Replies that are kept for those who repeat their request.
    KeptReplies,
}

impl Figure {
    /// As metrics show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::BusyWorkers => "busy-workers",
            Self::Requests => "requests",
            Self::Services => "services",
            Self::Subscribers => "subscribers",
            Self::LastValues => "last-values",
            Self::Stored => "stored",
            Self::KeptReplies => "kept-replies",
        }
    }
}

/// How much more a peer's queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub messages: usize,
    /// Bytes. A message that is larger is taken if the queue is empty.
    pub bytes: usize,
}

impl Room {
    /// Whether there is room for one more message of `bytes`.
    #[must_use]
    pub fn fits(self, bytes: usize) -> bool {
        self.messages > 0 && bytes <= self.bytes
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

/// The peers of an endpoint, as an exchange sees them.
pub trait Peers {
    /// Queues a message to a peer, behind those that were queued before. It is not refused: ask for
    /// [`room`](Self::room) first. Nothing happens if the peer is gone.
    fn send(&mut self, peer: PeerId, frames: Frames);

    /// Queues one message to several peers, which may cost less than one by one.
    fn send_all(&mut self, peers: &[PeerId], frames: Frames) {
        for peer in peers {
            self.send(*peer, frames.clone());
        }
    }

    /// How much more the queue of a peer takes; none if it is gone. Where it [is full](Room::is_full),
    /// [`Exchange::drained`] is called when it no longer is.
    fn room(&self, peer: PeerId) -> Room;

    /// Asks for [`Exchange::drained`] to be called when the queue of a peer has been taken to be written, although it is
    /// not full: for what is too large for the room there is.
    fn await_room(&mut self, peer: PeerId);

    /// Whether a peer may do something with a topic or service of this name. One that is gone may nothing.
    fn may(&self, peer: PeerId, verb: Verb, name: &[u8]) -> bool;

    /// Counts a message that was dropped; `peer` is who sent it, or who should have got it.
    fn dropped(&mut self, peer: PeerId, reason: Drop);

    /// Whether the queue of some peer has become crowded since this was asked last: those who empty it come first.
    fn take_crowded(&mut self) -> bool {
        false
    }

    /// Closes the connection of a peer once what is queued for it was written. [`Exchange::detach`] follows.
    fn disconnect(&mut self, peer: PeerId, explanation: &str);
}

/// How far an exchange came with the messages of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// It has all of them.
    All,
    /// The queue of some peer [has become crowded](Peers::take_crowded): the rest is for another time.
    Crowded,
    /// It does not [accept](Exchange::accepts) the first of those that are left.
    Refused,
}

/// The state of an endpoint with a pattern. Times are milliseconds of a clock that never runs backwards.
pub trait Exchange: Send {
    /// A peer has connected and shown who it is.
    fn attach(&mut self, now_ms: u64, peer: PeerId, info: &PeerInfo, peers: &mut dyn Peers);

    /// A peer has sent a message of at least one frame.
    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers);

    /// Takes messages of a peer from the front of `inbox`: what [`accepts`](Self::accepts) and [`handle`](Self::handle)
    /// come to, one after the other, and may cost less for many.
    fn handle_all(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        inbox: &mut VecDeque<Frames>,
        peers: &mut dyn Peers,
    ) -> Intake {
        while let Some(frames) = inbox.pop_front() {
            if !self.accepts(peer, peers) {
                inbox.push_front(frames);
                return Intake::Refused;
            }
            self.handle(now_ms, peer, frames, peers);
            if peers.take_crowded() {
                return Intake::Crowded;
            }
        }
        Intake::All
    }

    /// A peer is gone. It is not sent anything any more.
    fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers);

    /// The queue of a peer was full and has room again, or has the room that was [waited for](Peers::await_room).
    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers);

    /// What a peer may do has changed. Unless the exchange does more, that counts from its next message on.
    fn rights_changed(&mut self, _now_ms: u64, _peer: PeerId, _peers: &mut dyn Peers) {}

    /// Whether messages of this peer are to be read now. While they are not, its socket fills up: that is the
    /// back-pressure. It is asked again after each call that could change it.
    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool;

    /// When [`tick`](Self::tick) is to be called next, if at all.
    fn next_due(&self) -> Option<u64>;

    /// Time has passed.
    fn tick(&mut self, now_ms: u64, peers: &mut dyn Peers);

    /// How much it has of what, now, for those who operate it.
    fn figures(&self) -> Vec<(Figure, u64)> {
        Vec::new()
    }

    /// What it wants of its queue next, if it keeps things in one. Asked again until there is nothing, after each call.
    fn poll_storage(&mut self) -> Option<StorageRequest> {
        None
    }

    /// Whether [`poll_storage`](Self::poll_storage) gives something.
    fn wants_storage(&self) -> bool {
        false
    }

    /// Answers to a peer that wait for the queue, and come without anybody doing anything.
    fn owed(&self, _peer: PeerId) -> usize {
        0
    }

    /// Its queue has something to say.
    fn handle_storage(&mut self, _now_ms: u64, _event: StorageEvent, _peers: &mut dyn Peers) {}

    /// Whether it has read all that its queue holds, so that it need not be told how much that is.
    fn has_read_storage(&self) -> bool {
        true
    }

    /// Whether its queue has refused something for now that it will ask for again.
    fn has_refused_by_storage(&self) -> bool {
        false
    }
}
