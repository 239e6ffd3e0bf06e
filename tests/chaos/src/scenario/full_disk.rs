//! A disk that fills up, and has space again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use swarmmq::{Client, ClientOptions, DestinationName, ErrorCode, Message};

use crate::disk::Disk;
use crate::http;
use crate::node::{Node, Setup};
use crate::scenario::kill::SMALL_SEGMENTS;
use crate::scenario::{Bench, progress};
use crate::workload::{Load, Plan};

const DISK_BYTES: u64 = 128 << 20;
/// What somebody else has on the disk, and deletes later.
const FILLER_BYTES: usize = 64 << 20;
/// Clients fill what is left in a fraction of this.
const FILLS_WITHIN: Duration = Duration::from_secs(30);
/// Acknowledgements that must be confirmed while the disk is full.
const ACKS_MIN: u64 = 1_000;
const ACKS_WITHIN: Duration = Duration::from_secs(20);
/// Once there is space again, the node must have noticed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(15);
/// The node stays ready for the consumers that free its disk, and says that it is not well.
const DEGRADED: &str = r#""status":"degraded""#;
/// A put that probes is not tried for longer.
const PROBE_MAX: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(20);
const START_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let disk = Disk::create(&bench.dir, DISK_BYTES)?;
    let filler = disk.path().join("filler");
    fill(&filler)?;
    let setup = Setup::create(&bench.binary, &bench.dir, disk.path(), SMALL_SEGMENTS)?;
    let mut node = Node::start(&setup).await?;
    let prober = Prober::new(&setup).await?;
    let mut load = Load::start(&setup.address(), Plan { seed: bench.seed, consumes: false }).await?;

    let took = prober.until_refused().await?;
    let counts = load.counts();
    println!(
        "   full after {:.1} s: {} stored; puts are refused with DISK-FULL",
        took.as_secs_f32(),
        counts.stored
    );

    load.consume(&setup.address()).await?;
    let took = until_acknowledged(&load, &mut node).await?;
    println!("   while it is full: {} acknowledged in {:.1} s", load.counts().acked, took.as_secs_f32());

    let deleted = async {
        fs::remove_file(&filler)?;
        prober.until_stored().await
    };
    // What producers have under way is stored as soon as there is space.
    let (stopped, took) = tokio::join!(load.stop_producers(), deleted);
    stopped?;
    println!(
        "   {} MiB were deleted: puts are stored again after {:.1} s",
        FILLER_BYTES >> 20,
        took?.as_secs_f32()
    );

    node.kill()?;
    node = Node::spawn(&setup, &[])?;
    let restart = node.until_healthy(START_MAX).await?;
    progress::round(1, 1, load.counts(), "killed", restart);
    progress::end(load.finish().await?);
    node.kill()
}

fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![1; FILLER_BYTES])?;
    Ok(file.sync_all()?)
}

async fn until_acknowledged(load: &Load, node: &mut Node) -> Result<Duration> {
    let began = Instant::now();
    while load.counts().acked < ACKS_MIN {
        node.check()?;
        let counts = load.counts();
        ensure!(began.elapsed() < ACKS_WITHIN, "consumers are not served while the disk is full: {counts:?}");
        // sleep: between two looks at a condition that has a deadline.
        tokio::time::sleep(POLL).await;
    }
    Ok(began.elapsed())
}

/// Puts to a queue of its own, to see whether puts are taken.
struct Prober {
    client: Client,
    queue: DestinationName,
    http: u16,
}

impl Prober {
    async fn new(setup: &Setup) -> Result<Self> {
        let options = ClientOptions::default().address(setup.address()).request_timeout(PROBE_MAX);
        let client = options.connect().await?;
        Ok(Self { client, queue: DestinationName::new("chaos.probe")?, http: setup.http })
    }

    /// Waits until a put is refused as it should be, and the node says why.
    async fn until_refused(&self) -> Result<Duration> {
        let began = Instant::now();
        loop {
            match self.put().await {
                Err(error) if error.code() == Some(ErrorCode::DiskFull) => break,
                Ok(_) => {}
                Err(error) => bail!("a put on a full disk ends with something else than DISK-FULL: {error}"),
            }
            ensure!(began.elapsed() < FILLS_WITHIN, "no put was refused in {FILLS_WITHIN:?}");
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(POLL).await;
        }
        let health = http::get(self.http, "/health").await.context("the node says nothing")?;
        ensure!(
            health.status == 200 && health.body.contains(DEGRADED) && health.body.contains("DISK-FULL"),
            "the disk is full, and the node says {}: {}",
            health.status,
            health.body
        );
        Ok(began.elapsed())
    }

    /// Waits until a put is stored and the node is healthy.
    async fn until_stored(&self) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let put = self.put().await;
            let health = http::get(self.http, "/health").await?;
            if put.is_ok() && health.status == 200 && !health.body.contains(DEGRADED) {
                return Ok(began.elapsed());
            }
            ensure!(
                began.elapsed() < RECOVERS_WITHIN,
                "there is space for {RECOVERS_WITHIN:?}; a put ends with {put:?}, health is {}",
                health.body
            );
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(POLL).await;
        }
    }

    async fn put(&self) -> Result<swarmmq::Stored, swarmmq::Error> {
        self.client.producer(&self.queue).build().send(Message::new("is there space?")).await
    }
}
