//! `kill -9` under load, again and again on one data directory.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::node::{Node, Setup};
use crate::scenario::{Bench, progress};
use crate::workload::{Load, Plan};

const ROUNDS: u32 = 50;
/// For so long a node serves before it is killed.
const SERVES_MS: std::ops::Range<u64> = 200..900;
/// In one round of so many the node is killed a second time while it starts.
const KILLED_TWICE_EVERY: u32 = 5;
/// How long after its start the second kill comes: while the journal is read, or shards find leaders.
const STARTS_MS: std::ops::Range<u64> = 1..150;
const START_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let mut random = StdRng::seed_from_u64(bench.seed);
    let setup = Setup::create(&bench.binary, &bench.dir, &bench.dir, SMALL_SEGMENTS)?;
    let mut node = Node::start(&setup).await?;
    let load = Load::start(&setup.address(), Plan { seed: bench.seed, consumes: true }).await?;
    let rounds = bench.rounds(ROUNDS);
    for round in 1..=rounds {
        // sleep: the fault comes at an instant that the seed chose.
        tokio::time::sleep(Duration::from_millis(random.random_range(SERVES_MS))).await;
        node.kill()?;
        let mut what = "killed";
        if round.is_multiple_of(KILLED_TWICE_EVERY) {
            what = "killed, and as it started";
            let starting = Node::spawn(&setup, &[])?;
            // sleep: the fault comes at an instant that the seed chose.
            tokio::time::sleep(Duration::from_millis(random.random_range(STARTS_MS))).await;
            starting.kill()?;
        }
        node = Node::spawn(&setup, &[])?;
        let restart = node.until_healthy(START_MAX).await?;
        progress::round(round, rounds, load.counts(), what, restart);
    }
    progress::end(load.finish().await?);
    node.kill()
}

/// Segments so small that some are finished, reclaimed and cut off in each round.
pub(super) const SMALL_SEGMENTS: &str = "journal:\n  segment_size: 4MiB\n  reserve_size: 1MiB\n";
