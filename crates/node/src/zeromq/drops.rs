//! What was refused or dropped, by endpoint and reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use tokio::time::Instant;
use tracing::warn;

use crate::telemetry::metrics::{HandshakeFailure, ListenerMetrics, Metrics};
use crate::throttle::Throttle;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// Why a connection was closed or a message dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(usize)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The reason as metrics and logs show it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Connection: the endpoint has as many as it may.
    ConnectionsMax = "connections-max";
    /// Connection: its address has as many as it may.
    ConnectionsPerAddressMax = "connections-per-address-max";
    /// Connection: too many have not finished their handshake.
    HandshakesMax = "handshakes-max";
    /// Connection: its handshake took too long.
    HandshakeTimeout = "handshake-timeout";
    /// Connection: it sent too many bytes before its handshake was done.
    HandshakeTooLarge = "handshake-too-large";
    /// Connection: what it sent first is not a ZMTP greeting.
    NotZmtp = "not-zmtp";
    /// Connection: it speaks ZMTP 2 or older.
    Version = "zmtp-version";
    /// Connection: it wants another security mechanism.
    Mechanism = "mechanism";
    /// Connection: no user has the key, or the name and password, that it shows.
    Credentials = "credentials";
    /// Connection: its CURVE handshake is for the key of another server.
    ServerKey = "server-key";
    /// Connection: its address has failed to show who it is too often, and has to wait.
    FailedTooOften = "failed-too-often";
    /// Connection: it is of a user who is not let in any more.
    Revoked = "revoked";
    /// Connection: its socket type does not go with the endpoint.
    SocketType = "socket-type";
    /// Connection: its handshake is wrong in another way.
    Handshake = "handshake";
    /// Connection: it broke the rules of ZMTP after its handshake.
    Protocol = "zmtp-protocol";
    /// Connection: it announced a frame or a message that is too large to be read.
    Oversized = "oversized";
    /// Connection: it was silent for too long.
    Silent = "silent";
    /// Connection: nobody who has not said who it is may use the endpoint. Message: its sender may not do this; the
    /// peer was told.
    Forbidden = "forbidden";
    /// Message: it is no request; the peer was told.
    Malformed = "malformed";
    /// Message: it is too large; a peer that expects an answer was told.
    TooLarge = "too-large";
    /// Message: it has several frames, and the endpoint refuses those.
    Multipart = "multipart";
    /// Message: the destination refused it for good.
    Refused = "refused";
    /// Message: it is for a peer that is not there, or not any more.
    Unroutable = "unroutable";
    /// Message: the queue of the peer it is for is full.
    QueueFull = "queue-full";
    /// Message: its deadline passed before anybody took it.
    Expired = "expired";
    /// Message: nobody wants it.
    Unwanted = "unwanted";
    /// Message: a reply that nobody waits for.
    Unexpected = "unexpected";
    /// Message: there are as many topics, services, subscriptions or stored requests as there may be, or a stored reply
    /// is too large.
    LimitReached = "limit-reached";
    /// Message: its worker died.
    WorkerLost = "worker-lost";
    /// Message: it cannot be stored now; the peer was told.
    Unavailable = "unavailable";
    /// Connection: it broke the rules of the endpoint's protocol.
    Disconnected = "disconnected";
    /// Mirrored message: the tap has not passed on those before it. The message itself went its way.
    TapBehind = "tap-behind";
    /// Message: it was read, and not known to be stored when its session ended.
    Unconfirmed = "unconfirmed";
}

impl Reason {
    /// Whether a limit is why a message was dropped: whoever set the limit wants to know.
    fn is_limit_of_messages(self) -> bool {
        matches!(self, Self::LimitReached | Self::QueueFull | Self::TooLarge)
    }

    /// How the metrics that all listeners have in common count it, if it ends a handshake.
    fn handshake_failure(self) -> Option<HandshakeFailure> {
        match self {
            Self::ConnectionsMax
            | Self::ConnectionsPerAddressMax
            | Self::HandshakesMax
            | Self::FailedTooOften => Some(HandshakeFailure::Limit),
            Self::HandshakeTimeout => Some(HandshakeFailure::Timeout),
            Self::HandshakeTooLarge
            | Self::NotZmtp
            | Self::Version
            | Self::Mechanism
            | Self::Credentials
            | Self::ServerKey
            | Self::SocketType
            | Self::Handshake => Some(HandshakeFailure::Protocol),
            _ => None,
        }
    }
}

/// The drops of one endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drops {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: String,
    listener: Arc<ListenerMetrics>,
    lines: Throttle,
    reasons: Vec<OfReason>,
}

/// The drops for one reason.
#[derive(Debug)]
struct OfReason {
    count: AtomicU64,
    counter: Counter,
    /// Of its own, so that many of one kind do not hide the few of another.
    lines: Throttle,
}

impl Drops {
    /// No drops yet. They are counted here, and in the metrics as `swarmmq_zeromq_drops_total`.
    #[must_use]
    pub fn new(endpoint: &str, metrics: &Metrics) -> Self {
        let of_reason = |reason: &Reason| OfReason {
            count: AtomicU64::new(0),
            counter: metrics.zeromq_drops(endpoint, reason.as_str()),
            lines: Throttle::default(),
        };
        let reasons = Reason::ALL.iter().map(of_reason).collect();
        let listener = metrics.listener(endpoint);
        Self {
            inner: Arc::new(Inner {
                endpoint: endpoint.to_owned(),
                listener,
                lines: Throttle::default(),
                reasons,
            }),
        }
    }

    /// What all listeners count.
    pub(super) fn listener(&self) -> &ListenerMetrics {
        &self.inner.listener
    }

    /// Whether a line about the endpoint's peers may be logged, and how many were not before it: a flood of
    /// wrong peers must not become one of lines.
    pub(super) fn admits_line(&self) -> Option<u64> {
        self.inner.lines.admits(Instant::now())
    }

    /// The same, about what is dropped for one reason.
    pub(super) fn admits_line_of(&self, reason: Reason) -> Option<u64> {
        self.inner.reasons.get(reason as usize)?.lines.admits(Instant::now())
    }

    /// Counts a message that was dropped, and says so in the log if a limit is why. `user` is who sent it, or who should
    /// have got it, if that is known.
    pub(super) fn count_message(&self, reason: Reason, user: Option<&str>) {
        self.count(reason);
        if !reason.is_limit_of_messages() {
            return;
        }
        if let Some(silent) = self.admits_line_of(reason) {
            let (endpoint, reason) = (self.endpoint(), reason.as_str());
            warn!(endpoint, reason, user, silent, "a ZeroMQ message is dropped: a limit is reached");
        }
    }

    /// The endpoint's name.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Counts one drop.
    pub fn count(&self, reason: Reason) {
        self.count_many(reason, 1);
    }

    /// Counts so many drops for one reason.
    pub fn count_many(&self, reason: Reason, drops: u64) {
        if let Some(of_reason) = self.inner.reasons.get(reason as usize) {
            of_reason.count.fetch_add(drops, Ordering::Relaxed);
            of_reason.counter.increment(drops);
        }
        if let Some(failure) = reason.handshake_failure() {
            self.inner.listener.handshake_failed(failure);
        }
    }

    /// How many there were for a reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.inner.reasons.get(reason as usize).map_or(0, |one| one.count.load(Ordering::Relaxed))
    }

    /// The reasons that occurred, and how often.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Reason, u64)> {
        let counted = Reason::ALL.iter().map(|reason| (*reason, self.of(*reason)));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_by_reason_here_and_in_the_metrics() {
        let metrics = Metrics::new(0);
        let drops = Drops::new("orders", &metrics);
        drops.count(Reason::Malformed);
        drops.clone().count_many(Reason::Unconfirmed, 3);
        assert_eq!(drops.snapshot(), [(Reason::Malformed, 1), (Reason::Unconfirmed, 3)]);
        let page = metrics.render(None).finish();
        let line = |reason| format!("swarmmq_zeromq_drops_total{{endpoint=\"orders\",reason=\"{reason}\"}}");
        assert!(page.contains(&format!("{} 3", line("unconfirmed"))), "{page}");
        assert!(
            page.contains(&format!("{} 0", line("oversized"))),
            "what can happen is there before it does"
        );
    }

    #[test]
    fn lines_about_one_reason_do_not_hide_those_about_another() {
        let drops = Drops::new("orders", &Metrics::new(0));
        while drops.admits_line_of(Reason::QueueFull).is_some() {}
        assert_eq!(drops.admits_line_of(Reason::Credentials), Some(0));
        assert_eq!(drops.admits_line(), Some(0));
    }
}
