//! What fuzz targets drive that is otherwise built by a listener alone.

use std::sync::Arc;

use super::mechanisms::Mechanisms;
use super::omq::OmqConnection;
use super::options::Limits;
use super::zmtp::{SocketKind, Zmtp};

/// The connection that a session of an endpoint with `limits` has.
#[must_use]
pub fn connection(kind: SocketKind, limits: &Limits) -> Box<dyn Zmtp> {
    let mechanisms = Mechanisms::new(Arc::default(), Arc::new(|_| None));
    Box::new(OmqConnection::new(kind, mechanisms, limits.message_bytes_max, limits.frames_max))
}
