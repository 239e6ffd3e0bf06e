//! What a listener counts.

use std::sync::Arc;

use metrics::{Counter, Gauge};

use super::definitions::names;
use super::node::Registry;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it stands in the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Why something was dropped without an answer.
    DropReason {
        /// It was not a request, and the socket has no way to say so.
        Malformed = "malformed",
        /// It was larger than allowed.
        TooLarge = "too-large",
        /// The peer may not, and the socket has no way to say so.
        Forbidden = "forbidden",
        /// The node refused it, and the socket has no way to say so.
        Refused = "refused",
        /// The peer was gone before its answer.
        PeerGone = "peer-gone",
        /// The peer does not read, and its queue is full.
        QueueFull = "queue-full",
        /// The node is stopping.
        ShuttingDown = "shutting-down",
    }
}

reasons! {
    /// Why a connection ended before it was let in.
    HandshakeFailure {
        /// As many connections as allowed are open.
        Limit = "limit",
        /// It took too long.
        Timeout = "timeout",
        /// The peer spoke something else.
        Protocol = "protocol",
        /// TLS failed.
        Tls = "tls",
        /// What the peer showed is not valid.
        Unauthenticated = "unauthenticated",
        /// The peer hung up.
        Closed = "closed",
    }
}

/// The handles of one listener, obtained once.
#[derive(Debug)]
pub struct ListenerMetrics {
    connections: Gauge,
    opened: Counter,
    failures: Vec<Counter>,
    drops: Vec<Counter>,
    /// Bytes read from peers. Add them by read, not by message.
    pub read_bytes: Counter,
    /// Bytes written to peers. Add them by write, not by message.
    pub written_bytes: Counter,
}

impl ListenerMetrics {
    pub(super) fn new(registry: &Registry, listener: &str) -> Self {
        let one = &[("listener", listener)][..];
        let with = |reason| [("listener", listener), ("reason", reason)];
        let failure =
            |reason: &HandshakeFailure| registry.counter(&names::HANDSHAKE_FAILURES, &with(reason.as_str()));
        let drops = |reason: &DropReason| registry.counter(&names::DROPS, &with(reason.as_str()));
        Self {
            connections: registry.gauge(&names::CONNECTIONS, one),
            opened: registry.counter(&names::CONNECTIONS_OPENED, one),
            failures: HandshakeFailure::ALL.iter().map(failure).collect(),
            drops: DropReason::ALL.iter().map(drops).collect(),
            read_bytes: registry.counter(&names::READ_BYTES, one),
            written_bytes: registry.counter(&names::WRITTEN_BYTES, one),
        }
    }

    /// A connection was accepted.
    pub fn opened(&self) {
        self.opened.increment(1);
        self.connections.increment(1.0);
    }

    /// A connection that was accepted has ended.
    pub fn closed(&self) {
        self.connections.decrement(1.0);
    }

    /// A connection was accepted; it has ended when the value is dropped, however that comes.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.opened();
        OpenConnection(Arc::clone(self))
    }

    /// A connection ended before it was let in.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        if let Some(counter) = self.failures.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// `count` messages or requests were dropped without an answer.
    pub fn dropped(&self, reason: DropReason, count: u64) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.increment(count);
        }
    }
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<ListenerMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed();
    }
}
