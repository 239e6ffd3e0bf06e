//! What a registry can fail at.

use swarmmq_protocol::service::InstanceError;

/// Why a registry did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// It cannot be reached, or cannot answer now. Try again.
    #[error("the registry is away: {0}")]
    Away(String),
    /// It does not want this: a wrong credential, a missing permission, a limit. Somebody has to change something.
    #[error("the registry refused: {0}")]
    Refused(String),
    /// It answered what cannot be understood.
    #[error("the registry's answer makes no sense: {0}")]
    Protocol(String),
    /// The instance breaks a limit. Nothing was sent.
    #[error("the instance cannot be registered: {0}")]
    Instance(#[from] InstanceError),
    /// The options cannot be used. Nothing was sent.
    #[error("{option} cannot be used: {reason}")]
    Options {
        /// Which.
        option: &'static str,
        /// Why not.
        reason: String,
    },
}

impl DiscoveryError {
    /// Whether the same may succeed later, without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}
