//! SIGTERM under load: the node answers what is under way, and leaves.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::node::{Node, Setup};
use crate::scenario::kill::SMALL_SEGMENTS;
use crate::scenario::{Bench, progress};
use crate::workload::{Load, Plan};

const ROUNDS: u32 = 10;
/// For so long a node serves before it is told to stop.
const SERVES_MS: std::ops::Range<u64> = 200..900;
/// The node's own limit, `node.shutdown_timeout`.
const STOP_MAX: Duration = Duration::from_secs(20);
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
        let (status, stopping) = node.terminate(STOP_MAX).await?;
        ensure!(status.success(), "the node was told to stop, and ended with {status}");
        node = Node::spawn(&setup, &[])?;
        let restart = node.until_healthy(START_MAX).await?;
        let what = format!("stopped in {} ms", stopping.as_millis());
        progress::round(round, rounds, load.counts(), &what, restart);
    }
    progress::end(load.finish().await?);
    node.kill()
}
