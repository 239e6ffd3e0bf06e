//! Peers that take without reading, and peers that connect and say nothing, beside honest ones.

mod half_open;
mod honest;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use parking_lot::Mutex;

use crate::memory;
use crate::node::{Node, Setup};
use crate::scenario::Bench;
use crate::scenario::floods::honest::Latencies;

/// How long honest clients are measured alone, and beside each flood.
const MEASURED: Duration = Duration::from_secs(3);
/// Connections that say nothing, to the native port and to the ZeroMQ endpoint.
const NATIVE: usize = 9_000;
const ZEROMQ: usize = 1_000;
/// What each may cost.
const HALF_OPEN_BYTES_MAX: u64 = 4 * 1024;
/// What honest clients and the allocator may take meanwhile.
const SLACK_BYTES: u64 = 48 << 20;
/// What a consumer that does not read may cost: its send queue, what is read ahead for it, and slack.
const UNREAD_BYTES_MAX: u64 = 64 << 20;
/// How often the memory of the node is looked at.
const MEMORY_POLL: Duration = Duration::from_millis(50);

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let setup = Setup::create(&bench.binary, &bench.dir, &bench.dir, "")?;
    let node = Node::start(&setup).await?;
    let address = setup.address();
    let alone = honest::put_for(&address, MEASURED).await?;
    println!("   alone:                    {alone}");

    let unread = unread::Unread::start(&address).await?;
    let watch = Watch::start(node.pid())?;
    let beside = honest::put_for(&address, MEASURED).await?;
    report("beside who does not read", &alone, &beside);
    let grown = watch.grown()?;
    println!("   memory grew by {} for a consumer that does not read", memory::mib(grown));
    ensure!(grown <= UNREAD_BYTES_MAX, "that is more than {}", memory::mib(UNREAD_BYTES_MAX));
    unread.check()?;
    drop(unread);

    let watch = Watch::start(node.pid())?;
    let flood = half_open::flood(setup.native, NATIVE, setup.zeromq, ZEROMQ);
    let (beside, closed) = tokio::join!(honest::put_for(&address, MEASURED), flood);
    let (beside, closed) = (beside?, closed?);
    report("beside half-open ones", &alone, &beside);
    println!(
        "   {} half-open connections, each closed after at most {:.1} s",
        NATIVE + ZEROMQ,
        closed.as_secs_f32()
    );
    let grown = watch.grown()?;
    let limit = HALF_OPEN_BYTES_MAX * (NATIVE + ZEROMQ) as u64 + SLACK_BYTES;
    println!("   memory grew by {}", memory::mib(grown));
    ensure!(grown <= limit, "that is more than {}", memory::mib(limit));
    node.kill()
}

fn report(what: &str, alone: &Latencies, beside: &Latencies) {
    println!(
        "   {what:<25} {beside}; p99 is {:.2} times what it was alone",
        beside.p99_us() / alone.p99_us()
    );
}

/// Watches how much memory a process takes, until dropped.
struct Watch {
    before: u64,
    most: Arc<Mutex<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn start(pid: u32) -> Result<Self> {
        let before = memory::of_process(pid)?.resident;
        let most = Arc::new(Mutex::new(before));
        let watched = most.clone();
        let task = tokio::spawn(async move {
            while let Ok(memory) = memory::of_process(pid) {
                let most = (*watched.lock()).max(memory.resident);
                *watched.lock() = most;
                // sleep: between two samples of the memory.
                tokio::time::sleep(MEMORY_POLL).await;
            }
        });
        Ok(Self { before, most, task })
    }

    /// By how much it grew at most. The process must still be there.
    fn grown(&self) -> Result<u64> {
        ensure!(!self.task.is_finished(), "the node has ended");
        Ok(self.most.lock().saturating_sub(self.before))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
