//! What must hold for the ZeroMQ endpoints of a configuration.

use std::time::Duration;

use swarmmq_protocol::limits::MESSAGE_BYTES_MAX;

use super::quantity::Size;
use super::root::Config;
use super::titanic::queue_of;
use super::validation::{ENTRY_BYTES, Findings, HOUR};
use super::zeromq::{EndpointConfig, EndpointKind, Mechanism};

pub(super) fn endpoint(endpoint: &EndpointConfig, path: &str, findings: &mut Findings) {
    let at = |key: &str| format!("{path}.{key}");
    if endpoint.name.is_none() {
        findings.missing(path, "name", "metrics and logs call the endpoint by it, as `name: durable`");
    }
    let is_stored = endpoint.kind == Some(EndpointKind::Tap) && endpoint.queue.is_some();
    if endpoint.bind.is_none() && !is_stored {
        findings.missing(path, "bind", "clients connect there, as `bind: \"tcp://127.0.0.1:5551\"`");
    }
    match endpoint.kind {
        None => findings.missing(path, "kind", "it says what the endpoint does, as `kind: durable`"),
        Some(kind) => keys_of_kind(endpoint, kind, path, findings),
    }
    findings.range(&at("max_connections"), endpoint.max_connections, 1, 1_000_000);
    let per_address = endpoint.max_connections_per_address.unwrap_or(1);
    findings.range(&at("max_connections_per_address"), per_address, 1, 1_000_000);
    findings.range(&at("max_handshakes"), endpoint.max_handshakes, 1, 1_000_000);
    findings.time(&at("handshake_timeout"), endpoint.handshake_timeout, Duration::from_millis(100), HOUR);
    let largest = Size(MESSAGE_BYTES_MAX as u64);
    findings.range(&at("max_message_size"), endpoint.max_message_size, Size(1 << 10), largest);
    findings.range(&at("max_frames"), endpoint.max_frames, 2, 65_536);
    findings.range(
        &at("send_queue_size"),
        endpoint.send_queue_size,
        Size(64 << 10),
        Size::mebibytes(1 << 20),
    );
    let message = endpoint.max_message_size.min(largest);
    findings.range(&at("receive_queue_size"), endpoint.receive_queue_size, message, Size::mebibytes(1 << 20));
    findings.range(&at("max_peer_queue"), endpoint.max_peer_queue, 1, 10_000_000);
    if !endpoint.heartbeat_interval.is_zero() && endpoint.heartbeat_timeout <= endpoint.heartbeat_interval {
        findings.conflict(at("heartbeat_timeout"), "it must be longer than heartbeat_interval");
    }
    mechanisms(endpoint, path, findings);
}

/// The keys that some kinds need and others do not know.
fn keys_of_kind(endpoint: &EndpointConfig, kind: EndpointKind, path: &str, findings: &mut Findings) {
    let at = |key: &str| format!("{path}.{key}");
    match (kind, &endpoint.queue) {
        (EndpointKind::Ingest, None) => {
            findings.missing(path, "queue", "an ingest endpoint stores everything it reads there");
        }
        (EndpointKind::Egress, None) => {
            findings.missing(path, "queue", "an egress endpoint delivers the messages of a queue");
        }
        (EndpointKind::Durable, Some(_)) => findings.conflict(
            at("queue"),
            "a durable endpoint has no queue: each request names its destination (remove it, or use `kind: ingest`)",
        ),
        (EndpointKind::Tap, Some(_)) if endpoint.bind.is_some() => findings.conflict(
            at("queue"),
            "a tap publishes at `bind` or stores into `queue`: for both, have two taps",
        ),
        (EndpointKind::Ingest | EndpointKind::Egress | EndpointKind::Tap, Some(_)) => {}
        (EndpointKind::Titanic, _) => {}
        (_, Some(_)) => findings.conflict(
            at("queue"),
            "an endpoint of this kind stores nothing (remove it, or use `kind: ingest` or `kind: egress`)",
        ),
        _ => {}
    }
    match (kind, endpoint.egress.changed()) {
        (EndpointKind::Egress, _) => endpoint.egress.validate(path, findings),
        (_, Some(key)) => findings.conflict(at(key), "only an endpoint of the kind egress has this key"),
        _ => {}
    }
    match (kind, endpoint.pub_sub.changed()) {
        (EndpointKind::PubSub, _) => endpoint.pub_sub.validate(path, findings),
        (_, Some(key)) => findings.conflict(at(key), "only an endpoint of the kind pub-sub has this key"),
        _ => {}
    }
    match (kind, endpoint.pool.changed()) {
        (EndpointKind::Service | EndpointKind::Titanic | EndpointKind::Workers, _) => {
            endpoint.pool.validate(path, findings);
            if kind == EndpointKind::Workers
                && let Some(key) = endpoint.pool.changed_of_repeats()
            {
                findings.conflict(at(key), "only an endpoint of the kind service or titanic has this key");
            }
        }
        (_, Some(key)) => {
            findings
                .conflict(at(key), "only an endpoint of the kind service, titanic or workers has this key");
        }
        _ => {}
    }
    match (kind, endpoint.titanic.changed()) {
        (EndpointKind::Titanic, _) => endpoint.titanic.validate(endpoint, path, findings),
        (_, Some(key)) => findings.conflict(at(key), "only an endpoint of the kind titanic has this key"),
        _ => {}
    }
    match (kind, endpoint.tap.changed()) {
        (EndpointKind::Tap, _) => endpoint.tap.validate(path, findings),
        (_, Some(key)) => findings.conflict(at(key), "only an endpoint of the kind tap has this key"),
        _ => {}
    }
    match (kind.has_backend(), endpoint.backend) {
        (true, None) => findings.missing(
            path,
            "backend",
            "the other side connects there, as `backend: \"tcp://127.0.0.1:5556\"`",
        ),
        (false, Some(_)) => {
            findings.conflict(at("backend"), "an endpoint of this kind has one address, `bind`")
        }
        _ => {}
    }
}

fn mechanisms(endpoint: &EndpointConfig, at: &str, findings: &mut Findings) {
    if endpoint.mechanisms.is_empty() {
        findings.conflict(format!("{at}.mechanisms"), "without a mechanism nobody can connect: [null]");
    }
    let offers_curve = endpoint.mechanisms.contains(&Mechanism::Curve);
    match (offers_curve, &endpoint.curve_secret_key_file) {
        (true, None) => findings.missing(
            at,
            "curve_secret_key_file",
            "peers know the node by its key: `swarmmq key new node.key` makes one",
        ),
        (false, Some(_)) => findings.conflict(
            format!("{at}.curve_secret_key_file"),
            "the key is of no use without the mechanism: mechanisms: [curve]",
        ),
        _ => {}
    }
}

pub(super) fn endpoints(config: &Config, findings: &mut Findings) {
    let endpoints = || config.zeromq.endpoints.iter().enumerate();
    findings.differ(
        endpoints().map(|(index, one)| (format!("zeromq.endpoints[{index}].name"), one.name.clone())),
    );
    for (index, one) in endpoints() {
        let Some(of) = &one.tap.of else { continue };
        let watched = endpoints().find(|(_, other)| other.name.as_ref() == Some(of));
        let path = format!("zeromq.endpoints[{index}].of");
        match watched {
            None => findings.conflict(path, "there is no endpoint of this name"),
            Some((_, other)) if other.kind == Some(EndpointKind::Tap) => {
                findings.conflict(path, "a tap watches an endpoint, and not another tap");
            }
            Some((_, other)) if one.queue.is_some() && one.queue == other.queue => {
                let text = "the endpoint that is watched has this queue: a tap must not feed what it watches";
                findings.conflict(format!("zeromq.endpoints[{index}].queue"), text);
            }
            Some(_) => {}
        }
    }
    private_queues(config, findings);
    records(config, findings);
    let native = ("listen.native".to_owned(), config.native_address());
    let http = ("listen.http".to_owned(), config.http_address());
    let binds = endpoints().flat_map(|(index, one)| {
        let binds = [("bind", one.bind), ("backend", one.backend)];
        binds.map(|(key, bind)| (format!("zeromq.endpoints[{index}].{key}"), bind.map(|bind| bind.0)))
    });
    // Port 0 is a different free one each time.
    let fixed = |(path, address): (String, Option<std::net::SocketAddr>)| {
        (path, address.filter(|address| address.port() != 0))
    };
    findings.differ([native, http].into_iter().chain(binds).map(fixed));
}

/// What a `titanic` endpoint keeps requests in is its own.
fn private_queues(config: &Config, findings: &mut Findings) {
    let endpoints = || config.zeromq.endpoints.iter().enumerate();
    let owners = endpoints().filter(|(_, one)| one.kind == Some(EndpointKind::Titanic));
    for (owner, queue) in owners.filter_map(|(index, one)| Some((index, queue_of(one)?))) {
        let shares = |one: &EndpointConfig| match one.kind {
            Some(EndpointKind::Titanic) => queue_of(one).as_ref() == Some(&queue),
            _ => one.queue.as_ref() == Some(&queue),
        };
        // Of two that are alike the second is named.
        let others = endpoints().filter(|(index, one)| {
            *index != owner && shares(one) && (*index > owner || one.kind != Some(EndpointKind::Titanic))
        });
        for (index, _) in others {
            let text = format!(
                "zeromq.endpoints[{owner}] keeps its requests in {queue}, and nobody else may use it"
            );
            findings.conflict(format!("zeromq.endpoints[{index}].queue"), text);
        }
    }
}

/// What a `titanic` endpoint reads it must be able to store.
fn records(config: &Config, findings: &mut Findings) {
    let largest = Size(MESSAGE_BYTES_MAX as u64);
    let owners = config.zeromq.endpoints.iter().enumerate();
    let owners = owners.filter(|(_, one)| one.kind == Some(EndpointKind::Titanic));
    for (index, one) in owners.filter(|(_, one)| one.max_message_size <= largest) {
        let record = Size(one.titanic.limits(one.max_message_size).record_bytes_max() as u64);
        let two = Size(2 * (record.bytes() + ENTRY_BYTES));
        let why = match &config.journal {
            _ if record > largest => format!("the largest message in the queue is {largest}"),
            journal if journal.segment_size < two => {
                format!("journal.segment_size must be {two} or more, as a segment must hold two records")
            }
            journal if journal.queue_size < record => {
                format!("journal.queue_size must be {record} or more, to hold one record")
            }
            _ => continue,
        };
        let text = format!("a record of the largest message takes {record}, and {why}");
        findings.conflict(format!("zeromq.endpoints[{index}].max_message_size"), text);
    }
}
