//! From configured ZeroMQ endpoints to those that are started.

use crate::config::{Config, EndpointConfig, EndpointKind, Mechanism};
use crate::node::error::StartError;
use crate::zeromq::{self, EndpointOptions, Limits, Multipart, Security};

/// What the configuration says, as the ZeroMQ listeners take it.
///
/// # Errors
/// [`StartError::Mechanism`] where an endpoint asks for one that is not there.
pub(super) fn of(config: &Config) -> Result<Vec<EndpointOptions>, StartError> {
    config.zeromq.endpoints.iter().filter_map(|endpoint| one(config, endpoint).transpose()).collect()
}

/// A validated endpoint has all that is required; one that has not is left out.
fn one(config: &Config, endpoint: &EndpointConfig) -> Result<Option<EndpointOptions>, StartError> {
    let (Some(kind), Some(bind)) = (endpoint.kind, endpoint.bind) else { return Ok(None) };
    let kind = match (kind, &endpoint.queue) {
        (EndpointKind::Durable, _) => zeromq::EndpointKind::Durable,
        (EndpointKind::Ingest, Some(queue)) => {
            zeromq::EndpointKind::Ingest { queue: queue.clone(), multipart: Multipart::Keep }
        }
        (EndpointKind::Ingest, None) => return Ok(None),
    };
    if let Some(mechanism) = endpoint.mechanisms.iter().find(|one| **one != Mechanism::Null) {
        let mechanism = if *mechanism == Mechanism::Plain { "plain" } else { "curve" };
        return Err(StartError::Mechanism { endpoint: endpoint.label().to_owned(), mechanism });
    }
    let security = Security::Null { off_loopback: config.security.allow_unauthenticated };
    let mut limits = Limits::default();
    limits.connections_max = endpoint.max_connections as usize;
    limits.connections_per_address_max = limits.connections_max;
    limits.handshakes_max = endpoint.max_handshakes as usize;
    limits.handshake_timeout = endpoint.handshake_timeout;
    limits.message_bytes_max = endpoint.max_message_size.as_usize();
    limits.frames_max = endpoint.max_frames as usize;
    limits.receive_queue_bytes = endpoint.receive_queue_size.as_usize();
    limits.send_queue_bytes = endpoint.send_queue_size.as_usize();
    limits.heartbeat_interval = endpoint.heartbeat_interval;
    limits.heartbeat_timeout = endpoint.heartbeat_timeout;
    limits.drain_timeout = config.node.shutdown_timeout;
    let options = EndpointOptions::new(endpoint.label(), kind, zeromq::Bind::Tcp(bind.0));
    Ok(Some(options.security(security).limits(limits)))
}
