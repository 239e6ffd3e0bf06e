//! From configured ZeroMQ endpoints to those that are started.

use std::num::NonZeroU32;

use swarmmq_broker::exchange::PoolLimits;

use crate::config::{Acknowledge, Action, Config, EndpointConfig, EndpointKind, Mechanism, queue_of};
use crate::node::error::StartError;
use crate::security::{Gate, read_curve_secret};
use crate::zeromq::{self, EndpointOptions, Limits, Multipart, Security};

/// What the configuration says, as the ZeroMQ listeners take it.
///
/// # Errors
/// [`StartError::Key`] where the secret key of an endpoint cannot be read.
pub(super) fn of(config: &Config, gate: &Gate) -> Result<Vec<EndpointOptions>, StartError> {
    let endpoints = config.zeromq.endpoints.iter().filter(|endpoint| is_opened(config, endpoint, gate));
    endpoints.filter_map(|endpoint| one(config, endpoint).transpose()).collect()
}

/// A default endpoint, which nobody asked for, stays closed where its peers would have to say who they are, which
/// they cannot, or where nothing is allowed to those who have not.
fn is_opened(config: &Config, endpoint: &EndpointConfig, gate: &Gate) -> bool {
    let (true, Some(bind)) = (endpoint.is_built_in, endpoint.bind) else { return true };
    let is_loopback = bind.0.ip().is_loopback();
    let peers = gate.unidentified(is_loopback);
    let may_use = match &endpoint.queue {
        Some(queue) => peers.may(Action::Produce, queue),
        None => !peers.is_powerless(),
    };
    let is_opened = may_use && !config.security.requires_authentication(is_loopback);
    if !is_opened {
        tracing::info!(
            endpoint = endpoint.label(),
            %bind,
            "this default ZeroMQ endpoint is not opened: its peers cannot say who they are, and security asks for it; one under zeromq.endpoints is opened, for what security.permissions allows to `anybody`"
        );
    }
    is_opened
}

/// A validated endpoint has all that is required; one that has not is left out.
fn one(config: &Config, endpoint: &EndpointConfig) -> Result<Option<EndpointOptions>, StartError> {
    let Some(kind) = endpoint.kind else { return Ok(None) };
    if endpoint.bind.is_none() && kind != EndpointKind::Tap {
        return Ok(None);
    }
    let kind = match (kind, &endpoint.queue) {
        (EndpointKind::Durable, _) => zeromq::EndpointKind::Durable,
        (EndpointKind::Ingest, Some(queue)) => {
            zeromq::EndpointKind::Ingest { queue: queue.clone(), multipart: Multipart::Keep }
        }
        (EndpointKind::Egress, Some(queue)) => zeromq::EndpointKind::Egress {
            queue: queue.clone(),
            acknowledge: match endpoint.egress.acknowledge {
                Acknowledge::OnWrite => zeromq::Acknowledge::OnWrite,
                Acknowledge::ByWorker => zeromq::Acknowledge::ByWorker,
            },
            prefetch: endpoint.egress.prefetch,
        },
        (EndpointKind::Ingest | EndpointKind::Egress, None) => return Ok(None),
        (EndpointKind::RequestReply, _) => zeromq::EndpointKind::RequestReply,
        (EndpointKind::PubSub, _) => zeromq::EndpointKind::PubSub { limits: endpoint.pub_sub.limits() },
        (EndpointKind::Service, _) => {
            let (limits, repeats) = (endpoint.pool.limits(PoolLimits::default()), endpoint.pool.repeats());
            zeromq::EndpointKind::Service { limits, repeats }
        }
        (EndpointKind::Titanic, _) => {
            let Some(queue) = queue_of(endpoint) else { return Ok(None) };
            let limits = endpoint.titanic.limits(endpoint.max_message_size);
            let pool = endpoint.titanic.pool(&endpoint.pool);
            zeromq::EndpointKind::Titanic { pool, repeats: endpoint.pool.repeats(), limits, queue }
        }
        (EndpointKind::Workers, _) => {
            zeromq::EndpointKind::Workers { limits: endpoint.pool.limits(PoolLimits::paranoid_pirate()) }
        }
        (EndpointKind::Tap, into) => {
            let Some(of) = &endpoint.tap.of else { return Ok(None) };
            let sample = NonZeroU32::new(endpoint.tap.sample).unwrap_or(NonZeroU32::MIN);
            zeromq::EndpointKind::Tap { of: of.to_string(), sample, into: into.clone() }
        }
    };
    let offers = |mechanism| endpoint.mechanisms.contains(&mechanism);
    let curve = match (offers(Mechanism::Curve), &endpoint.curve_secret_key_file) {
        (true, Some(path)) => Some(read_curve_secret(path)?),
        _ => None,
    };
    let security = Security {
        null: offers(Mechanism::Null),
        plain: offers(Mechanism::Plain),
        curve,
        null_off_loopback: config.security.allow_unauthenticated,
        plain_off_loopback: config.security.allow_plaintext,
    };
    let limits = Limits {
        connections_max: endpoint.max_connections as usize,
        connections_per_address_max: endpoint.connections_per_address() as usize,
        handshakes_max: endpoint.max_handshakes as usize,
        handshake_timeout: endpoint.handshake_timeout,
        message_bytes_max: endpoint.max_message_size.as_usize(),
        frames_max: endpoint.max_frames as usize,
        receive_queue_bytes: endpoint.receive_queue_size.as_usize(),
        send_queue_bytes: endpoint.send_queue_size.as_usize(),
        heartbeat_interval: endpoint.heartbeat_interval,
        heartbeat_timeout: endpoint.heartbeat_timeout,
        drain_timeout: config.node.shutdown_timeout,
        peer_queue_messages_max: endpoint.max_peer_queue as usize,
        ..Limits::default()
    };
    let mut options = EndpointOptions::unbound(endpoint.label(), kind);
    options.bind = endpoint.bind.map(|bind| zeromq::Bind::Tcp(bind.0));
    options.backend = endpoint.backend.map(|bind| zeromq::Bind::Tcp(bind.0));
    Ok(Some(options.security(security).limits(limits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn opened(text: &str) -> Vec<String> {
        let config = parse(text).unwrap();
        let gate = Gate::new(config.security.clone());
        of(&config, &gate).unwrap().into_iter().map(|endpoint| endpoint.name).collect()
    }

    #[test]
    fn default_endpoints_stay_closed_where_peers_have_to_say_who_they_are() {
        let keys = format!("security: {{ api_keys: [{{ name: ada, sha256: {} }}]", "ab".repeat(32));
        let all = "permissions: [{ who: '*', destinations: '*', allow: [produce, consume] }] }";
        assert_eq!(opened(""), ["durable", "ingest"]);
        assert!(opened(&format!("{keys} }}")).is_empty());
        assert!(opened(&format!("{keys}, {all}")).is_empty());
        assert_eq!(opened(&format!("security: {{ {all}")), ["durable", "ingest"]);
        let some = "security: { permissions: [{ who: anybody, destinations: a, allow: [produce] }] }";
        assert_eq!(opened(some), ["durable"]);
        let others = "security: { permissions: [{ who: ada, destinations: '*', allow: [produce] }] }";
        assert!(opened(others).is_empty());
    }

    #[test]
    fn the_limits_of_an_endpoint_are_the_same_configured_and_not() {
        let limits = of(&Config::default(), &Gate::default()).unwrap().remove(0).limits;
        // The node has one time to stop in, for all that it does.
        let drain_timeout = Config::default().node.shutdown_timeout;
        assert_eq!(limits, Limits { drain_timeout, ..Limits::default() });
    }

    #[test]
    fn one_address_cannot_take_all_connections_unless_that_is_set() {
        let per_address = |keys: &str| {
            let written = format!(
                "{{ name: mine, kind: durable, bind: 'tcp://127.0.0.1:5551', max_connections: 7{keys} }}"
            );
            let config = parse(&format!("zeromq: {{ endpoints: [{written}] }}")).unwrap();
            let limits = &of(&config, &Gate::default()).unwrap()[0].limits;
            (limits.connections_max, limits.connections_per_address_max)
        };
        assert_eq!(per_address(""), (7, 4), "half of them");
        assert_eq!(per_address(", max_connections_per_address: 7"), (7, 7));
        assert_eq!(per_address(", max_connections_per_address: 1"), (7, 1));
        assert!(parse("zeromq: { endpoints: [{ name: mine, kind: durable, bind: 'tcp://127.0.0.1:5551', max_connections_per_address: 0 }] }").is_err());
    }

    #[test]
    fn an_endpoint_of_the_file_is_opened_whoever_may_use_it() {
        let written = "zeromq: { endpoints: [{ name: mine, kind: durable, bind: 'tcp://127.0.0.1:5551' }] }";
        let keys = format!("security: {{ api_keys: [{{ name: ada, sha256: {} }}] }}", "ab".repeat(32));
        assert_eq!(opened(&format!("{written}\n{keys}")), ["mine"]);
    }
}
