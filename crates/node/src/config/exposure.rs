//! Closed by default: what must hold before anything listens off loopback.

use super::problem::ProblemKind;
use super::root::Config;
use super::validation::Findings;
use super::zeromq::Mechanism;

const UNAUTHENTICATED: &str = "or `ALLOW_UNAUTHENTICATED: true` under security, if whoever reaches the port may read and write everything";
const PLAINTEXT: &str =
    "or `ALLOW_PLAINTEXT: true` under security, if keys and messages may be read and changed on the way";

impl Config {
    /// Whether every listener that could speak TLS, native and HTTP, is on loopback.
    pub(crate) fn is_on_loopback(&self) -> bool {
        [self.native_address(), self.http_address()]
            .iter()
            .flatten()
            .all(|address| address.ip().is_loopback())
    }
}

pub(super) fn check(config: &Config, findings: &mut Findings) {
    native(config, findings);
    http(config, findings);
    zeromq(config, findings);
    permissions(config, findings);
}

/// Where other machines connect, each user has what permissions give it and nothing else.
fn permissions(config: &Config, findings: &mut Findings) {
    let security = &config.security;
    let binds = config.zeromq.endpoints.iter().flat_map(|one| one.bind.into_iter().chain(one.backend));
    let binds = binds.map(|bind| bind.0);
    let mut addresses = config.native_address().into_iter().chain(config.http_address()).chain(binds);
    let Some(address) = addresses.find(|address| !address.ip().is_loopback()) else { return };
    if security.has_credentials() && security.permissions.is_empty() && !security.allow_unauthenticated {
        findings.conflict(
            "security.permissions",
            format!(
                "{address} is reached from other machines, and no permission allows their users anything: add some, as `{{ who: \"*\", destinations: \"*\", allow: [produce, consume] }}`"
            ),
        );
    }
}

fn native(config: &Config, findings: &mut Findings) {
    let security = &config.security;
    let Some(address) = config.native_address().filter(|address| !address.ip().is_loopback()) else { return };
    if !security.has_tls() && !security.allow_plaintext {
        findings.conflict(
            "listen.native",
            format!(
                "{address} is reached from other machines: set security.tls_cert and tls_key, {PLAINTEXT}"
            ),
        );
    }
    if security.api_keys.is_empty() && security.client_ca.is_none() && !security.allow_unauthenticated {
        findings.conflict(
            "listen.native",
            format!(
                "{address} is reached from other machines: set security.api_keys or client_ca, {UNAUTHENTICATED}"
            ),
        );
    }
}

fn http(config: &Config, findings: &mut Findings) {
    let security = &config.security;
    let Some(address) = config.http_address().filter(|address| !address.ip().is_loopback()) else { return };
    if !security.has_tls() && !security.allow_plaintext {
        findings.conflict(
            "listen.http",
            format!(
                "{address} is reached from other machines: set security.tls_cert and tls_key, {PLAINTEXT}"
            ),
        );
    }
    if security.api_keys.is_empty() && !security.allow_unauthenticated {
        findings.conflict(
            "listen.http",
            format!("{address} is reached from other machines: set security.api_keys, {UNAUTHENTICATED}"),
        );
    }
}

fn zeromq(config: &Config, findings: &mut Findings) {
    let security = &config.security;
    for (index, endpoint) in config.zeromq.endpoints.iter().enumerate() {
        let binds = endpoint.bind.into_iter().chain(endpoint.backend);
        let Some(bind) = binds.into_iter().find(|bind| !bind.0.ip().is_loopback()) else { continue };
        let path = format!("zeromq.endpoints[{index}].mechanisms");
        let null = endpoint.mechanisms.contains(&Mechanism::Null);
        let readable = null || endpoint.mechanisms.contains(&Mechanism::Plain);
        if null && !security.allow_unauthenticated {
            let text = format!("{bind} is reached from other machines: use [curve], {UNAUTHENTICATED}");
            findings.add(&path, ProblemKind::Conflict(text));
        }
        if readable && !security.allow_plaintext {
            let text = format!("{bind} is reached from other machines: use [curve], {PLAINTEXT}");
            findings.add(&path, ProblemKind::Conflict(text));
        }
    }
}
