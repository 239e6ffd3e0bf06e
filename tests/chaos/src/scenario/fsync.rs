//! A sync that fails once, and works again: the kernel may have thrown away what it could not write, so that a
//! second sync that succeeds says nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::disk::Disk;
use crate::node::{Node, Setup};
use crate::scenario::kill::SMALL_SEGMENTS;
use crate::scenario::{Bench, progress};
use crate::workload::{Load, Plan};

const ROUNDS: u32 = 5;
/// Which sync of a thread fails: none of the few that a start takes, and one that comes soon under load.
const FAILING: std::ops::Range<u32> = 50..600;
/// What the process exits with when its journal cannot write (`EX_IOERR`).
const EXIT_JOURNAL_FAILED: i32 = 74;
/// So many syncs come under load in a fraction of this.
const FAILS_WITHIN: Duration = Duration::from_secs(30);
const START_MAX: Duration = Duration::from_secs(30);
/// Sparse: it takes what is written.
const DISK_BYTES: u64 = 2 << 30;

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let mut random = StdRng::seed_from_u64(bench.seed);
    let mut disk = Disk::create(&bench.dir, DISK_BYTES)?;
    let setup = Setup::create(&bench.binary, &bench.dir, disk.path(), SMALL_SEGMENTS)?;
    let mut node = Node::start(&setup).await?;
    let load = Load::start(&setup.address(), Plan { seed: bench.seed, consumes: true }).await?;
    let rounds = bench.rounds(ROUNDS);
    for round in 1..=rounds {
        node.kill()?;
        let failing = random.random_range(FAILING);
        node = Node::spawn(&setup, &failing_sync(failing))?;
        let status = node.until_ended(FAILS_WITHIN).await?;
        ensure!(
            status.code() == Some(EXIT_JOURNAL_FAILED),
            "sync {failing} failed, and the node ended with {status}: {}",
            node.log_tail()
        );
        // The injected failure left in the kernel's memory what was to be synced. Now it is really lost.
        disk.cut_power()?;
        disk.remount()?;
        node = Node::spawn(&setup, &[])?;
        let restart = node.until_healthy(START_MAX).await?;
        progress::round(round, rounds, load.counts(), &format!("sync {failing} failed"), restart);
    }
    progress::end(load.finish().await?);
    node.kill()
}

/// A program that runs another, and has one `fdatasync` of each of its threads fail without being done.
fn failing_sync(number: u32) -> Vec<String> {
    let inject = format!("inject=fdatasync:error=EIO:when={number}");
    ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]
        .map(str::to_owned)
        .to_vec()
}
