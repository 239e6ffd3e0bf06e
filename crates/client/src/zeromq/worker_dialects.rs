//! How workers of the Paranoid Pirate protocol and of Majordomo write.

use swarmmq_protocol::zeromq::mdp::{BrokerCommand, Framing, Part, ServiceName, Version, WorkerCommand};
use swarmmq_protocol::zeromq::ppp::{PppMessage, Routed};

use crate::zeromq::conversation::{FromBroker, WorkerDialect};
use crate::zeromq::socket::Frames;

/// RFC 6/PPP. A request's address is one frame or more, which nobody but the queue understands.
pub(crate) struct ParanoidPirate;

impl WorkerDialect for ParanoidPirate {
    fn ready(&self) -> Frames {
        PppMessage::Ready.encode()
    }

    fn heartbeat(&self) -> Frames {
        PppMessage::Heartbeat.encode()
    }

    fn goodbye(&self) -> Option<Frames> {
        None
    }

    fn reply(&self, part: Part, address: Frames, body: Frames) -> Option<Frames> {
        match part {
            Part::Partial => None,
            Part::Final => Some(PppMessage::Routed(Routed { address, content: body }).encode()),
        }
    }

    fn read(&self, frames: &Frames) -> Option<FromBroker> {
        match PppMessage::parse(frames).ok()? {
            PppMessage::Heartbeat => Some(FromBroker::Heartbeat),
            PppMessage::Routed(Routed { address, content }) => {
                Some(FromBroker::Request { address, body: content })
            }
            PppMessage::Ready => None,
        }
    }
}

/// RFC 7/MDP or RFC 18/MDP, for one service. A request's address is one frame.
pub(crate) struct Majordomo {
    pub(crate) version: Version,
    pub(crate) service: ServiceName,
}

impl Majordomo {
    fn write(&self, command: WorkerCommand) -> Option<Frames> {
        command.encode(Framing::standard(self.version))
    }
}

impl WorkerDialect for Majordomo {
    fn ready(&self) -> Frames {
        self.write(WorkerCommand::Ready { service: self.service.clone() }).unwrap_or_default()
    }

    fn heartbeat(&self) -> Frames {
        self.write(WorkerCommand::Heartbeat).unwrap_or_default()
    }

    fn goodbye(&self) -> Option<Frames> {
        self.write(WorkerCommand::Disconnect)
    }

    fn reply(&self, part: Part, address: Frames, body: Frames) -> Option<Frames> {
        let client = address.into_iter().next()?;
        self.write(match part {
            Part::Partial => WorkerCommand::Partial { client, body },
            Part::Final => WorkerCommand::Final { client, body },
        })
    }

    fn read(&self, frames: &Frames) -> Option<FromBroker> {
        let (framing, command) = BrokerCommand::parse(frames).ok()?;
        if framing.version != self.version {
            return None;
        }
        Some(match command {
            BrokerCommand::Request { client, body } => FromBroker::Request { address: vec![client], body },
            BrokerCommand::Heartbeat => FromBroker::Heartbeat,
            BrokerCommand::Disconnect => FromBroker::Disconnect,
        })
    }
}
