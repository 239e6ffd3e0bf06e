//! The seams through which time, chance and threads reach the shards.
//!
//! A node takes them from the operating system, a simulated world from its seed. Timers need no seam:
//! they are tokio's, whose clock a test can own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the shards need of the world.
pub trait World: Send + Sync + 'static {
    /// The time, ms since 1970. May jump; the shards never let their own time run backwards.
    fn now_ms(&self) -> u64;

    /// Eight random bytes.
    fn random(&self) -> u64;

    /// Whether blocking calls go to threads of their own. A simulated world has none.
    fn has_threads(&self) -> bool;
}

/// The operating system's clock and random bytes.
#[derive(Debug, Default)]
pub struct SystemWorld;

impl World for SystemWorld {
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        let filled = aws_lc_rs::rand::fill(&mut bytes);
        debug_assert!(filled.is_ok(), "the system's random source does not fail once it is seeded");
        u64::from_be_bytes(bytes)
    }

    fn has_threads(&self) -> bool {
        true
    }
}

/// A world as the tasks of a node hold it.
#[derive(Clone)]
pub(crate) struct Runtime {
    world: Arc<dyn World>,
    latest_ms: Arc<AtomicU64>,
}

impl Runtime {
    pub(crate) fn new(world: Arc<dyn World>) -> Self {
        Self { world, latest_ms: Arc::new(AtomicU64::new(0)) }
    }

    /// The time, ms since 1970, never less than it was.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.world.now_ms();
        self.latest_ms.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Eight random bytes.
    pub(crate) fn random(&self) -> u64 {
        self.world.random()
    }

    /// Runs a call that may wait for the disk where it holds no task up.
    pub(crate) async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        if !self.world.has_threads() {
            return call();
        }
        match tokio::task::spawn_blocking(call).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
