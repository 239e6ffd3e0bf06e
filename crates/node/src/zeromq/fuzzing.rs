//! What fuzz targets drive that is otherwise built by a listener alone.

use super::omq::OmqConnection;
use super::options::{Limits, Security};
use super::zmtp::{SocketKind, Zmtp};

/// The connection that a session of an endpoint with `limits` has.
#[must_use]
pub fn connection(kind: SocketKind, limits: &Limits) -> Box<dyn Zmtp> {
    Box::new(OmqConnection::new(kind, Security::default(), limits.message_bytes_max, limits.frames_max))
}
