//! `limits`: the bounds of everything that peers can make grow.

use std::time::Duration;

use super::fields::{Fields, Section};
use super::quantity::Size;

/// `limits`: what a reached one does is said with each. ZeroMQ endpoints have limits of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Most native connections; more are closed at once. Default 10,000. Each costs a file descriptor and
    /// its buffers.
    pub max_connections: u32,
    /// Most native connections from one address; more are closed at once. Default: half of `max_connections`, rounded up,
    /// so that one machine cannot keep all others out. Processes behind a NAT, a proxy or on one host share an address.
    pub max_connections_per_address: Option<u32>,
    /// Most native connections that have not finished their handshake. Default 1,024. Each may
    /// send 4 KiB until then.
    pub max_handshakes: u32,
    /// A handshake that takes longer, TLS included, is closed. Default 5 s.
    pub handshake_timeout: Duration,
    /// A native connection that is silent so long is closed; clients are told, and ping. Default 60 s.
    pub idle_timeout: Duration,
    /// Requests of one connection without an answer, before the node stops reading. Default 4,096.
    pub max_requests_in_flight: u32,
    /// Most subscriptions of one connection; more are refused with `LIMIT-REACHED`. Default 1,024.
    pub max_subscriptions: u32,
    /// Bytes waiting to be written to one connection, before the node stops reading from it and delivering to it.
    /// Default 8 MiB.
    pub send_queue_size: Size,
    /// Bytes of requests under way of all connections together, before further ones are refused with `OVERLOADED`.
    /// Default 256 MiB.
    pub max_request_memory: Size,
    /// A request without an answer so long is answered with `TIMEOUT`. Default 30 s.
    pub request_timeout: Duration,
    /// Most destinations; requests that would make more are refused with `LIMIT-REACHED`. Default 100,000.
    /// Requests under way at the same moment, and queues that dead letters make, can exceed it.
    pub max_destinations: u64,
    /// Most HTTP connections; more wait. Default 256.
    pub max_http_connections: u32,
    /// Largest body of an HTTP request; a larger one is answered with 413. Default 64 KiB.
    pub max_http_request_size: Size,
    /// An HTTP connection whose request head takes longer, or that is idle so long, is closed.
    /// Default 10 s.
    pub http_header_timeout: Duration,
}

impl LimitsConfig {
    /// Most native connections from one address.
    pub(crate) fn connections_per_address(&self) -> u32 {
        per_address(self.max_connections_per_address, self.max_connections)
    }
}

/// How many of a listener's connections may be from one address: half, if nothing is set.
pub(super) fn per_address(set: Option<u32>, connections_max: u32) -> u32 {
    set.unwrap_or_else(|| connections_max.div_ceil(2))
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: None,
            max_handshakes: 1_024,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_requests_in_flight: 4_096,
            max_subscriptions: 1_024,
            send_queue_size: Size::mebibytes(8),
            max_request_memory: Size::mebibytes(256),
            request_timeout: Duration::from_secs(30),
            max_destinations: 100_000,
            max_http_connections: 256,
            max_http_request_size: Size(64 << 10),
            http_header_timeout: Duration::from_secs(10),
        }
    }
}

impl Section for LimitsConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            max_connections,
            max_connections_per_address,
            max_handshakes,
            handshake_timeout,
            idle_timeout,
            max_requests_in_flight,
            max_subscriptions,
            send_queue_size,
            max_request_memory,
            request_timeout,
            max_destinations,
            max_http_connections,
            max_http_request_size,
            http_header_timeout,
        } = self;
        fields.value("max_connections", max_connections);
        fields.value("max_connections_per_address", max_connections_per_address);
        fields.value("max_handshakes", max_handshakes);
        fields.value("handshake_timeout", handshake_timeout);
        fields.value("idle_timeout", idle_timeout);
        fields.value("max_requests_in_flight", max_requests_in_flight);
        fields.value("max_subscriptions", max_subscriptions);
        fields.value("send_queue_size", send_queue_size);
        fields.value("max_request_memory", max_request_memory);
        fields.value("request_timeout", request_timeout);
        fields.value("max_destinations", max_destinations);
        fields.value("max_http_connections", max_http_connections);
        fields.value("max_http_request_size", max_http_request_size);
        fields.value("http_header_timeout", http_header_timeout);
    }
}
