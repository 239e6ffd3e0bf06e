//! How much a pool of workers takes on, and how long it waits.

/// The limits of an endpoint with workers. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLimits {
    /// How often the endpoint tells each worker that it lives, and is to hear from it. Workers must be set to about the
    /// same. Default 2,500, as the Guide's Majordomo workers have it; 1,000 for Paranoid Pirate. At least 1.
    pub heartbeat_ms: u64,
    /// For how many such intervals a worker may be silent. Default 3; the RFCs ask for 3 to 5. At least 1.
    pub liveness: u32,
    /// How long a worker may be silent while it has a request, if that is longer; from when it got it, or was last heard
    /// of since. The Guide's workers have one thread
    /// and send no heartbeat while they work; for those set it to the longest time that a request takes. A worker whose
    /// connection ends is known to be gone at once all the same. Default 0: no longer than others.
    pub busy_silence_ms: u64,
    /// How long a request waits for a worker before it is dropped, and again if its worker is lost. Default 30,000.
    pub wait_ms: u64,
    /// A request whose worker is lost is dropped, not given to another. Default false: it is given to another, once.
    pub at_most_once: bool,
    /// Most services that have a worker or a request. Default 1,024.
    pub services_max: usize,
    /// Most workers. Default 4,096.
    pub workers_max: usize,
    /// Most requests that wait at one service. Default 10,000.
    pub queue_requests_max: usize,
    /// Most bytes of the requests that wait at one service, as memory counts them. Default 64 MiB. A request that a
    /// worker can take at once need not fit.
    pub queue_bytes_max: usize,
    /// Most requests of all services, those that are being worked on included. Default 100,000.
    pub requests_max: usize,
    /// Most bytes of all those requests, and of parts of replies that wait for the last. Default 256 MiB.
    pub bytes_max: usize,
    /// Most bytes of the parts of one reply that are joined, for a client that can take only a whole one. Default: as many
    /// as there is room for among all those bytes.
    pub joined_bytes_max: usize,
    /// Most requests of one client that are not answered. While it has so many it is not read from. Default 1,000.
    pub client_requests_max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            heartbeat_ms: 2500,
            liveness: 3,
            busy_silence_ms: 0,
            wait_ms: 30_000,
            at_most_once: false,
            services_max: 1024,
            workers_max: 4096,
            queue_requests_max: 10_000,
            queue_bytes_max: 64 << 20,
            requests_max: 100_000,
            bytes_max: 256 << 20,
            joined_bytes_max: usize::MAX,
            client_requests_max: 1000,
        }
    }
}

impl PoolLimits {
    /// Those of a Paranoid Pirate queue, which beats once a second.
    #[must_use]
    pub fn paranoid_pirate() -> Self {
        Self { heartbeat_ms: 1000, ..Self::default() }
    }

    /// How long a worker without a request may be silent.
    #[must_use]
    pub fn silence_ms(&self) -> u64 {
        self.beat_ms().saturating_mul(u64::from(self.liveness.max(1)))
    }

    /// How long a worker with a request may be silent.
    #[must_use]
    pub fn silence_at_work_ms(&self) -> u64 {
        self.busy_silence_ms.max(self.silence_ms())
    }

    /// The interval of heartbeats, which is never nothing.
    pub(super) fn beat_ms(&self) -> u64 {
        self.heartbeat_ms.max(1)
    }
}
