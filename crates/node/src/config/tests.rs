//! What an operator sees, for good and for bad files.

use std::path::{Path, PathBuf};

use super::*;

const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/mvp-cluster.yaml");

fn seed(node_id: &str) -> Result<Loaded, ConfigError> {
    let overrides = Overrides { node_id: Some(node_id.into()), port: Some(9001), ..Overrides::default() };
    Config::load(Some(Path::new(SEED)), &overrides)
}

#[test]
fn the_default_is_a_node_alone_on_loopback() {
    let config = Config::default();
    config.validate().unwrap();
    assert_eq!(parse("").unwrap(), config);
    assert_eq!(config.node_id().as_str(), "node-1");
    assert_eq!(config.native_address(), Some("127.0.0.1:9001".parse().unwrap()));
    assert_eq!(config.http_address(), Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.node.data_dir, PathBuf::from("./swarmmq-data"));
    assert_eq!(config.cluster.shards, 16);
    let endpoints: Vec<_> =
        config.zeromq.endpoints.iter().map(|one| (one.label(), one.bind.unwrap().to_string())).collect();
    assert_eq!(
        endpoints,
        [("durable", "tcp://127.0.0.1:5551".into()), ("ingest", "tcp://127.0.0.1:5552".into())]
    );
    assert_eq!(config.zeromq.endpoints[1].queue.as_ref().unwrap().as_str(), "ingest");
}

#[test]
fn the_first_configuration_file_loads_as_it_stands() {
    let loaded = seed("node-1").unwrap();
    let config = loaded.config;
    assert_eq!(config.cluster.name.as_str(), "mvp-cluster");
    assert_eq!(config.cluster.nodes[0].roles, [Role::Producer, Role::Consumer, Role::Router]);
    assert_eq!(config.performance.max_message_size, Size(1_000_000));
    assert_eq!(config.performance.batch_size, 100);
    assert_eq!(config.group_settings().lease_ms, 5_000);
    assert_eq!(config.native_address(), Some("127.0.0.1:9001".parse().unwrap()));
    assert!(!config.security.has_tls(), "the files do not exist, so TLS stays off");
    assert_eq!(loaded.warnings, [Warning::TlsOff("/path/to/cert.pem".into())]);
    assert!(loaded.warnings[0].to_string().starts_with("TLS IS OFF: /path/to/cert.pem"));
}

#[test]
fn off_loopback_missing_tls_files_are_an_error() {
    let overrides = Overrides {
        bind: Some("0.0.0.0".parse().unwrap()),
        allow_unauthenticated: true,
        allow_plaintext: true,
        ..Overrides::default()
    };
    let error = Config::load(Some(Path::new(SEED)), &overrides).unwrap_err().to_string();
    assert!(
        error.contains("mvp-cluster.yaml:14:13: security.tls_cert: /path/to/cert.pem: No such file"),
        "{error}"
    );
}
