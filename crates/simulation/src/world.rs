//! The simulated world as the shards see it: the paused clock, and chance from the seed.

use parking_lot::Mutex;
use swarmmq_cluster::World;
use tokio::time::Instant;

use crate::seed::Seed;

/// One life's time and chance.
pub(crate) struct SimulatedWorld {
    began: Instant,
    began_ms: u64,
    seed: Mutex<Seed>,
}

impl SimulatedWorld {
    /// A world in which it is `began_ms` now. Call it inside the life's runtime.
    pub(crate) fn new(began_ms: u64, seed: Seed) -> Self {
        Self { began: Instant::now(), began_ms, seed: Mutex::new(seed) }
    }
}

impl World for SimulatedWorld {
    fn now_ms(&self) -> u64 {
        self.began_ms + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&self) -> u64 {
        self.seed.lock().number()
    }

    fn has_threads(&self) -> bool {
        false
    }
}
