//! What must hold between the values of a configuration.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use swarmmq_protocol::limits::{BATCH_MAX, MESSAGE_BYTES_MAX};

use super::address::socket_address;
use super::endpoints;
use super::exposure;
use super::problem::{ConfigError, PROBLEMS_MAX, Problem, ProblemKind, shown};
use super::quantity::{Size, show_duration};
use super::root::Config;
use crate::telemetry::level;

/// What may stand beside a message in its record of the journal.
pub(super) const ENTRY_BYTES: u64 = 8 * 1024;
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Collects problems with the paths they are at.
#[derive(Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    pub(super) fn add(&mut self, path: impl Into<String>, kind: ProblemKind) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem::new(path, kind));
        }
    }

    pub(super) fn conflict(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(path, ProblemKind::Conflict(text.into()));
    }

    pub(super) fn missing(&mut self, path: &str, key: &'static str, why: &'static str) {
        self.add(format!("{path}.{key}"), ProblemKind::Missing { key, why });
    }

    pub(super) fn range<T: PartialOrd + Display>(&mut self, path: &str, value: T, least: T, most: T) {
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(|value| value.to_string());
            self.add(path, ProblemKind::OutOfRange { value, least, most });
        }
    }

    pub(super) fn time(&mut self, path: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(show_duration);
            self.add(path, ProblemKind::OutOfRange { value, least, most });
        }
    }

    /// Reports the second and later ones that have the same value. Whoever has none is left out.
    pub(super) fn differ<T: std::hash::Hash + Eq + Display>(
        &mut self,
        items: impl Iterator<Item = (String, Option<T>)>,
    ) {
        let mut seen = HashMap::new();
        for (path, value) in items.filter_map(|(path, value)| Some((path, value?))) {
            let text = value.to_string();
            match seen.get(&value) {
                None => drop(seen.insert(value, path)),
                Some(first) => {
                    self.add(path, ProblemKind::Twice { value: text, first: String::clone(first) })
                }
            }
        }
    }
}

impl Config {
    /// Checks that all values are in range and fit together. Nothing outside is looked at: no file, no socket.
    ///
    /// # Errors
    /// Every problem, up to [`PROBLEMS_MAX`], each with the path of its key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut findings = Findings::default();
        cluster(self, &mut findings);
        numbers(self, &mut findings);
        limits(self, &mut findings);
        destinations(self, &mut findings);
        for (index, endpoint) in self.zeromq.endpoints.iter().enumerate() {
            endpoints::endpoint(endpoint, &format!("zeromq.endpoints[{index}]"), &mut findings);
        }
        endpoints::endpoints(self, &mut findings);
        security(self, &mut findings);
        exposure::check(self, &mut findings);
        match findings.0 {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError::new(problems)),
        }
    }
}

fn cluster(config: &Config, findings: &mut Findings) {
    findings.range("cluster.shards", config.cluster.shards, 1, 1_024);
    findings.time("node.shutdown_timeout", config.node.shutdown_timeout, Duration::from_secs(1), HOUR);
    let nodes = &config.cluster.nodes;
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("cluster.nodes[{index}]");
        if node.id.is_none() {
            findings.missing(&path, "id", "a node is known by it, as `id: node-1`");
        }
        match &node.address {
            None => findings.missing(
                &path,
                "address",
                "others reach the node there, as `address: \"localhost:9001\"`",
            ),
            Some(text) => address(config, text, &format!("{path}.address"), findings),
        }
    }
    let ids =
        nodes.iter().enumerate().map(|(index, node)| (format!("cluster.nodes[{index}].id"), node.id.clone()));
    findings.differ(ids);
    let known: Vec<String> =
        nodes.iter().filter_map(|node| node.id.as_ref()).map(ToString::to_string).collect();
    match &config.node.id {
        Some(id) if !nodes.is_empty() && !known.contains(&id.to_string()) => {
            findings.add("node.id", ProblemKind::UnknownNode { id: id.to_string(), known });
        }
        _ => {}
    }
    if nodes.len() > 1 {
        findings.add("cluster.nodes", ProblemKind::SeveralNodes { count: nodes.len() });
    }
}

/// A node's address may name a host; but to listen there, it must be one this machine can know without asking.
fn address(config: &Config, text: &str, path: &str, findings: &mut Findings) {
    const EXPECTED: &str = "the address of a node, as \"localhost:9001\" or \"10.0.0.5:9001\"";
    let invalid = |reason: &str| ProblemKind::Invalid {
        text: shown(text),
        expected: EXPECTED,
        reason: Some(reason.to_owned()),
    };
    let Some((host, port)) = text.rsplit_once(':') else {
        return findings.add(path, invalid("the port is missing"));
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return findings.add(path, invalid("the port must be a number from 1 to 65535"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.is_empty() || host.len() > 255 || !host.chars().all(allowed) {
        return findings.add(path, invalid("the host must be a name or an IP address (IPv6 in brackets)"));
    }
    if config.listen.native.is_none() && socket_address(text).is_err() {
        let text = format!(
            "{text:?} names a host, and names are not looked up to listen: say where, as `native: \"0.0.0.0:9001\"` \
             under listen"
        );
        findings.conflict(path, text);
    }
}

fn numbers(config: &Config, findings: &mut Findings) {
    let performance = &config.performance;
    let largest = Size(MESSAGE_BYTES_MAX as u64);
    findings.range("performance.max_message_size", performance.max_message_size, Size(1 << 10), largest);
    findings.range("performance.batch_size", performance.batch_size, 1, BATCH_MAX as u32);
    findings.time("performance.ack_timeout", performance.ack_timeout, Duration::from_millis(1), 24 * HOUR);

    let journal = &config.journal;
    findings.range(
        "journal.segment_size",
        journal.segment_size,
        Size::mebibytes(1),
        Size::mebibytes(1 << 10),
    );
    findings.range("journal.hot_size", journal.hot_size, Size(0), Size::mebibytes(1 << 20));
    findings.range("journal.queue_size", journal.queue_size, Size::mebibytes(1), Size::mebibytes(1 << 20));
    let half = Size(journal.segment_size.bytes() / 2);
    findings.range("journal.reserve_size", journal.reserve_size, Size(0), half);
    // What is out of range was said above; what follows from it is not said as well.
    let message = performance.max_message_size.min(largest);
    // One entry may carry several messages, and a segment its own header.
    let two = Size(2 * (message.bytes() + ENTRY_BYTES));
    if journal.segment_size < two && performance.max_message_size <= largest {
        findings.conflict(
            "journal.segment_size",
            format!(
                "{} is too small for performance.max_message_size {}: a segment must hold two messages, so write {two} or more",
                journal.segment_size, performance.max_message_size
            ),
        );
    }
    if journal.queue_size < message {
        findings.conflict(
            "journal.queue_size",
            "it must hold one message: performance.max_message_size is larger",
        );
    }
    if journal.encryption_key_id.as_str().len() > 32 {
        findings.conflict("journal.encryption_key_id", "it has at most 32 bytes");
    }
    findings.range("telemetry.max_destinations", config.telemetry.max_destinations, 0, 10_000);
    if let Err(error) = level::parse(&config.telemetry.log_level) {
        findings.add(
            "telemetry.log_level",
            ProblemKind::Invalid {
                text: shown(&config.telemetry.log_level),
                expected: "a log level (error, warn, info, debug, trace) or levels of modules, as \"info,swarmmq_node=debug\"",
                reason: Some(shown(&error.to_string())),
            },
        );
    }
}

fn limits(config: &Config, findings: &mut Findings) {
    let limits = &config.limits;
    let second = Duration::from_secs(1);
    findings.range("limits.max_connections", limits.max_connections, 1, 1_000_000);
    let per_address = limits.max_connections_per_address.unwrap_or(1);
    findings.range("limits.max_connections_per_address", per_address, 1, 1_000_000);
    findings.range("limits.max_handshakes", limits.max_handshakes, 1, 1_000_000);
    findings.time("limits.handshake_timeout", limits.handshake_timeout, second, HOUR);
    findings.time("limits.idle_timeout", limits.idle_timeout, second, 24 * HOUR);
    findings.range("limits.max_requests_in_flight", limits.max_requests_in_flight, 1, 1_000_000);
    findings.range("limits.max_subscriptions", limits.max_subscriptions, 1, 1_000_000);
    findings.range(
        "limits.send_queue_size",
        limits.send_queue_size,
        Size(64 << 10),
        Size::mebibytes(1 << 20),
    );
    let message = config.performance.max_message_size.min(Size(MESSAGE_BYTES_MAX as u64));
    findings.range("limits.max_request_memory", limits.max_request_memory, message, Size::mebibytes(1 << 20));
    findings.time("limits.request_timeout", limits.request_timeout, Duration::from_millis(10), HOUR);
    findings.range("limits.max_destinations", limits.max_destinations, 1, 10_000_000);
    findings.range("limits.max_http_connections", limits.max_http_connections, 1, 100_000);
    let body = limits.max_http_request_size;
    findings.range("limits.max_http_request_size", body, Size(1 << 10), Size::mebibytes(64));
    findings.time("limits.http_header_timeout", limits.http_header_timeout, Duration::from_millis(100), HOUR);
}

fn destinations(config: &Config, findings: &mut Findings) {
    if let Err(text) = config.destination_settings().validate() {
        findings.conflict("destinations", text.replace("dedup_ids_max", "max_dedup_ids").replace("_ms", ""));
    }
}

fn security(config: &Config, findings: &mut Findings) {
    let security = &config.security;
    match (&security.tls_cert, &security.tls_key) {
        (Some(_), None) => {
            findings.missing("security", "tls_key", "a certificate is of no use without its key")
        }
        (None, Some(_)) => {
            findings.missing("security", "tls_cert", "a key is of no use without its certificate")
        }
        _ => {}
    }
    if security.client_ca.is_some() && security.tls_cert.is_none() {
        findings.conflict("security.client_ca", "client certificates need TLS: set tls_cert and tls_key");
    }
    for (index, user) in security.users.iter().enumerate() {
        let path = format!("security.users[{index}]");
        if user.name.is_none() {
            findings.missing(&path, "name", "a user logs in by it");
        }
        if user.password_sha256.is_none() && user.curve_public_key.is_none() {
            findings.conflict(
                path,
                "the user has neither password_sha256 nor curve_public_key, and could not log in",
            );
        }
    }
    for (index, key) in security.api_keys.iter().enumerate() {
        let path = format!("security.api_keys[{index}]");
        if key.name.is_none() {
            findings.missing(&path, "name", "permissions and logs call the owner by it");
        }
        if key.sha256.is_none() {
            findings.missing(&path, "sha256", "it is what a key is compared with");
        }
    }
    for (index, permission) in security.permissions.iter().enumerate() {
        let path = format!("security.permissions[{index}]");
        if permission.who.is_none() {
            findings.missing(&path, "who", "it says whom the rule is for, \"*\" for all");
        }
        let about =
            [permission.destinations.is_some(), permission.topics.is_some(), permission.services.is_some()];
        if !about.contains(&true) {
            findings.missing(
                &path,
                "destinations",
                "it says what the rule is about, \"*\" for all; so do topics and services",
            );
        }
        if permission.allow.is_empty() && permission.deny.is_empty() {
            findings.missing(&path, "allow", "a rule allows something, as [produce, consume], or denies it");
        }
    }
    let names = security.users.iter().enumerate();
    findings.differ(names.map(|(index, user)| (format!("security.users[{index}].name"), user.name.clone())));
    let names = security.api_keys.iter().enumerate();
    findings.differ(names.map(|(index, key)| (format!("security.api_keys[{index}].name"), key.name.clone())));
}
