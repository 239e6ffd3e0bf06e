//! `zeromq`: the endpoints that ZeroMQ clients connect to.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use swarmmq_protocol::DestinationName;
use swarmmq_protocol::limits::MESSAGE_BYTES_DEFAULT;

use super::address::Bind;
use super::egress::EgressConfig;
use super::fields::{Fields, Section, Value};
use super::limits::per_address;
use super::pool::PoolConfig;
use super::problem::ProblemKind;
use super::pub_sub::PubSubConfig;
use super::quantity::Size;
use super::scalar::{Label, words};
use super::tap::TapConfig;
use super::titanic::TitanicConfig;
use super::tree::{Node, Yaml};

/// `zeromq`: the list of endpoints. A file that has `zeromq.endpoints` replaces the default ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeromqConfig {
    /// The endpoints. Default: `durable` on 5551 and `ingest` on 5552 into the queue `ingest`, on loopback.
    pub endpoints: Vec<EndpointConfig>,
}

impl Default for ZeromqConfig {
    fn default() -> Self {
        let loopback = |port| Bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let durable = EndpointConfig {
            name: Some(Label::of("durable")),
            kind: Some(EndpointKind::Durable),
            bind: Some(loopback(5551)),
            is_built_in: true,
            ..EndpointConfig::default()
        };
        let ingest = EndpointConfig {
            name: Some(Label::of("ingest")),
            kind: Some(EndpointKind::Ingest),
            bind: Some(loopback(5552)),
            queue: DestinationName::new("ingest").ok(),
            is_built_in: true,
            ..EndpointConfig::default()
        };
        Self { endpoints: vec![durable, ingest] }
    }
}

impl Section for ZeromqConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { endpoints } = self;
        fields.list("endpoints", endpoints);
    }
}

/// One of `zeromq.endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Its name, in metrics and logs. Required, and different from all others'.
    pub name: Option<Label>,
    /// What it does. Required.
    pub kind: Option<EndpointKind>,
    /// Where it binds. Required, but of a `tap` that has a `queue`.
    pub bind: Option<Bind>,
    /// Where workers connect, of a `request-reply` or `workers` endpoint, and subscribers, of a `pub-sub` endpoint;
    /// clients and publishers connect to `bind`. Required there, not allowed elsewhere.
    pub backend: Option<Bind>,
    /// The destination that an `ingest` endpoint stores into, or an `egress` endpoint delivers: required there. A `tap`
    /// may store into one instead of publishing. The queue that a `titanic` endpoint keeps requests in: default `titanic.`
    /// and the endpoint's name. Not allowed elsewhere.
    pub queue: Option<DestinationName>,
    /// What only `egress` endpoints have. Its keys stand among the others.
    pub egress: EgressConfig,
    /// What only `pub-sub` endpoints have. Its keys stand among the others.
    pub pub_sub: PubSubConfig,
    /// What only `service`, `titanic` and `workers` endpoints have. Its keys stand among the others.
    pub pool: PoolConfig,
    /// What only `tap` endpoints have. Its keys stand among the others.
    pub tap: TapConfig,
    /// What only `titanic` endpoints have. Its keys stand among the others.
    pub titanic: TitanicConfig,
    /// The mechanisms a peer may use. Default `[null]`. Off loopback `null` needs `security.ALLOW_UNAUTHENTICATED` and
    /// `security.ALLOW_PLAINTEXT`, `plain` the latter.
    pub mechanisms: Vec<Mechanism>,
    /// File with the server's CURVE secret key in 40 characters of Z85. Required with `curve`. Default none.
    pub curve_secret_key_file: Option<PathBuf>,
    /// Most connections. Default 10,000. Each costs a file descriptor and its buffers.
    pub max_connections: u32,
    /// Most connections from one address; more are closed at once. Default: half of `max_connections`, rounded up, so that
    /// one machine cannot keep all others out. Processes behind a NAT, a proxy or on one host share an address.
    pub max_connections_per_address: Option<u32>,
    /// Most connections that have not finished their handshake. Default 1,024.
    pub max_handshakes: u32,
    /// A handshake that takes longer is closed. Default 10 s.
    pub handshake_timeout: Duration,
    /// Largest message read, all frames together. Default 1 MiB; at most 32 MiB. A larger one
    /// ends the connection before memory is taken for it.
    pub max_message_size: Size,
    /// Most frames of a message. Default 1,024. A request to a `durable` endpoint has at most 512, a message to
    /// an `ingest` endpoint at most 1,024, whatever stands here.
    pub max_frames: u32,
    /// Bytes waiting to be written to one peer, before the node stops reading from it. Default 8 MiB.
    pub send_queue_size: Size,
    /// Bytes read from one peer and not stored yet, before the node stops reading from it. Default 8 MiB. Each
    /// frame of a request counts 64 bytes more.
    pub receive_queue_size: Size,
    /// Most messages of other peers that wait for one peer, as ZeroMQ's high-water mark. Default 10,000. Requests then
    /// wait with their clients; replies to a client and publications to a subscriber that do not read are dropped for them.
    pub max_peer_queue: u32,
    /// How often a silent peer is pinged. Default 10 s; 0: never.
    pub heartbeat_interval: Duration,
    /// A peer that is silent this long despite pings is gone. Default 30 s.
    pub heartbeat_timeout: Duration,
    /// Whether it is one of the default endpoints, which no file asked for. It is no key.
    pub(crate) is_built_in: bool,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            name: None,
            kind: None,
            bind: None,
            backend: None,
            queue: None,
            egress: EgressConfig::default(),
            pub_sub: PubSubConfig::default(),
            pool: PoolConfig::default(),
            tap: TapConfig::default(),
            titanic: TitanicConfig::default(),
            mechanisms: vec![Mechanism::Null],
            curve_secret_key_file: None,
            max_connections: 10_000,
            max_connections_per_address: None,
            max_handshakes: 1_024,
            handshake_timeout: Duration::from_secs(10),
            max_message_size: Size(MESSAGE_BYTES_DEFAULT as u64),
            max_frames: 1_024,
            send_queue_size: Size::mebibytes(8),
            receive_queue_size: Size::mebibytes(8),
            max_peer_queue: 10_000,
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(30),
            is_built_in: false,
        }
    }
}

impl EndpointConfig {
    /// The name; a configuration that was validated has one.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or("unnamed", Label::as_str)
    }

    /// Most connections from one address.
    pub(crate) fn connections_per_address(&self) -> u32 {
        per_address(self.max_connections_per_address, self.max_connections)
    }
}

impl Section for EndpointConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            name,
            kind,
            bind,
            backend,
            queue,
            egress,
            pub_sub,
            pool,
            tap,
            titanic,
            mechanisms,
            curve_secret_key_file,
            max_connections,
            max_connections_per_address,
            max_handshakes,
            handshake_timeout,
            max_message_size,
            max_frames,
            send_queue_size,
            receive_queue_size,
            max_peer_queue,
            heartbeat_interval,
            heartbeat_timeout,
            is_built_in: _,
        } = self;
        fields.value("name", name);
        fields.value("kind", kind);
        fields.value("bind", bind);
        fields.value("backend", backend);
        fields.value("queue", queue);
        egress.fields(fields);
        pub_sub.fields(fields);
        pool.fields(fields);
        tap.fields(fields);
        titanic.fields(fields);
        fields.value("mechanisms", mechanisms);
        fields.value("curve_secret_key_file", curve_secret_key_file);
        fields.value("max_connections", max_connections);
        fields.value("max_connections_per_address", max_connections_per_address);
        fields.value("max_handshakes", max_handshakes);
        fields.value("handshake_timeout", handshake_timeout);
        fields.value("max_message_size", max_message_size);
        fields.value("max_frames", max_frames);
        fields.value("send_queue_size", send_queue_size);
        fields.value("receive_queue_size", receive_queue_size);
        fields.value("max_peer_queue", max_peer_queue);
        fields.value("heartbeat_interval", heartbeat_interval);
        fields.value("heartbeat_timeout", heartbeat_timeout);
    }
}

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointKind {
    /// Puts, pulls and acknowledgements with replies, for REQ and DEALER.
    Durable,
    /// Stores what PUSH sockets send into one queue. There is no reply: at most once until it was read.
    Ingest,
    /// Delivers one queue to PULL sockets, each message to one of them.
    Egress,
    /// A proxy between clients (REQ, DEALER, ROUTER) and workers (REP, DEALER, ROUTER).
    RequestReply,
    /// A proxy between publishers (PUB, XPUB) and subscribers (SUB, XSUB), which may keep the last value of each topic.
    PubSub,
    /// A Majordomo broker, RFC 7/MDP and RFC 18/MDP: services with workers, clients and workers on one address.
    Service,
    /// As `service`, and it keeps requests until workers have answered them: Titanic, RFC 9/TSP.
    Titanic,
    /// A Paranoid Pirate queue, RFC 6/PPP, between clients and equal workers.
    Workers,
    /// The messages of another endpoint, for SUB and XSUB or into a destination.
    Tap,
}

impl EndpointKind {
    /// Whether peers connect to two addresses.
    #[must_use]
    pub fn has_backend(self) -> bool {
        match self {
            Self::Durable | Self::Ingest | Self::Egress | Self::Service | Self::Titanic | Self::Tap => false,
            Self::RequestReply | Self::PubSub | Self::Workers => true,
        }
    }
}

words!(
    EndpointKind,
    "a kind of endpoint: durable, ingest, egress, request-reply, pub-sub, service, titanic, workers or tap",
    EndpointKind::Durable = "durable",
    EndpointKind::Ingest = "ingest",
    EndpointKind::Egress = "egress",
    EndpointKind::RequestReply = "request-reply",
    EndpointKind::PubSub = "pub-sub",
    EndpointKind::Service = "service",
    EndpointKind::Titanic = "titanic",
    EndpointKind::Workers = "workers",
    EndpointKind::Tap = "tap",
);

/// How a ZeroMQ peer shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// It does not.
    Null,
    /// By name and password, readable on the wire.
    Plain,
    /// By a key pair; everything is encrypted.
    Curve,
}

impl Value for Mechanism {
    const EXPECTED: &'static str = "a mechanism: null, plain or curve";
    const KIND: &'static str = "word";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            // To YAML the bare word is the absence of a value.
            Yaml::Null => Ok(Self::Null),
            Yaml::Text(text) => match text.as_str() {
                "null" => Ok(Self::Null),
                "plain" => Ok(Self::Plain),
                "curve" => Ok(Self::Curve),
                _ => Err(Self::invalid(text, None)),
            },
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Null => "null",
            Self::Plain => "plain",
            Self::Curve => "curve",
        }
        .to_owned()
    }
}
