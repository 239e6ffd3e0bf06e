//! How Majordomo writes what a pool sends.

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::{BrokerCommand, ClientReply, Framing, Part, ServiceName, Version};

use crate::exchange::Frames;
use crate::exchange::pool::Dialect;

/// What a reply needs of its request.
#[derive(Debug, Clone)]
pub(in crate::exchange) enum Back {
    /// It goes to a client, as that one asked.
    Client { version: Version, address: Vec<Bytes> },
    /// The broker asked itself: the reply is its body, whole.
    Inside,
}

#[derive(Debug)]
pub(in crate::exchange) struct Mdp;

impl Dialect for Mdp {
    type Back = Back;
    type Form = Framing;

    fn request(form: &Framing, tag: Bytes, _back: &Back, body: Frames) -> Frames {
        BrokerCommand::Request { client: tag, body }.encode(*form)
    }

    fn heartbeat(form: &Framing) -> Frames {
        BrokerCommand::Heartbeat.encode(*form)
    }

    fn farewell(form: &Framing) -> Option<Frames> {
        Some(BrokerCommand::Disconnect.encode(*form))
    }

    fn takes_parts(back: &Back) -> bool {
        matches!(back, Back::Client { version: Version::V02, .. })
    }

    fn reply(back: &Back, service: &Bytes, is_final: bool, body: Frames) -> Option<Frames> {
        let Back::Client { version, address } = back else { return Some(body) };
        let part = if is_final { Part::Final } else { Part::Partial };
        let service = ServiceName::new(service.clone()).ok()?;
        ClientReply { version: *version, address: address.clone(), part, service, body }.encode()
    }
}
