//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
EXAMPLES:
  security-events producer --discovery node --rate 100
  security-events consumer --discovery etcd --etcd http://localhost:2379
  security-events producer --durable --count 1000
  security-events status --discovery etcd --json";

/// Network security events from many producers to many consumers.
#[derive(Debug, Parser)]
#[command(name = "security-events", version, arg_required_else_help = true, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Role,

    /// Write logs, figures and tables as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Make events and send them to consumers
    Producer(Box<Producer>),
    /// Receive events
    Consumer(Box<Consumer>),
    /// Show who is registered, and how they are
    Status(Status),
}

/// Which registry to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Registry {
    /// The one in a node of SwarmMQ
    Node,
    /// etcd v3
    Etcd,
    /// None: peers are named on the command line, or name us
    None,
}

/// Where the registry and the queue are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Place {
    /// Which registry to use
    #[arg(long, value_enum, default_value = "node", env = "DISCOVERY")]
    pub(crate) discovery: Registry,

    /// Address of a node, for its registry and its queues
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "localhost:9001",
        env = "SWARMMQ_NODE",
        value_delimiter = ','
    )]
    pub(crate) node: Vec<String>,

    /// Members of etcd
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://localhost:2379",
        env = "ETCD_ENDPOINTS",
        value_delimiter = ','
    )]
    pub(crate) etcd: Vec<String>,

    /// Certificates (PEM) that vouch for etcd
    #[arg(long, value_name = "FILE", env = "ETCD_CACERT")]
    pub(crate) etcd_ca: Option<PathBuf>,

    /// Our certificate (PEM) for etcd
    #[arg(long, value_name = "FILE", env = "ETCD_CERT", requires = "etcd_ca", requires = "etcd_key")]
    pub(crate) etcd_cert: Option<PathBuf>,

    /// Our private key (PEM) for etcd
    #[arg(long, value_name = "FILE", env = "ETCD_KEY", requires = "etcd_cert")]
    pub(crate) etcd_key: Option<PathBuf>,

    /// User and password at etcd; others on this machine can read command lines, so prefer the variable
    #[arg(long, value_name = "NAME:PASSWORD", env = "ETCD_USER", hide_env_values = true)]
    pub(crate) etcd_user: Option<String>,
}

/// What an instance says of itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Instance")]
pub(crate) struct Identity {
    /// Id of this instance [default: one that nobody has]
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Endpoint that others reach this instance at [default: where it binds, on this machine]
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) advertise: Option<String>,

    /// Lease of the registration, which is renewed in the background
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) ttl: Duration,

    /// How often health is looked after
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) health_interval: Duration,

    /// Be unhealthy while this file exists, so that nothing is sent here
    #[arg(long, value_name = "FILE")]
    pub(crate) drain_file: Option<PathBuf>,
}

/// The queue between producers and consumers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Durable")]
pub(crate) struct Queue {
    /// Go through a durable queue of a node, and lose nothing
    #[arg(long)]
    pub(crate) durable: bool,

    /// Name of the queue; what was done is in the stream of this name with `.processed`
    #[arg(long, default_value = "security-events")]
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
pub(crate) struct Producer {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) queue: Queue,

    /// Where consumers that find us connect to (PUSH)
    #[arg(long, value_name = "ENDPOINT", default_value = "tcp://0.0.0.0:5555")]
    pub(crate) bind: String,

    /// Events a second; 0: as fast as they are taken
    #[arg(long, default_value = "10")]
    pub(crate) rate: f64,

    /// End after so many events
    #[arg(long)]
    pub(crate) count: Option<u64>,

    /// File that gets the id of each event: once it is sent, or with --durable once it is stored
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Make the same events again; their ids and times are new all the same
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Consumer {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) queue: Queue,

    /// Where producers that find us connect to (PULL)
    #[arg(long, value_name = "ENDPOINT", default_value = "tcp://0.0.0.0:5556")]
    pub(crate) bind: String,

    /// Producers to connect to beside those that are found
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) connect: Vec<String>,

    /// End after so many events
    #[arg(long)]
    pub(crate) count: Option<u64>,

    /// File that gets the id of each event once it is processed, synced to disk
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) place: Place,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| "it must be a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(duration),
        _ => Err("it must be at least a tenth of a second".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself_and_its_examples_parse() {
        Options::command().debug_assert();
        for example in EXAMPLES.lines().skip(1) {
            Options::try_parse_from(example.split_whitespace()).unwrap();
        }
    }
}
