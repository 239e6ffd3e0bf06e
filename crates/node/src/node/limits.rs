//! What the system allows the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::telemetry::OperatorCode;

/// File descriptors that are not connections: the journal's segments, listeners, the runtime's own.
const RESERVED: u64 = 512;

/// Takes as many file descriptors as the system gives, and says so if they are too few for the connections
/// that are configured.
pub(super) fn raise_file_descriptors(config: &Config) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let zeromq: u64 = config.zeromq.endpoints.iter().map(|one| u64::from(one.max_connections)).sum();
    let wanted = u64::from(config.limits.max_connections)
        + u64::from(config.limits.max_http_connections)
        + zeromq
        + RESERVED;
    if let Some(allowed) = limit.current.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            code = %OperatorCode::FileDescriptorsFew,
            allowed,
            wanted,
            "fewer file descriptors are allowed than connections are configured: raise the limit (LimitNOFILE, ulimit -n), or lower limits.max_connections"
        );
    }
}
