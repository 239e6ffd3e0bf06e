//! Power cuts: what was not synced is really gone.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::disk::Disk;
use crate::node::{Node, Setup};
use crate::scenario::kill::SMALL_SEGMENTS;
use crate::scenario::{Bench, progress};
use crate::workload::{Load, Plan};

const ROUNDS: u32 = 20;
/// For so long a node serves before the cut.
const SERVES_MS: std::ops::Range<u64> = 200..900;
/// A thread stops once the call into the kernel that it is in returns.
const FREEZE_MAX: Duration = Duration::from_secs(10);
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
        // sleep: the fault comes at an instant that the seed chose.
        tokio::time::sleep(Duration::from_millis(random.random_range(SERVES_MS))).await;
        // The processor stops with the disk, in the middle of whatever it does, or the process is killed just before.
        // A process that still runs while its file system is shut down proves nothing: the kernel then answers some
        // syncs with success whose data it has just lost, one in six cuts with a program of ten lines.
        let what = if random.random_bool(0.5) {
            node.freeze(FREEZE_MAX).await?;
            disk.cut_power()?;
            node.end()?;
            "frozen"
        } else {
            node.end()?;
            disk.cut_power()?;
            "killed"
        };
        disk.remount()?;
        node = Node::spawn(&setup, &[])?;
        let restart = node.until_healthy(START_MAX).await?;
        progress::round(round, rounds, load.counts(), what, restart);
    }
    progress::end(load.finish().await?);
    node.kill()
}
