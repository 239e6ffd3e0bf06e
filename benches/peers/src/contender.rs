//! Who takes part, each with a server of its own for every sample.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::Broker;
use crate::machine;
use crate::nats::{self, Nats};
use crate::process::{Process, SampleDir};
use crate::sample::Sample;
use crate::swarmmq::{self, SwarmMq};
use crate::workload::{Effort, Workload};

/// A broker under one durability setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// SwarmMQ, which syncs before each acknowledgement
    SwarmMq,
    /// NATS JetStream that syncs before each acknowledgement
    NatsSynced,
    /// NATS JetStream as it comes: acknowledges first, syncs every two minutes
    NatsDefault,
}

impl Contender {
    /// What a table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::SwarmMq => "SwarmMQ",
            Self::NatsSynced => "NATS, `sync_interval: always`",
            Self::NatsDefault => "NATS, default (no sync)",
        }
    }

    /// Whether it is the one that the others are compared with.
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::SwarmMq => true,
            Self::NatsSynced | Self::NatsDefault => false,
        }
    }
}

/// The programs that the contenders are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) swarmmq: swarmmq::Binary,
    pub(crate) nats: nats::Binary,
}

impl Programs {
    /// What was measured, for the table's caption.
    pub(crate) fn describe(&self) -> String {
        format!("{}; nats-server {} with {}", self.swarmmq.version(), self.nats.version(), nats::CLIENT)
    }
}

/// Measures one workload once on a fresh server with an empty directory under `data_dir`.
pub(crate) async fn sample(
    contender: Contender,
    workload: &Workload,
    effort: &Effort,
    programs: &Programs,
    data_dir: &Path,
) -> Result<Sample> {
    settle(data_dir)?;
    // Declared before the server, so that it is removed after the server has been killed.
    let home = SampleDir::create(data_dir)?;
    let disk_sync_us = machine::sync_cost_us(home.path())?;
    let sample = match contender {
        Contender::SwarmMq => {
            let mut server = swarmmq::Server::start(&programs.swarmmq, home.path()).await?;
            let broker = SwarmMq::connect(server.address()).await?;
            run(broker, workload, effort, server.process()).await?
        }
        Contender::NatsSynced => {
            nats(nats::SyncInterval::Always, workload, effort, programs, home.path()).await?
        }
        Contender::NatsDefault => {
            nats(nats::SyncInterval::Default, workload, effort, programs, home.path()).await?
        }
    };
    Ok(Sample { disk_sync_us, ..sample })
}

async fn nats(
    interval: nats::SyncInterval,
    workload: &Workload,
    effort: &Effort,
    programs: &Programs,
    home: &Path,
) -> Result<Sample> {
    let mut server = nats::Server::start(&programs.nats, home, interval).await?;
    let broker = Nats::connect(server.address()).await?;
    run(broker, workload, effort, server.process()).await
}

/// Writes out what earlier samples left in the page cache, so that nobody pays for another's data.
fn settle(data_dir: &Path) -> Result<()> {
    let directory = std::fs::File::open(data_dir)?;
    rustix::fs::syncfs(&directory).context("cannot sync the file system")?;
    Ok(())
}

/// Runs the workload as a task, where a program of a user would run it, and not on the thread that waits for it.
async fn run(
    broker: impl Broker,
    workload: &Workload,
    effort: &Effort,
    process: &mut Process,
) -> Result<Sample> {
    let (workload, effort) = (workload.clone(), effort.clone());
    let sample_max = effort.sample_max;
    // A set, because it aborts its task when this future is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { workload.run(&broker, &effort).await });
    tokio::select! {
        joined = tasks.join_next() => joined.context("the sample was never started")?.context("the sample panicked")?,
        error = process.ended() => Err(error),
        () = sleep(sample_max) => bail!("the sample takes longer than {sample_max:?}"),
    }
}
