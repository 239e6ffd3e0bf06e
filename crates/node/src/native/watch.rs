//! A session's sense of time: silence, requests that take too long, and the node's stopping.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::native::options::NativeOptions;
use crate::native::outbox::{Outbox, Outgoing};
use crate::native::session::Ending;
use crate::native::shared::Phase;

/// What the halves of a session tell of their progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Reads that brought something.
    pub(crate) reads: AtomicU64,
    /// Writes that took something.
    pub(crate) writes: AtomicU64,
    /// Whether the session does not read, because it waits for room.
    pub(crate) waits_for_room: AtomicBool,
    /// Whether something is being written.
    pub(crate) is_writing: AtomicBool,
    /// Set where reading lets writing go on.
    pub(crate) yields: AtomicBool,
}

/// How often a session looks at the clock. There is one timer for a session, and it is slow: thousands
/// of idle connections must cost next to nothing.
pub(crate) fn tick(options: &NativeOptions) -> Duration {
    (options.idle.min(options.request) / 4).max(Duration::from_millis(1))
}

/// What has not happened for how many ticks.
#[derive(Debug, Default)]
struct Quiet {
    reads: u64,
    writes: u64,
    silent_ticks: u32,
    stalled_ticks: u32,
}

impl Quiet {
    fn tick(&mut self, progress: &Progress) {
        let reads = progress.reads.load(Ordering::Relaxed);
        let silent = reads == self.reads;
        self.silent_ticks = if silent { self.silent_ticks + 1 } else { 0 };
        self.reads = reads;
        let writes = progress.writes.load(Ordering::Relaxed);
        let stalled = progress.is_writing.load(Ordering::Relaxed) && writes == self.writes;
        self.stalled_ticks = if stalled { self.stalled_ticks + 1 } else { 0 };
        self.writes = writes;
    }
}

/// Runs until the session has to end.
pub(crate) async fn watch(
    options: &NativeOptions,
    outbox: &Outbox,
    progress: &Progress,
    mut phase: watch::Receiver<Phase>,
) -> Ending {
    let period = tick(options);
    let idle_ticks = u32::try_from(options.idle.as_nanos().div_ceil(period.as_nanos())).unwrap_or(u32::MAX);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet = Quiet::default();
    let mut pings = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                quiet.tick(progress);
                outbox.tick();
                // While we do not read, the peer's silence is our own doing.
                let listens = !progress.waits_for_room.load(Ordering::Relaxed);
                if quiet.stalled_ticks >= idle_ticks {
                    return Ending::Stalled;
                }
                if quiet.silent_ticks >= idle_ticks && listens {
                    return Ending::Idle;
                }
                if quiet.silent_ticks > 0 && quiet.silent_ticks.is_multiple_of((idle_ticks / 2).max(1)) {
                    pings += 1;
                    outbox.push(Outgoing::Ping(pings));
                    outbox.relax();
                }
            }
            changed = phase.wait_for(|phase| *phase > Phase::Serving) => {
                let closing = changed.map_or(true, |phase| *phase == Phase::Closing);
                if closing {
                    return Ending::Aborted;
                }
                break;
            }
        }
    }
    outbox.drain();
    tokio::select! {
        () = outbox.drained() => Ending::Stopping,
        _ = phase.wait_for(|phase| *phase == Phase::Closing) => Ending::Aborted,
        () = drains_too_slowly(outbox, period) => Ending::Aborted,
    }
}

/// Time goes on while a session drains, so that a request that takes too long does not hold it up.
async fn drains_too_slowly(outbox: &Outbox, period: Duration) {
    let mut ticks = interval_at(Instant::now() + period, period);
    loop {
        ticks.tick().await;
        outbox.tick();
    }
}
