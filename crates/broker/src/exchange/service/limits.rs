//! How much a broker keeps of what clients may repeat, and for how long.

/// The limits of kept replies. Requests that are not answered have those of the [pool](crate::exchange::PoolLimits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatLimits {
    /// For how many milliseconds a reply is kept. Default 0: repeats are not recognised, and nothing looks for ids.
    pub keep_ms: u64,
    /// Most replies that are kept. Default 100,000. The oldest make room.
    pub replies_max: usize,
    /// Most bytes of all kept replies, each counted for about 512 bytes more, and 32 more for each frame. Default 64
    /// MiB. The oldest make room; one that does not fit alone is not kept.
    pub bytes_max: usize,
}

impl Default for RepeatLimits {
    fn default() -> Self {
        Self { keep_ms: 0, replies_max: 100_000, bytes_max: 64 << 20 }
    }
}
