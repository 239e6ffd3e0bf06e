//! The broker's own services, RFC 8/MMI.

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::ServiceName;
use swarmmq_protocol::zeromq::mdp::mmi::{Code, SERVICE, SERVICES, WORKERS};

use super::dialect::{Back, Mdp};
use crate::exchange::pool::{Dialect, Pool};
use crate::exchange::{Drop, Frames, PeerId, Peers, Verb};

/// Answers a client at once. It learns nothing of a service of which it may request nothing.
pub(super) fn answer(
    pool: &Pool<Mdp>,
    own: &'static [&'static str],
    client: PeerId,
    back: &Back,
    service: &ServiceName,
    body: &[Bytes],
    peers: &mut dyn Peers,
) {
    if peers.room(client).is_full() {
        return peers.dropped(client, Drop::QueueFull);
    }
    let answer = match service.as_bytes() {
        SERVICE => count(pool, own, client, body, peers).map_or_else(code, |_| code(Code::Ok)),
        WORKERS => count(pool, own, client, body, peers)
            .map_or_else(code, |workers| vec![Code::Ok.frame(), Bytes::from(workers.to_string())]),
        SERVICES => served(pool, own, client, peers),
        _ => code(Code::NotImplemented),
    };
    if let Some(frames) = Mdp::reply(back, &service.frame(), true, answer) {
        peers.send(client, frames);
    }
}

fn code(code: Code) -> Frames {
    vec![code.frame()]
}

/// How many workers, at least one, the service has that the body names.
fn count(
    pool: &Pool<Mdp>,
    own: &[&str],
    client: PeerId,
    body: &[Bytes],
    peers: &dyn Peers,
) -> Result<usize, Code> {
    let [name] = body else { return Err(Code::BadRequest) };
    let name = ServiceName::new(name.clone()).map_err(|_| Code::BadRequest)?;
    if name.is_management() {
        // The broker itself works for these.
        return match name.as_bytes() {
            SERVICE | WORKERS | SERVICES => Ok(1),
            _ => Err(Code::NotFound),
        };
    }
    if !peers.may(client, Verb::Request, name.as_bytes()) {
        return Err(Code::Forbidden);
    }
    match pool.workers_of(name.as_bytes()) {
        // The broker itself.
        0 if own.iter().any(|own| own.as_bytes() == name.as_bytes()) => Ok(1),
        0 => Err(Code::NotFound),
        workers => Ok(workers),
    }
}

/// The services that have a worker and of which the client may request something.
fn served(pool: &Pool<Mdp>, own: &'static [&'static str], client: PeerId, peers: &dyn Peers) -> Frames {
    let own = own.iter().map(|name| Bytes::from_static(name.as_bytes()));
    let others = pool.services().filter(|(_, workers)| *workers > 0).map(|(name, _)| name.clone());
    let names = own.chain(others).filter(|name| peers.may(client, Verb::Request, name));
    std::iter::once(Code::Ok.frame()).chain(names).collect()
}
