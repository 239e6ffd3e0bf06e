//! `swarmmq node`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use swarmmq_node::config::{Config, ConfigError, Environment, LogFormat, Overrides, TelemetryConfig};
use swarmmq_node::node::{Node, NodeOptions, Running, Signals, StartError};
use swarmmq_node::telemetry::{self, OperatorCode};

use crate::console::{Console, Table};
use crate::failure::{Exit, Failure};

/// Run a node
///
/// Without any option a node alone listens on this machine only and keeps its data in ./swarmmq-data. SIGINT and
/// SIGTERM stop it in order: it answers what is under way and syncs; a second one ends it at once, and nothing that was
/// acknowledged is lost. SIGHUP has it read its certificates, users, permissions and ZeroMQ endpoints
/// again.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq node
  swarmmq node --data /var/lib/swarmmq --port 9101 --http 8180
  swarmmq node --config configs/mvp-cluster.yaml --node-id node-1 --port 9001
  swarmmq node --port 0 --http 0 --json    # free ports, told as JSON

It exits with 74 where its disk fails: what it would acknowledge from then on could not be relied on. Keys are not
given on the command line: SWARMMQ_MASTER_KEY and SWARMMQ_MASTER_KEY_FILE hold the one that encrypts the disk.")]
pub(crate) struct NodeVerb {
    /// Configuration (YAML) [default: everything as documented, on this machine only]
    #[arg(short, long, value_name = "FILE", env = "SWARMMQ_CONFIG")]
    config: Option<PathBuf>,

    /// Which node of the cluster this is
    #[arg(long, value_name = "ID", env = "SWARMMQ_NODE_ID")]
    node_id: Option<String>,

    /// Where the data is [default: ./swarmmq-data]
    #[arg(long, value_name = "DIRECTORY", visible_alias = "data-dir", env = "SWARMMQ_DATA")]
    data: Option<PathBuf>,

    /// Port of the native protocol; 0: one that is free [default: 9001]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Port of HTTP; 0: one that is free [default: 8080]
    #[arg(long, value_name = "PORT", visible_alias = "http-port")]
    http: Option<u16>,

    /// IP address to listen on, for everything [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,

    /// What is logged: error, warn, info, debug, trace, or as info,swarmmq_node=debug [default: info, and openraft=warn]
    #[arg(long, value_name = "LEVEL", env = "SWARMMQ_LOG")]
    log_level: Option<String>,

    /// How log lines look [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,

    /// Let peers off this machine in without asking who they are
    #[arg(long = "ALLOW-UNAUTHENTICATED")]
    allow_unauthenticated: bool,

    /// Let keys and messages go over the network readable
    #[arg(long = "ALLOW-PLAINTEXT")]
    allow_plaintext: bool,
}

/// [`LogFormat`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Auto,
    Text,
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Auto => Self::Auto,
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

/// What a program is told of a node, one a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// It serves.
    Serving {
        node: &'a str,
        cluster: &'a str,
        version: &'static str,
        data: &'a Path,
        native: Option<SocketAddr>,
        http: Option<SocketAddr>,
        /// By the names of the endpoints.
        zeromq: BTreeMap<&'a str, String>,
        pid: u32,
    },
    /// It has stopped, in order.
    Stopped { took_ms: u128, connections_cut_off: usize },
}

impl NodeVerb {
    pub(crate) async fn run(self: Box<Self>, console: Console) -> Result<(), Failure> {
        let path = self.config.clone();
        let loaded = Config::load(path.as_deref(), &self.overrides()).map_err(wrong_configuration)?;
        let level = telemetry::logs::install(&of_interest(&loaded.config.telemetry))
            .map_err(|error| Failure::usage(format!("telemetry.log_level: {error}")))?;
        telemetry::log_startup(&loaded);
        let (node, cluster) = (loaded.config.node_id(), loaded.config.cluster.name.clone());
        let data = loaded.config.node.data_dir.clone();
        let mut options = NodeOptions::of(loaded).log_level(level);
        if path.is_some() {
            let overrides = self.overrides();
            let again = move || Config::load(path.as_deref(), &overrides).map(|loaded| loaded.config);
            options = options.config_source(Arc::new(again));
        }
        let running = Node::start(options).await.map_err(not_started)?;
        // From before anybody can know that the node is there, so that whoever does can stop it in order.
        let signals = Signals::listen()
            .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        let banner = Banner { node: node.as_str(), cluster: cluster.as_str(), data: &data };
        // Whoever started the node may have gone; the node serves others too.
        let _ = banner.show(&running, &console);
        let stopped = signals.run(running).await;
        let event =
            Event::Stopped { took_ms: stopped.took.as_millis(), connections_cut_off: stopped.cut_off };
        let _ = console.done(format!("stopped in {:.1} s", stopped.took.as_secs_f64()), &event);
        Ok(())
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            node_id: self.node_id.clone(),
            port: self.port,
            http_port: self.http,
            bind: self.bind,
            data_dir: self.data.clone(),
            log_level: self.log_level.clone(),
            log_format: self.log_format.map(LogFormat::from),
            allow_unauthenticated: self.allow_unauthenticated,
            allow_plaintext: self.allow_plaintext,
            environment: Environment::of_process(),
        }
    }
}

/// The log as configured, but for the steps of consensus: at `info` each shard tells dozens of them at every start, and
/// what an operator must read would drown. Whoever names a module decides for himself.
fn of_interest(telemetry: &TelemetryConfig) -> TelemetryConfig {
    let mut telemetry = telemetry.clone();
    if telemetry.log_level.trim() == "info" {
        telemetry.log_level = "info,openraft=warn".to_owned();
    }
    telemetry
}

fn wrong_configuration(error: ConfigError) -> Failure {
    let failure = Failure::usage(format!("the configuration is wrong\n{error}"));
    Failure { code: Some(OperatorCode::ConfigurationWrong.as_str().to_owned()), ..failure }
}

fn not_started(error: StartError) -> Failure {
    let code = error.code();
    let exit = match code {
        OperatorCode::ConfigurationWrong | OperatorCode::TlsUnusable => Exit::Usage,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, format!("the node did not start: {error}"));
    Failure {
        code: Some(code.as_str().to_owned()),
        hint: (code == OperatorCode::PortInUse).then(|| {
            "is it a node? ask it with: swarmmq health; choose other ports with --port and --http".to_owned()
        }),
        ..failure
    }
}

/// What is said once the node serves.
#[derive(Debug)]
struct Banner<'a> {
    node: &'a str,
    cluster: &'a str,
    data: &'a Path,
}

impl Banner<'_> {
    fn show(&self, running: &Running, console: &Console) -> Result<(), Failure> {
        let Self { node, cluster, data } = *self;
        let version = env!("CARGO_PKG_VERSION");
        if console.is_json() {
            return console.object(&Event::Serving {
                node,
                cluster,
                version,
                data,
                native: running.native_addr(),
                http: running.http_addr(),
                zeromq: running
                    .zeromq()
                    .iter()
                    .filter_map(|one| Some((one.name.as_str(), one.addr.as_ref()?.to_string())))
                    .collect(),
                pid: std::process::id(),
            });
        }
        console.line(console.paint.bold(&format!("SwarmMQ {version}, node {node} of cluster {cluster}")))?;
        let mut facts = Table::facts();
        for (name, url) in running.listening() {
            facts.fact(&format!("  {name}"), url);
        }
        facts.fact("  data", data.display().to_string());
        facts.print(console)
    }
}
