//! How etcd is reached.

use std::time::Duration;

use super::super::error::DiscoveryError;
use crate::tls::TlsOptions;

/// How etcd is reached.
///
/// ```
/// use swarmmq::discovery::EtcdOptions;
///
/// let options = EtcdOptions::default()
///     .endpoint("http://etcd-1:2379")
///     .endpoint("http://etcd-2:2379")
///     .user("events", "s3cret");
/// # drop(options);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct EtcdOptions {
    /// The members of the cluster, as `http://host:port` or `https://host:port`. At least one; the next is tried when one
    /// does not answer.
    pub endpoints: Vec<String>,
    /// Whom to trust, and who we are, for endpoints that begin with `https`. TLS 1.3 only.
    pub tls: Option<TlsOptions>,
    /// A user and a password. Default none.
    pub user: Option<(String, String)>,
    /// Time for one member to answer. Default 2 s.
    pub request_timeout: Option<Duration>,
}

impl EtcdOptions {
    /// Adds a member of the cluster, as `http://host:port`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Sets whom to trust, and who we are.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets a user and a password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Sets the time for one member to answer.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// The time for one member to answer.
    pub(super) fn timeout(&self) -> Duration {
        self.request_timeout.unwrap_or(Duration::from_secs(2))
    }
}

impl std::fmt::Debug for EtcdOptions {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("request_timeout", &self.timeout())
            .finish()
    }
}

pub(super) fn wrong(option: &'static str, reason: impl Into<String>) -> DiscoveryError {
    DiscoveryError::Options { option, reason: reason.into() }
}
