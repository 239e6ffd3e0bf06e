//! How much a `pub-sub` endpoint takes on.

/// The options and limits of a [`PubSub`](super::PubSub).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubLimits {
    /// Whether the last publication of each topic is kept, for those who subscribe later. Default no: a subscriber of
    /// a plain proxy does not expect publications from before it subscribed. With it all publishers send everything,
    /// whether somebody subscribed or not, so that a value is known before anybody asks for it.
    pub last_values: bool,
    /// Most topics whose last value is kept. Default 100,000. The least recently updated one makes room.
    pub last_values_max: usize,
    /// Most bytes of all last values, with [`VALUE_BYTES`](super::VALUE_BYTES) more for each. Default 64 MiB, so that
    /// an endpoint whose topics are never repeated stays small beside its connections' queues.
    pub last_values_bytes_max: usize,
    /// How long a last value is kept that is not updated, milliseconds. Default none: until another makes it go.
    pub last_value_age_max_ms: Option<u64>,
    /// Most distinct prefixes one subscriber may hold. Default 200,000: twice what the largest fleets known to us
    /// subscribe to.
    pub subscriptions_max: usize,
    /// Most bytes of all prefixes one subscriber holds, with [`SUBSCRIPTION_BYTES`] more for each. Default 64 MiB.
    pub subscription_bytes_max: usize,
    /// Most bytes of all prefixes of all subscribers, counted likewise. Default 512 MiB.
    pub subscription_bytes_total_max: usize,
    /// Longest prefix to subscribe to, bytes. Default 4,096.
    pub prefix_bytes_max: usize,
}

/// What a subscription is counted for besides the bytes of its prefix: about what it costs in the maps that hold it.
pub const SUBSCRIPTION_BYTES: usize = 160;

impl Default for PubSubLimits {
    fn default() -> Self {
        Self {
            last_values: false,
            last_values_max: 100_000,
            last_values_bytes_max: 64 << 20,
            last_value_age_max_ms: None,
            subscriptions_max: 200_000,
            subscription_bytes_max: 64 << 20,
            subscription_bytes_total_max: 512 << 20,
            prefix_bytes_max: 4096,
        }
    }
}
