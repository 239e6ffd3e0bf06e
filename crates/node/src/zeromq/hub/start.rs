//! From an endpoint's kind to its exchange.

use swarmmq_broker::exchange::{
    Exchange, Majordomo, ParanoidPirate, PubSub, PubSubLimits, RequestReply, Titanic,
};

use crate::zeromq::options::EndpointKind;

/// The exchange of an endpoint whose peers talk to each other; none for one whose peers talk to the shards.
pub(in crate::zeromq) fn exchange(kind: &EndpointKind) -> Option<Box<dyn Exchange>> {
    match kind {
        EndpointKind::RequestReply => Some(Box::new(RequestReply::new())),
        EndpointKind::PubSub { limits } => Some(Box::new(PubSub::new(limits.clone()))),
        EndpointKind::Tap { into: None, .. } => Some(Box::new(PubSub::new(PubSubLimits::default()))),
        EndpointKind::Service { limits, repeats } => {
            Some(Box::new(Majordomo::new(limits.clone(), life()).deduplicating(repeats.clone())))
        }
        EndpointKind::Titanic { pool, repeats, limits, .. } => {
            let titanic = Titanic::new(pool.clone(), limits.clone(), life(), Box::new(request_id));
            Some(Box::new(titanic.deduplicating(repeats.clone())))
        }
        EndpointKind::Workers { limits } => Some(Box::new(ParanoidPirate::new(limits.clone(), life()))),
        EndpointKind::Durable
        | EndpointKind::Ingest { .. }
        | EndpointKind::Egress { .. }
        | EndpointKind::Tap { into: Some(_), .. } => None,
    }
}

/// A number that no earlier exchange at this address had, as far as chance goes.
fn life() -> u64 {
    let mut bytes = [0; 8];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::warn!(
            "the system gives no random numbers: late replies to an earlier run may be taken for new ones"
        );
    }
    u64::from_be_bytes(bytes)
}

/// An id that nobody can guess: whoever has it may have the reply.
fn request_id() -> Option<u128> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(u128::from_be_bytes(bytes))
}
