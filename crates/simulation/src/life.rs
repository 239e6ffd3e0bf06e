//! One life of the node: from opening its disk to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swarmmq_cluster::{Cluster, ClusterOptions, ShardCount, Unobserved};
use swarmmq_journal::simulated::SimulatedDisk;
use swarmmq_journal::{Journal, Options, Step, Writer};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::seed::Seed;
use crate::world::SimulatedWorld;

/// Shards of the simulated node: few, so that each sees much.
const SHARDS: u32 = 3;
/// How long the node may take to serve.
const START_AT_MOST: Duration = Duration::from_secs(60);

/// A running node.
pub(crate) struct Life {
    pub(crate) cluster: Cluster,
    journal: Journal,
    writer: JoinHandle<()>,
    closing: Arc<AtomicBool>,
    /// Set when the journal stopped for good: the process would abort.
    pub(crate) fatal: Arc<AtomicBool>,
}

/// The journal's limits in the simulation: small, so that rolling, moving and filling up happen often.
fn options(fatal: Arc<AtomicBool>) -> Options {
    Options {
        segment_bytes: 128 << 10,
        hot_bytes: 64 << 10,
        batch_bytes: 32 << 10,
        reserve_bytes: 32 << 10,
        mark_bytes: 64 << 10,
        mark_batches: 32,
        move_slice_bytes: 8 << 10,
        fatal: Some(Arc::new(move |_| fatal.store(true, Ordering::Release))),
        ..Options::default()
    }
}

impl Life {
    /// Opens the disk and starts the shards.
    pub(crate) async fn begin(disk: SimulatedDisk, now_ms: u64, mut seed: Seed) -> Result<Self, String> {
        let fatal = Arc::new(AtomicBool::new(false));
        let (journal, writer) =
            Journal::open(Arc::new(disk), options(fatal.clone())).map_err(|error| error.to_string())?;
        let world = Arc::new(SimulatedWorld::new(now_ms, seed.split()));
        let closing = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(journal.clone(), writer, closing.clone(), seed.split()));
        let options = ClusterOptions {
            name: "simulation".into(),
            address: "node:9001".into(),
            shards: ShardCount::new(SHARDS).ok_or("no shards")?,
            auto_create: Some(DestinationSettings::queue().into()),
            queue_group: GroupSettings::default(),
            destinations_max: 100_000,
        };
        let cluster = Cluster::start(options, journal.clone(), world, Arc::new(Unobserved))
            .await
            .map_err(|error| error.to_string())?;
        cluster
            .wait_until_available(START_AT_MOST)
            .await
            .map_err(|health| format!("not available within {START_AT_MOST:?}: {health:?}"))?;
        Ok(Self { cluster, journal, writer, closing, fatal })
    }

    /// Stops gracefully.
    pub(crate) async fn stop(self) {
        self.cluster.shutdown().await;
        self.closing.store(true, Ordering::Release);
        self.journal.close();
        let _ended = self.writer.await;
    }
}

/// The journal's writer as a task: each step takes the time of a sync, which the seed makes long or short.
async fn write(journal: Journal, mut writer: Writer, closing: Arc<AtomicBool>, mut seed: Seed) {
    let work = Arc::new(Notify::new());
    let waker = work.clone();
    journal.set_wake(Box::new(move || waker.notify_one()));
    loop {
        tokio::time::sleep(Duration::from_micros(500 + seed.below(5_000))).await;
        match writer.step() {
            Step::Worked => {}
            _ if closing.load(Ordering::Acquire) => break,
            _ => {
                let pause = Duration::from_millis(50);
                if tokio::time::timeout(pause, work.notified()).await.is_err() {
                    let _chores = writer.idle();
                }
            }
        }
    }
    writer.finish();
}
