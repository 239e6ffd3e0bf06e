//! Real processes of SwarmMQ, real disks, and what goes wrong with them.
//!
//! Each [`scenario`] starts nodes of the program that ships, lets clients work, and then kills, cuts the power,
//! fails the disk or floods the listeners. What the clients asked, were answered and were delivered is recorded
//! ([`workload`]), and at the end held against the promises ([`history`]).
//!
//! A seed decides what clients do and when faults come, but not how threads interleave: a run that failed is
//! examined by what it left behind, not replayed.

mod disk;
mod history;
mod http;
mod memory;
mod node;
mod power;
mod probe;
mod scenario;
mod work_dir;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use scenario::{Bench, Scenario};
use work_dir::WorkDir;

/// Kill, starve and flood nodes of SwarmMQ, and check what they answered.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which; all of them if none is named
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// With the numbers of the continuous integration
    #[arg(long, conflicts_with = "rounds")]
    ci: bool,
    /// Rounds of the scenarios that have rounds, in place of each one's own number
    #[arg(long)]
    rounds: Option<u32>,
    /// Decides what clients do and when faults come; otherwise drawn, and said
    #[arg(long)]
    seed: Option<u64>,
    /// The swarmmq to test
    #[arg(long, env = "SWARMMQ_BIN", value_name = "PATH",
          default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/swarmmq"))]
    swarmmq: PathBuf,
    /// Where data and disk images are made; a folder that this run makes there is removed if all is well
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match guarded(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn guarded(arguments: &Arguments) -> Result<()> {
    let mut work_dir = WorkDir::create(&arguments.dir)?;
    // Whichever branch ends first, the other is dropped, and with it every guard of a process or a mount. What an
    // interrupted run leaves is of no use to anybody.
    tokio::select! {
        done = run(arguments, work_dir.path().to_owned()) => {
            if done.is_err() {
                work_dir.keep();
            }
            done
        }
        signal = interrupted() => bail!("stopped by {}", signal?),
    }
}

async fn run(arguments: &Arguments, dir: PathBuf) -> Result<()> {
    let chosen = match arguments.scenarios.as_slice() {
        [] => Scenario::value_variants(),
        chosen => chosen,
    };
    probe::check(chosen, &arguments.swarmmq)?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let began = Instant::now();
    for &scenario in chosen {
        let scenario_dir = dir.join(scenario.name());
        std::fs::create_dir_all(&scenario_dir)?;
        let binary = arguments.swarmmq.clone();
        let bench = Bench { binary, dir: scenario_dir, seed, rounds: arguments.rounds };
        println!("── {}: {}", scenario.name(), scenario.purpose());
        let scenario_began = Instant::now();
        scenario.run(&bench).await.with_context(|| format!("{} failed (seed {seed})", scenario.name()))?;
        // Its disks are full of what is right.
        std::fs::remove_dir_all(&bench.dir)?;
        println!("   ok in {:.1} s", scenario_began.elapsed().as_secs_f32());
    }
    println!("chaos: all is well after {:.0} s", began.elapsed().as_secs_f32());
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
