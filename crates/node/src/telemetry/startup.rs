//! What a node says when it starts.

use std::fmt::Write;

use tracing::{info, warn};

use super::code::OperatorCode;
use crate::config::{Config, Loaded};

/// The banner for a terminal: who this is, where it listens, and how safe that is. No secret is in it.
#[must_use]
pub fn banner(config: &Config) -> String {
    let mut text = format!(
        "SwarmMQ {}   node {} of {}   {} shards\n",
        env!("CARGO_PKG_VERSION"),
        config.node_id(),
        config.cluster.name,
        config.cluster.shards
    );
    // Writing to a string cannot fail.
    let mut line = |what: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {what:<10} {value}");
    };
    line("data", &config.node.data_dir.display());
    match config.native_address() {
        Some(address) => line("native", &format!("{address}{}", tls(config.security.has_tls()))),
        None => line("native", &"off"),
    }
    for endpoint in &config.zeromq.endpoints {
        if let Some(bind) = endpoint.bind {
            line("zeromq", &format!("{bind}  {}", endpoint.label()));
        }
    }
    match config.http_address() {
        Some(address) if config.http_has_tls() => line("http", &format!("https://{address}/health")),
        Some(address) => line("http", &format!("http://{address}/health")),
        None => line("http", &"off"),
    }
    text
}

fn tls(is_on: bool) -> &'static str {
    if is_on { "  TLS" } else { "  no TLS" }
}

/// Logs the same as one event, and each warning of the configuration loudly.
pub fn log_startup(loaded: &Loaded) {
    let config = &loaded.config;
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(|| "off".to_owned(), |address| address.to_string())
    };
    let endpoints: Vec<String> = config.zeromq.endpoints.iter().map(|one| one.label().to_owned()).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %config.node_id(),
        cluster = %config.cluster.name,
        shards = config.cluster.shards,
        data = %config.node.data_dir.display(),
        native = address(config.native_address()),
        http = address(config.http_address()),
        zeromq = endpoints.join(","),
        tls = config.security.has_tls(),
        encryption_at_rest = loaded.master_key.is_some(),
        "starting"
    );
    for warning in &loaded.warnings {
        warn!(code = %OperatorCode::ConfigurationDangerous, "{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_the_node_listens() {
        let text = banner(&Config::default());
        for part in [
            "node node-1 of swarmmq",
            "127.0.0.1:9001",
            "no TLS",
            "tcp://127.0.0.1:5552  ingest",
            "http://127.0.0.1:8080/health",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
