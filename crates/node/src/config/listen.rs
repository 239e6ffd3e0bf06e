//! `listen`: where the node listens, except for ZeroMQ.

use super::address::Listen;
use super::fields::{Fields, Section};

/// Port of the native protocol unless configured otherwise.
pub const NATIVE_PORT: u16 = 9001;
/// Port of HTTP unless configured otherwise.
pub const HTTP_PORT: u16 = 8080;

/// `listen`: addresses of the native and the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenConfig {
    /// The native protocol. Default: this node's address in `cluster.nodes`, or `127.0.0.1:9001`.
    /// Read it by [`Config::native_address`](super::Config::native_address).
    pub native: Option<Listen>,
    /// Health, metrics and the log level over HTTP. Default `127.0.0.1:8080`.
    pub http: Listen,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self { native: None, http: Listen::loopback(HTTP_PORT) }
    }
}

impl Section for ListenConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { native, http } = self;
        fields.value("native", native);
        fields.value("http", http);
    }
}
