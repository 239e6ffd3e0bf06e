//! What goes wrong, one file each.

mod floods;
mod fsync;
mod full_disk;
mod graceful;
mod kill;
mod million;
mod power;
mod progress;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// kill -9 under load
    Kill,
    /// Power cuts under load
    Power,
    /// A sync that fails
    Fsync,
    /// A disk that is full, and has space again
    FullDisk,
    /// A consumer that does not read, and thousands of connections that say nothing
    Floods,
    /// A million messages that wait
    Million,
    /// SIGTERM under load
    Graceful,
}

/// Where and with what a scenario runs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) binary: PathBuf,
    /// Its own, and empty.
    pub(crate) dir: PathBuf,
    pub(crate) seed: u64,
    pub(crate) rounds: Option<u32>,
}

impl Bench {
    /// How many rounds, where `usual` is what the continuous integration runs.
    fn rounds(&self, usual: u32) -> u32 {
        self.rounds.unwrap_or(usual)
    }
}

impl Scenario {
    pub(crate) async fn run(self, bench: &Bench) -> Result<()> {
        match self {
            Self::Kill => kill::run(bench).await,
            Self::Power => power::run(bench).await,
            Self::Fsync => fsync::run(bench).await,
            Self::FullDisk => full_disk::run(bench).await,
            Self::Floods => floods::run(bench).await,
            Self::Million => million::run(bench).await,
            Self::Graceful => graceful::run(bench).await,
        }
    }

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Power => "power",
            Self::Fsync => "fsync",
            Self::FullDisk => "full-disk",
            Self::Floods => "floods",
            Self::Million => "million",
            Self::Graceful => "graceful",
        }
    }

    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 at random instants loses and repeats nothing",
            Self::Power => "power cuts lose nothing that was acknowledged",
            Self::Fsync => "the first failed sync ends the process, and nothing is acknowledged after it",
            Self::FullDisk => "a full disk refuses puts, serves consumers, and recovers by itself",
            Self::Floods => "who does not read or says nothing disturbs nobody",
            Self::Million => "a million waiting messages cost little memory, little disk and a short start",
            Self::Graceful => "SIGTERM under load loses and repeats nothing",
        }
    }

    /// Whether it mounts disks.
    pub(crate) fn needs_disk(self) -> bool {
        matches!(self, Self::Power | Self::Fsync | Self::FullDisk)
    }
}
