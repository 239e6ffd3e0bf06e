//! `swarmmq bench`.

mod consume;
mod end_to_end;
mod flight;
mod ground;
mod put;
mod report;

use std::time::Duration;

use clap::{Args, Subcommand};
use swarmmq::{DestinationKind, DestinationName};

use self::ground::Ground;
use self::report::Report;
use crate::connection::Connection;
use crate::console::Console;
use crate::failure::Failure;
use crate::quantity::{bytes, count, duration, rate};
use crate::signals::Signals;

/// Length of the measured part unless the user says otherwise.
const SECONDS: Duration = Duration::from_secs(10);

/// Measure throughput and latency
///
/// A measurement makes a destination of its own and removes it when it is done. Latencies are those of single
/// messages; with --rate they count from the moment a message should have been sent, so that a stall is seen in
/// all the messages it held up ("no coordinated omission").
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Store messages: from being sent to being synced on a majority
    #[command(after_help = "\
EXAMPLES:
  swarmmq bench put
  swarmmq bench put --in-flight 1 --seconds 5s
  swarmmq bench put --size 1KiB --rate 20000 --json")]
    Put(put::Put),
    /// Receive and acknowledge a backlog: until the last acknowledgement is confirmed
    #[command(after_help = "\
EXAMPLES:
  swarmmq bench consume
  swarmmq bench consume --count 1000000 --size 1KiB --stream")]
    Consume(consume::Consume),
    /// Store and receive at a fixed rate: from when a message should have been sent to its arrival
    #[command(
        alias = "e2e",
        after_help = "\
EXAMPLES:
  swarmmq bench end-to-end
  swarmmq bench end-to-end --rate 10000 --seconds 30s --json"
    )]
    EndToEnd(end_to_end::EndToEnd),
}

/// What all measurements have in common.
#[derive(Debug, Clone, Args)]
struct Setting {
    /// Name of the destination that is made [default: one that nobody has]
    #[arg(short, long, value_name = "NAME")]
    destination: Option<DestinationName>,

    /// Use the destination as it stands, with what it holds, and do not remove it
    #[arg(long, requires = "destination")]
    existing: bool,

    /// Make a stream in place of a queue
    #[arg(long, conflicts_with = "existing")]
    stream: bool,

    /// Do not remove the destination
    #[arg(long)]
    keep: bool,

    /// Size of the payloads
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "128")]
    size: u64,

    /// Messages on their way at once
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,

    #[command(flatten)]
    connection: Connection,
}

impl Setting {
    fn kind(&self) -> DestinationKind {
        if self.stream { DestinationKind::Stream } else { DestinationKind::Queue }
    }

    fn payload_bytes(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

/// How long, and how fast.
#[derive(Debug, Clone, Args)]
struct Load {
    /// Measure this many messages
    #[arg(short = 'n', long, value_name = "N", value_parser = count, conflicts_with = "seconds")]
    count: Option<u64>,

    /// Measure for this long [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    seconds: Option<Duration>,

    /// Not measured, before
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    warm_up: Duration,
}

/// What a load is over with.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Messages(u64),
    Time(Duration),
}

impl Load {
    fn extent(&self) -> Extent {
        match self.count {
            Some(count) => Extent::Messages(count),
            None => Extent::Time(self.seconds.unwrap_or(SECONDS)),
        }
    }
}

/// Messages a second, as an option.
#[derive(Debug, Clone, Args)]
struct RateArgument {
    /// Messages a second [default: as fast as they are stored]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
}

impl Bench {
    pub(crate) async fn run(self: Box<Self>, console: Console, mut signals: Signals) -> Result<(), Failure> {
        let setting = match &self.workload {
            Workload::Put(put) => &put.setting,
            Workload::Consume(consume) => &consume.setting,
            Workload::EndToEnd(end_to_end) => &end_to_end.setting,
        };
        if let Workload::EndToEnd(end_to_end) = &self.workload {
            end_to_end.check()?;
        }
        let ground = Ground::prepare(setting, &console).await?;
        let report = tokio::select! {
            report = self.measure(&ground, &console) => report,
            _ = signals.asked() => Err(Failure::interrupted()),
        };
        // Also after a failure or a signal nothing is left behind.
        let cleared = ground.clear().await;
        report?.print(&console)?;
        cleared
    }

    async fn measure(&self, ground: &Ground, console: &Console) -> Result<Report, Failure> {
        match &self.workload {
            Workload::Put(put) => put.measure(ground, console).await,
            Workload::Consume(consume) => consume.measure(ground, console).await,
            Workload::EndToEnd(end_to_end) => end_to_end.measure(ground, console).await,
        }
    }
}
