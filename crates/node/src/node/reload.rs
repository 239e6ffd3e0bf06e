//! Taking over a changed configuration while the node runs.
//!
//! Users, keys and permissions count from then on, and connections of those who are not let in any more are closed.
//! ZeroMQ endpoints are started, stopped, and started anew where they have changed; all others go on with their peers.
//! Everything else needs a restart, which is said.

use std::fmt;

use crate::config::{Config, ConfigError};
use crate::node::endpoints;
use crate::node::error::StartError;
use crate::node::running::Running;
use crate::zeromq::Reconciled;

/// What a changed configuration came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether users, keys or permissions have changed.
    pub security: bool,
    /// What became of the ZeroMQ endpoints.
    pub endpoints: Reconciled,
    /// Whether something has changed that counts only after a restart.
    pub needs_restart: bool,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.security {
            parts.push("users, keys and permissions have changed".to_owned());
        }
        if !self.endpoints.started.is_empty() {
            parts.push(format!("endpoints started: {}", self.endpoints.started.join(", ")));
        }
        if !self.endpoints.stopped.is_empty() {
            parts.push(format!("endpoints stopped: {}", self.endpoints.stopped.join(", ")));
        }
        if self.needs_restart {
            parts.push("other keys have changed, which count after a restart".to_owned());
        }
        if parts.is_empty() {
            return f.write_str("nothing has changed");
        }
        f.write_str(&parts.join("; "))
    }
}

/// Why a changed configuration was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The node was started without a way to read it again.
    #[error("the node was not started from a configuration file")]
    NoSource,
    /// It is wrong. Nothing was changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An endpoint could not be started; users, keys and permissions were taken over.
    #[error(transparent)]
    Endpoints(#[from] StartError),
}

impl Running {
    /// Reads the configuration again and takes over what can be while the node runs.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let parts = self.parts();
        let serving = &parts.serving;
        let _one_at_a_time = parts.reloading.lock().await;
        let config = parts.config_source.as_ref().ok_or(ReloadError::NoSource)?()?;
        config.validate()?;
        // Only these: what else stands under security counts after a restart.
        let mut security = serving.config.security.clone();
        security.users = config.security.users.clone();
        security.api_keys = config.security.api_keys.clone();
        security.permissions = config.security.permissions.clone();
        let security = serving.gate.replace(security);
        let wanted = endpoints::of(&config, &serving.gate)?;
        let endpoints = serving.zeromq.reconcile(wanted).await.map_err(StartError::from)?;
        Ok(Reloaded { security, endpoints, needs_restart: differs_beyond(&serving.config, &config) })
    }
}

/// Whether more has changed than what is taken over. TLS is, by reading the files again, but not its being on or off.
fn differs_beyond(before: &Config, after: &Config) -> bool {
    let mut same = after.clone();
    same.zeromq = before.zeromq.clone();
    let (old, new) = (&before.security, &mut same.security);
    new.users = old.users.clone();
    new.api_keys = old.api_keys.clone();
    new.permissions = old.permissions.clone();
    same != *before
}
