//! Refused authentications: why, how often, and a line in the log that a flood cannot turn into one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::telemetry::OperatorCode;
use crate::throttle::Throttle;

/// Why a peer was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It showed nothing, and somebody has to be shown.
    NoCredential,
    /// It showed an API key, or a password, that nobody has.
    UnknownKey,
    /// Its certificate is valid and has no common name.
    NamelessCertificate,
    /// Its TLS handshake failed, as without a certificate where one is asked for.
    Tls {
        /// What the TLS library says.
        reason: String,
    },
}

impl Refusal {
    /// The reason as a label of a metric.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::UnknownKey => "unknown_key",
            Self::NamelessCertificate => "nameless_certificate",
            Self::Tls { .. } => "tls",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => {
                f.write_str("this node asks who you are: show an API key or a client certificate")
            }
            Self::UnknownKey => f.write_str("no user of this node has this key"),
            Self::NamelessCertificate => f.write_str(
                "the certificate is valid and says no name: its subject needs a common name, or it a DNS name",
            ),
            Self::Tls { reason } => write!(f, "the TLS handshake failed: {reason}"),
        }
    }
}

/// Counts refused authentications and logs them, ten lines in ten seconds at most.
#[derive(Debug, Default)]
pub struct Refusals {
    total: AtomicU64,
    throttle: Throttle,
}

impl Refusals {
    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Takes note of one.
    pub fn record(&self, peer: SocketAddr, listener: &'static str, refusal: &Refusal) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if let Some(silent) = self.throttle.admits(Instant::now()) {
            tracing::warn!(code = %OperatorCode::PeerRefused, %peer, listener, reason = refusal.label(), silent, "authentication refused: {refusal}");
        }
    }
}
