//! How Paranoid Pirate writes what a pool sends.

use bytes::Bytes;
use swarmmq_protocol::zeromq::ppp::{PppMessage, Routed};

use crate::exchange::Frames;
use crate::exchange::pool::Dialect;

/// What stood before a request's content: frames up to and with an empty one, or none.
pub(super) type Address = Vec<Bytes>;

#[derive(Debug)]
pub(super) struct Ppp;

impl Dialect for Ppp {
    type Back = Address;
    type Form = ();

    fn request((): &(), tag: Bytes, back: &Address, body: Frames) -> Frames {
        let hops = back.split_last().map_or(&[][..], |(_, hops)| hops);
        let address = std::iter::once(tag).chain(hops.iter().cloned()).collect();
        PppMessage::Routed(Routed { address, content: body }).encode()
    }

    fn heartbeat((): &()) -> Frames {
        PppMessage::Heartbeat.encode()
    }

    fn farewell((): &()) -> Option<Frames> {
        None
    }

    fn takes_parts(_back: &Address) -> bool {
        false
    }

    fn reply(back: &Address, _service: &Bytes, _is_final: bool, body: Frames) -> Option<Frames> {
        Some(back.iter().cloned().chain(body).collect())
    }
}
