//! From an endpoint's kind to its exchange.

use swarmmq_broker::exchange::{Exchange, PubSub, RequestReply};

use crate::zeromq::options::EndpointKind;

/// The exchange of an endpoint whose peers talk to each other; none for one whose peers talk to the shards.
pub(in crate::zeromq) fn exchange(kind: &EndpointKind) -> Option<Box<dyn Exchange>> {
    match kind {
        EndpointKind::RequestReply => Some(Box::new(RequestReply::new())),
        EndpointKind::PubSub { limits } => Some(Box::new(PubSub::new(limits.clone()))),
        EndpointKind::Durable | EndpointKind::Ingest { .. } => None,
    }
}
