//! Every metric: name, kind, help and labels.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Only rises, but for a restart.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by size, in buckets.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name, which ends with its unit: `_seconds`, `_bytes`, `_total` for a count.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// The labels of each of its series.
    pub labels: &'static [&'static str],
}

macro_rules! definitions {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// The metrics by name.
        pub mod names {
            use super::{Definition, Kind};
            $(
                #[doc = $help]
                pub const $constant: Definition =
                    Definition { name: $name, kind: Kind::$kind, help: $help, labels: &[$($label),*] };
            )+
            /// Every metric.
            pub const ALL: &[Definition] = &[$($constant),+];
        }
    };
}

definitions! {
    PUTS = Counter "swarmmq_puts_total" []
        "Messages stored and acknowledged.";
    PUT_BYTES = Counter "swarmmq_put_bytes_total" []
        "Bytes of encoded messages stored.";
    PUT_DUPLICATES = Counter "swarmmq_put_duplicates_total" []
        "Puts recognised as repeated and answered with the first result.";
    PUT_DURATION = Histogram "swarmmq_put_duration_seconds" []
        "Time from reading a put to its durable answer.";
    DELIVERIES = Counter "swarmmq_deliveries_total" []
        "Messages delivered to consumers, repetitions included.";
    DELIVERY_BYTES = Counter "swarmmq_delivery_bytes_total" []
        "Bytes of encoded messages delivered.";
    REDELIVERIES = Counter "swarmmq_redeliveries_total" []
        "Deliveries that were not the first of their message.";
    SETTLEMENTS = Counter "swarmmq_settlements_total" ["verdict"]
        "Receipts settled, by verdict.";
    SETTLE_DURATION = Histogram "swarmmq_settle_duration_seconds" []
        "Time from reading a settlement to its durable answer.";
    REQUESTS = Counter "swarmmq_requests_total" ["request"]
        "Requests read, by kind.";
    REQUESTS_IN_FLIGHT = Gauge "swarmmq_requests_in_flight" []
        "Requests without an answer yet.";
    REFUSALS = Counter "swarmmq_refusals_total" ["code"]
        "Requests answered with an error, by code.";
    CONNECTIONS = Gauge "swarmmq_connections" ["listener"]
        "Connections open, handshakes included.";
    CONNECTIONS_OPENED = Counter "swarmmq_connections_opened_total" ["listener"]
        "Connections accepted.";
    HANDSHAKE_FAILURES = Counter "swarmmq_handshake_failures_total" ["listener", "reason"]
        "Connections that ended before they were let in, by reason.";
    READ_BYTES = Counter "swarmmq_read_bytes_total" ["listener"]
        "Bytes read from peers.";
    WRITTEN_BYTES = Counter "swarmmq_written_bytes_total" ["listener"]
        "Bytes written to peers.";
    DROPS = Counter "swarmmq_drops_total" ["listener", "reason"]
        "Messages and requests dropped without an answer, by reason.";
    ZEROMQ_DROPS = Counter "swarmmq_zeromq_drops_total" ["endpoint", "reason"]
        "Connections closed and messages dropped by a ZeroMQ endpoint, by reason.";
    ZEROMQ_PEERS = Gauge "swarmmq_zeromq_peers" ["endpoint", "socket_type"]
        "Peers of a ZeroMQ endpoint, by the type of their socket.";
    ZEROMQ_RECEIVED = Counter "swarmmq_zeromq_received_messages_total" ["endpoint", "socket_type"]
        "Messages read from peers of a ZeroMQ endpoint, by the type of their socket.";
    ZEROMQ_SENT = Counter "swarmmq_zeromq_sent_messages_total" ["endpoint", "socket_type"]
        "Messages handed to the connections of peers of a ZeroMQ endpoint, by the type of their socket.";
    ZEROMQ_STATE = Gauge "swarmmq_zeromq_state" ["endpoint", "of"]
        "How many workers, requests, subscribers and so on a ZeroMQ endpoint has.";
    JOURNAL_SYNC_DURATION = Histogram "swarmmq_journal_sync_duration_seconds" []
        "Time of one write and sync of the journal.";
    JOURNAL_SYNC_RECORDS = Histogram "swarmmq_journal_sync_records" []
        "Records made durable by one sync.";
    JOURNAL_WRITTEN_BYTES = Counter "swarmmq_journal_written_bytes_total" []
        "Bytes made durable in the journal.";
    JOURNAL_MOVED_BYTES = Counter "swarmmq_journal_moved_bytes_total" []
        "Bytes of live records moved out of mostly dead segments.";
    JOURNAL_SIZE_BYTES = Gauge "swarmmq_journal_size_bytes" []
        "Bytes of the journal's files.";
    JOURNAL_LIVE_BYTES = Gauge "swarmmq_journal_live_bytes" []
        "Bytes of records still needed.";
    JOURNAL_SEGMENTS = Gauge "swarmmq_journal_segments" []
        "Segment files.";
    JOURNAL_QUEUE_BYTES = Gauge "swarmmq_journal_queue_bytes" []
        "Bytes that wait for the journal's writer.";
    JOURNAL_HOT_READS = Counter "swarmmq_journal_hot_reads_total" []
        "Reads of the journal answered from memory.";
    JOURNAL_COLD_READS = Counter "swarmmq_journal_cold_reads_total" []
        "Reads of the journal that went to the disk.";
    DESTINATIONS = Gauge "swarmmq_destinations" []
        "Destinations there are.";
    DESTINATION_MESSAGES = Gauge "swarmmq_destination_messages" ["destination"]
        "Messages held.";
    DESTINATION_SIZE_BYTES = Gauge "swarmmq_destination_size_bytes" ["destination"]
        "Bytes of encoded messages held.";
    DESTINATION_READY = Gauge "swarmmq_destination_ready" ["destination"]
        "Messages that could be delivered now, over all groups.";
    DESTINATION_LEASED = Gauge "swarmmq_destination_leased" ["destination"]
        "Messages delivered and not settled, over all groups.";
    DESTINATION_CONSUMERS = Gauge "swarmmq_destination_consumers" ["destination"]
        "Consumers waiting, over all groups.";
    DESTINATION_OLDEST_AGE = Gauge "swarmmq_destination_oldest_age_seconds" ["destination"]
        "Age of the oldest message that a group has not settled; of a destination without groups, of the oldest held.";
    DESTINATION_DROPPED = Counter "swarmmq_destination_dropped_total" ["destination"]
        "Messages dropped by retention. Not counted for the destinations under the label -other.";
    DESTINATION_EXPIRED = Counter "swarmmq_destination_expired_total" ["destination"]
        "Messages that outlived their time to live. Not counted for the destinations under the label -other.";
    DESTINATION_DEAD = Counter "swarmmq_destination_dead_total" ["destination"]
        "Messages given up by a group. Not counted for the destinations under the label -other.";
    READY = Gauge "swarmmq_ready" []
        "1 if the node takes requests, 0 if not: /health says why.";
    SHARDS = Gauge "swarmmq_shards" []
        "Shards of the cluster.";
    SHARDS_WITHOUT_LEADER = Gauge "swarmmq_shards_without_leader" []
        "Shards that nobody leads: their destinations are unavailable.";
    DISK_FULL = Gauge "swarmmq_disk_full" []
        "1 if the last allocation found the disk full.";
    BUILD_INFO = Gauge "swarmmq_build_info" ["version"]
        "Always 1; the label is the version.";
    UPTIME = Gauge "swarmmq_uptime_seconds" []
        "Time since the node was made.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" []
        "Memory of the process that is in RAM.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "Processor time of the process, user and system.";
    PROCESS_FDS = Gauge "process_open_fds" []
        "File descriptors open.";
    PROCESS_FDS_MAX = Gauge "process_max_fds" []
        "File descriptors that may be open.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads of the process.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the node was made, in seconds since 1970.";
}
