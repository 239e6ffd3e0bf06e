//! What an endpoint is told.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, PubSubLimits, RepeatLimits, Side, TitanicLimits};
use swarmmq_protocol::DestinationName;
use swarmmq_protocol::limits::MESSAGE_BYTES_DEFAULT;
use swarmmq_protocol::zeromq::{durable, ingest};

use super::zmtp::SocketKind;
use crate::config::{Action, CurveSecretKey};

/// A ZeroMQ endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Its name, in metrics and logs.
    pub name: String,
    /// What it does.
    pub kind: EndpointKind,
    /// Where it binds. None of a tap into a destination, which has no peers.
    pub bind: Option<Bind>,
    /// Where workers or subscribers connect, of a kind that has two addresses.
    pub backend: Option<Bind>,
    /// How peers show who they are. Default: they do not, and only on loopback.
    pub security: Arc<Security>,
    /// What bounds it.
    pub limits: Limits,
}

impl EndpointOptions {
    /// An endpoint with the default limits, open to this machine only.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: EndpointKind, bind: Bind) -> Self {
        let (security, limits) = (Arc::default(), Limits::default());
        Self { name: name.into(), kind, bind: Some(bind), backend: None, security, limits }
    }

    /// A tap into a destination, with the default limits.
    #[must_use]
    pub fn unbound(name: impl Into<String>, kind: EndpointKind) -> Self {
        let (security, limits) = (Arc::default(), Limits::default());
        Self { name: name.into(), kind, bind: None, backend: None, security, limits }
    }

    /// Sets where workers connect.
    #[must_use]
    pub fn backend(mut self, backend: Bind) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how peers show who they are.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = Arc::new(security);
        self
    }
}

/// What an endpoint does with what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointKind {
    /// Requests of REQ and DEALER peers, each answered: the durable protocol.
    Durable,
    /// Messages of PUSH peers, stored in one destination and not answered.
    Ingest {
        /// Where they go.
        queue: DestinationName,
        /// What becomes of messages of several frames.
        multipart: Multipart,
    },
    /// Messages of one destination, for its default group, each to one of the PULL peers.
    Egress {
        /// Where they come from.
        queue: DestinationName,
        /// Who acknowledges them.
        acknowledge: Acknowledge,
        /// Most messages that a peer has leased ahead: until they are acknowledged where the node does that, and
        /// until they are written where a worker does. At least 1.
        prefetch: u32,
    },
    /// A proxy: requests of REQ, DEALER and ROUTER peers to REP, DEALER and ROUTER peers, and replies back.
    RequestReply,
    /// A proxy: publications of PUB and XPUB peers to SUB and XSUB peers, and subscriptions back.
    PubSub {
        /// What bounds it, and whether it keeps last values.
        limits: PubSubLimits,
    },
    /// A Majordomo broker: requests of REQ and DEALER peers to DEALER peers that serve a service, on one address.
    Service {
        /// What bounds it, and its times.
        limits: PoolLimits,
        /// What is kept of requests that clients may repeat.
        repeats: RepeatLimits,
    },
    /// A Majordomo broker that also keeps requests in a queue until workers have answered them: Titanic.
    Titanic {
        /// What bounds the broker, and its times.
        pool: PoolLimits,
        /// What is kept of requests that clients may repeat.
        repeats: RepeatLimits,
        /// What bounds the stored requests.
        limits: TitanicLimits,
        /// Where they are kept. It is made if it is not there, and nobody else may use it.
        queue: DestinationName,
    },
    /// A Paranoid Pirate queue: requests of REQ and DEALER peers to DEALER peers that say that they are ready.
    Workers {
        /// What bounds it, and its times.
        limits: PoolLimits,
    },
    /// The messages of another endpoint, or a sample of them, for those who watch: SUB and XSUB peers, or a destination.
    Tap {
        /// The name of the endpoint that is watched.
        of: String,
        /// One message of so many is taken.
        sample: NonZeroU32,
        /// The destination, if there is one.
        into: Option<DestinationName>,
    },
}

impl EndpointKind {
    /// As the configuration calls it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Ingest { .. } => "ingest",
            Self::Egress { .. } => "egress",
            Self::RequestReply => "request-reply",
            Self::PubSub { .. } => "pub-sub",
            Self::Service { .. } => "service",
            Self::Titanic { .. } => "titanic",
            Self::Workers { .. } => "workers",
            Self::Tap { .. } => "tap",
        }
    }

    /// The side of the address it always has.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::Tap { .. } => Side::Back,
            _ => Side::Front,
        }
    }

    /// Whether it sends peers what no other peer of it has sent.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self, Self::Durable | Self::Egress { .. })
    }

    /// What the node's socket is on this side.
    #[must_use]
    pub fn socket(&self, side: Side) -> SocketKind {
        match (self, side) {
            (Self::Ingest { .. }, _) => SocketKind::Pull,
            (Self::Egress { .. }, _) => SocketKind::Push,
            (Self::RequestReply, Side::Back) => SocketKind::Dealer,
            (Self::PubSub { .. }, Side::Front) => SocketKind::XSub,
            (Self::PubSub { .. }, Side::Back) | (Self::Tap { .. }, _) => SocketKind::XPub,
            (
                Self::Durable
                | Self::RequestReply
                | Self::Service { .. }
                | Self::Titanic { .. }
                | Self::Workers { .. },
                _,
            ) => SocketKind::Router,
        }
    }

    /// The socket types of peers that go with this side.
    #[must_use]
    pub fn peers(&self, side: Side) -> &'static [&'static str] {
        match (self, side) {
            (Self::Durable | Self::Service { .. } | Self::Titanic { .. }, _)
            | (Self::Workers { .. }, Side::Front) => &["REQ", "DEALER"],
            (Self::Workers { .. }, Side::Back) => &["DEALER"],
            (Self::Ingest { .. }, _) => &["PUSH"],
            (Self::Egress { .. }, _) => &["PULL"],
            (Self::RequestReply, Side::Front) => &["REQ", "DEALER", "ROUTER"],
            (Self::RequestReply, Side::Back) => &["REP", "DEALER", "ROUTER"],
            (Self::PubSub { .. }, Side::Front) => &["PUB", "XPUB"],
            (Self::PubSub { .. }, Side::Back) | (Self::Tap { .. }, _) => &["SUB", "XSUB"],
        }
    }

    /// What a peer must be allowed before it is let in, where it is the same for all it could do.
    #[must_use]
    pub fn demands(&self) -> Option<(Action, &DestinationName)> {
        match self {
            Self::Ingest { queue, .. } => Some((Action::Produce, queue)),
            Self::Egress { queue, .. } => Some((Action::Consume, queue)),
            _ => None,
        }
    }

    /// The queue in which the endpoint keeps things for itself, if it does, and how large a message it has to take.
    #[must_use]
    pub fn keeps_in(&self) -> Option<(&DestinationName, u64)> {
        match self {
            Self::Titanic { queue, limits, .. } => Some((queue, limits.record_bytes_max() as u64)),
            _ => None,
        }
    }

    /// Frames of a message: room for more than its protocol knows would be room for larger messages.
    #[must_use]
    pub fn frames_max(&self, limits: &Limits) -> usize {
        match self {
            Self::Durable => limits.frames_max.min(durable::FRAMES_MAX),
            Self::Ingest { .. } => limits.frames_max.min(ingest::FRAMES_MAX),
            _ => limits.frames_max,
        }
    }
}

/// What an ingest endpoint does with a message of several frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Multipart {
    /// Keeps them all: [`swarmmq_protocol::zeromq::ingest`]. The default.
    #[default]
    Keep,
    /// Drops the message and counts it.
    Refuse,
}

/// Who acknowledges what an egress endpoint has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// The node, once a message was written to the peer's connection. What the peer has not read when it goes is
    /// lost; what the node has written and not acknowledged when it crashes is sent again. The default.
    #[default]
    OnWrite,
    /// The worker, on a durable endpoint, with the receipt that it gets before each message.
    ByWorker,
}

/// Where an endpoint binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// `tcp://`. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// `ipc://`: a Unix socket at this path, for the user who runs the node.
    Ipc(PathBuf),
}

impl Bind {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Ipc(_) => true,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// How peers of an endpoint may show who they are. Each chooses one of those that are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The mechanism NULL: they do not.
    pub null: bool,
    /// The mechanism PLAIN: by name and password, readable on the wire.
    pub plain: bool,
    /// The mechanism CURVE, with this secret key of the server: by a key pair, and everything is encrypted.
    pub curve: Option<CurveSecretKey>,
    /// Whether NULL is allowed where other machines can connect. Default: it is not.
    pub null_off_loopback: bool,
    /// Whether PLAIN is allowed where other machines can connect. Default: it is not.
    pub plain_off_loopback: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self { null: true, plain: false, curve: None, null_off_loopback: false, plain_off_loopback: false }
    }
}

impl Security {
    /// The mechanism, if any, that may not be spoken where other machines can connect.
    #[must_use]
    pub fn exposed(&self) -> Option<&'static str> {
        if self.null && !self.null_off_loopback {
            return Some("NULL");
        }
        (self.plain && !self.plain_off_loopback).then_some("PLAIN")
    }
}

/// The bounds of an endpoint. Each says what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections. Default 10,000. Further ones are closed at once.
    pub connections_max: usize,
    /// Connections from one address. Default 5,000. Further ones are closed at once. Not for `ipc://`.
    pub connections_per_address_max: usize,
    /// Connections that have not finished their handshake. Default 1,024. Further ones are closed at once.
    pub handshakes_max: usize,
    /// A handshake that takes longer is closed. Default 10 s.
    pub handshake_timeout: Duration,
    /// Bytes of a message, all frames together. Default 1 MiB. A durable endpoint answers `TOO-LARGE` to one
    /// that is up to 64 KiB larger; anything else that is larger ends its connection, as a frame
    /// cannot be skipped without being read, before memory is taken for it.
    pub message_bytes_max: usize,
    /// Frames of a message. Default 1,024. A message with more is refused or dropped. The protocols have limits of
    /// their own: 512 of a durable request, 1,024 of an ingested message.
    pub frames_max: usize,
    /// Requests of a peer without an answer. Default 1,024. Its socket is not read until there are fewer.
    pub requests_in_flight_max: usize,
    /// Bytes of requests of a peer without an answer, or of messages not stored. Default 8 MiB. Its socket
    /// is not read until there are fewer. Each frame of a request counts 64 bytes more.
    pub receive_queue_bytes: usize,
    /// Pulls of a peer that wait. Default 64. Further ones are answered with `OVERLOADED`, so that waiting
    /// pulls leave room for acknowledgements.
    pub pulls_waiting_max: usize,
    /// Bytes that wait to be written to a peer. Default 8 MiB. Its socket is not read until there are fewer.
    pub send_queue_bytes: usize,
    /// Messages of other peers that wait for a peer. Default 10,000. What happens then is the kind's: requests wait with
    /// who sends them, publications and replies to a peer that does not read are dropped for it.
    pub peer_queue_messages_max: usize,
    /// A peer that was silent this long is sent a ZMTP PING. Default 10 s. 0: never.
    pub heartbeat_interval: Duration,
    /// A peer that was silent this long although it was pinged is gone. Default 30 s. Peers of ZMTP 3.0
    /// know no PING; for them TCP's keep-alive decides.
    pub heartbeat_timeout: Duration,
    /// What was read and is under way when a peer goes or the node stops gets this long to be done.
    /// Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 5_000,
            handshakes_max: 1_024,
            handshake_timeout: Duration::from_secs(10),
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            frames_max: 1_024,
            requests_in_flight_max: 1_024,
            receive_queue_bytes: 8 << 20,
            pulls_waiting_max: 64,
            send_queue_bytes: 8 << 20,
            peer_queue_messages_max: 10_000,
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
