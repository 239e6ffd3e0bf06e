//! `swarmmq node`: runs a node until it is told to stop.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use swarmmq_node::config::{Config, Environment, Overrides};
use swarmmq_node::node::{Node, NodeOptions, StartError, run_until_signalled};
use swarmmq_node::telemetry::{self, banner, log_startup};

use crate::console::Console;
use crate::failure::Failure;

/// Run a node until SIGINT or SIGTERM; a second signal ends it at once
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq node
  swarmmq node --data /var/lib/swarmmq --port 9001
  swarmmq node --config configs/mvp-cluster.yaml --node-id node-1 --port 9001

Without --config it is a node alone, on loopback, with its data in ./swarmmq-data.
It exits with 74 when its disk fails: nothing it would say from then on could be relied on.")]
pub(crate) struct NodeVerb {
    /// Configuration (YAML); docs/configuration.md has every key
    #[arg(long, value_name = "FILE", env = "SWARMMQ_CONFIG")]
    config: Option<PathBuf>,

    /// Which node of the configuration this is
    #[arg(long, value_name = "ID", env = "SWARMMQ_NODE_ID")]
    node_id: Option<String>,

    /// Directory of the data
    #[arg(long, value_name = "DIRECTORY", env = "SWARMMQ_DATA")]
    data: Option<PathBuf>,

    /// Port of the native protocol; 0 for one that is free
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Port of HTTP; 0 for one that is free
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,

    /// IP address everything listens on, instead of loopback
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,

    /// What is logged, as: info, debug, or warn,swarmmq_node=debug
    #[arg(long, value_name = "LEVEL", env = "SWARMMQ_LOG")]
    log_level: Option<String>,

    /// Let anybody connect who can reach the node
    #[arg(long = "ALLOW-UNAUTHENTICATED")]
    allow_unauthenticated: bool,

    /// Let listeners off loopback speak without encryption
    #[arg(long = "ALLOW-PLAINTEXT")]
    allow_plaintext: bool,
}

/// What a program is told once the node serves.
#[derive(Debug, Serialize)]
struct Serving {
    event: &'static str,
    node: String,
    data: PathBuf,
    native: Option<SocketAddr>,
    http: Option<SocketAddr>,
    zeromq: BTreeMap<String, String>,
    pid: u32,
}

impl NodeVerb {
    fn overrides(&self) -> Overrides {
        Overrides {
            node_id: self.node_id.clone(),
            port: self.port,
            http_port: self.http,
            bind: self.bind,
            data_dir: self.data.clone(),
            log_level: self.log_level.clone(),
            log_format: None,
            allow_unauthenticated: self.allow_unauthenticated,
            allow_plaintext: self.allow_plaintext,
            environment: Environment::of_process(),
        }
    }

    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let loaded = Config::load(self.config.as_deref(), &self.overrides())
            .map_err(|error| Failure::usage(error.to_string()))?;
        let level = telemetry::logs::install(&loaded.config.telemetry)
            .map_err(|error| Failure::usage(error.to_string()))?;
        log_startup(&loaded);
        let config = loaded.config.clone();
        let options = NodeOptions::of(loaded).log_level(level);
        let running = Node::start(options).await.map_err(not_started)?;
        if console.is_json() {
            let zeromq = running.zeromq().iter().map(|one| (one.name.clone(), one.addr.to_string()));
            console.object(&Serving {
                event: "serving",
                node: config.node_id().to_string(),
                data: config.node.data_dir.clone(),
                native: running.native_addr(),
                http: running.http_addr(),
                zeromq: zeromq.collect(),
                pid: std::process::id(),
            })?;
        } else {
            let heading = banner(&config);
            console.line(heading.lines().next().unwrap_or_default())?;
            console.line(format!("  {:<18} {}", "data", config.node.data_dir.display()))?;
            for (name, address) in running.listening() {
                console.line(format!("  {name:<18} {address}"))?;
            }
        }
        let stopped = run_until_signalled(running)
            .await
            .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        console.note(format!("stopped in {:.1?}", stopped.took));
        Ok(())
    }
}

fn not_started(error: StartError) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    Failure::failed(text).during("the node did not start")
}
