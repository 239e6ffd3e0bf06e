//! What an operator chooses for the native listener.

use std::time::Duration;

use swarmmq_protocol::limits::{MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX};

use crate::config::Config;

/// Bytes of a frame beyond the message it carries.
const FRAME_SLACK_BYTES: usize = 64 * 1024;

/// The bounds of the native listener and of each of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeOptions {
    /// Most connections. Default 10,000.
    pub connections_max: usize,
    /// Most connections from one address. Default 5,000.
    pub connections_per_address_max: usize,
    /// Most connections that have not authenticated. Default 1,024. When one more comes, the one that
    /// has waited longest goes.
    pub handshakes_max: usize,
    /// A handshake that takes longer, TLS included, is closed. Default 5 s.
    pub handshake: Duration,
    /// A connection that is silent this long, or takes nothing off us for so long, is closed. It is
    /// pinged after half of it. Default 60 s.
    pub idle: Duration,
    /// A request without an answer so long is answered `TIMEOUT`; a pull's own wait comes on top.
    /// Default 30 s.
    pub request: Duration,
    /// Requests of one connection under way, before the node stops reading. Default 4,096.
    pub in_flight_max: usize,
    /// Bytes of requests of one connection under way, before the node stops reading. One request of any
    /// size is always taken. Default 8 MiB.
    pub in_flight_bytes_max: usize,
    /// Bytes of requests under way of all connections, before more are refused. Default 256 MiB.
    pub request_memory_bytes_max: usize,
    /// Bytes not written yet to one connection, before the node stops reading from it. Default 8 MiB.
    pub outbound_bytes_max: usize,
    /// Pulls of one connection under way; each may bring a reply that waits to be written. Default 256.
    pub pulls_max: usize,
    /// Subscriptions of one connection. Default 1,024.
    pub subscriptions_max: usize,
    /// Largest encoded message accepted. Default 1 MiB.
    pub message_bytes_max: usize,
    /// The credit that clients are told to give a consumer whose user did not choose one. Default 100 messages.
    pub credit_default: u32,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 5_000,
            handshakes_max: 1_024,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            request: Duration::from_secs(30),
            in_flight_max: 4_096,
            in_flight_bytes_max: 8 << 20,
            request_memory_bytes_max: 256 << 20,
            outbound_bytes_max: 8 << 20,
            pulls_max: 256,
            subscriptions_max: 1_024,
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            credit_default: 100,
        }
    }
}

impl NativeOptions {
    /// What the configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            connections_max: limits.max_connections as usize,
            connections_per_address_max: limits.connections_per_address() as usize,
            handshakes_max: limits.max_handshakes as usize,
            handshake: limits.handshake_timeout,
            idle: limits.idle_timeout,
            request: limits.request_timeout,
            in_flight_max: limits.max_requests_in_flight as usize,
            in_flight_bytes_max: limits.send_queue_size.as_usize(),
            request_memory_bytes_max: limits.max_request_memory.as_usize(),
            outbound_bytes_max: limits.send_queue_size.as_usize(),
            subscriptions_max: limits.max_subscriptions as usize,
            message_bytes_max: config.performance.max_message_size.as_usize(),
            credit_default: config.performance.batch_size,
            ..Self::default()
        }
    }

    /// Most bytes of a frame behind its length field that a session reads into memory. Larger requests
    /// are skipped and answered.
    ///
    /// A put of many small messages may be as large as the default message even where messages must be
    /// smaller.
    #[must_use]
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.message_bytes_max.clamp(MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX) + FRAME_SLACK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn one_address_cannot_take_all_connections_unless_that_is_set() {
        let per_address = |keys: &str| {
            let options = NativeOptions::of(&parse(&format!("limits: {{ {keys} }}")).unwrap());
            (options.connections_max, options.connections_per_address_max)
        };
        assert_eq!(per_address("max_connections: 7"), (7, 4), "half of them");
        assert_eq!(per_address("max_connections: 7, max_connections_per_address: 7"), (7, 7));
        assert_eq!(per_address("max_connections_per_address: 1"), (10_000, 1));
        assert!(parse("limits: { max_connections_per_address: 0 }").is_err());
    }
}
