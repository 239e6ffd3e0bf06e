//! The workers' side: what workers say to a broker, and what it says to them.

use bytes::Bytes;

use super::frames::{
    ADDRESS_FRAME_BYTES_MAX, Header, MdpError, Version, command_frame, nothing_more, read_body, split,
    split_command, split_service,
};
use super::name::ServiceName;

const READY: u8 = 1;
const REQUEST: u8 = 2;
const REPLY_01: u8 = 3;
const HEARTBEAT_01: u8 = 4;
const DISCONNECT_01: u8 = 5;
const PARTIAL_02: u8 = 3;
const FINAL_02: u8 = 4;
const HEARTBEAT_02: u8 = 5;
const DISCONNECT_02: u8 = 6;

/// How a worker frames its commands, and so how a broker frames those to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Framing {
    /// The version.
    pub version: Version,
    /// Whether an empty frame leads.
    pub delimited: bool,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerCommand {
    /// It serves a service and waits for a request.
    Ready {
        /// Which service.
        service: ServiceName,
    },
    /// A part of the reply; more will come. Only 0.2 has it.
    Partial {
        /// The client's address, as it stood in the request.
        client: Bytes,
        /// One frame or more.
        body: Vec<Bytes>,
    },
    /// The reply, `REPLY` in 0.1, or its last part. It waits for the next request.
    Final {
        /// The client's address, as it stood in the request.
        client: Bytes,
        /// One frame or more.
        body: Vec<Bytes>,
    },
    /// It is alive.
    Heartbeat,
    /// It is leaving, and wants no further command.
    Disconnect,
}

/// What a broker says to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerCommand {
    /// A request to work on.
    Request {
        /// The address to put into the reply: 1 to 255 bytes, which mean something to the broker alone.
        client: Bytes,
        /// One frame or more.
        body: Vec<Bytes>,
    },
    /// It is alive.
    Heartbeat,
    /// It does not know the worker (any more), or will not have it: close the socket, connect again, and register.
    Disconnect,
}

impl Framing {
    /// As the RFC of a version writes it: 0.1 has the leading empty frame, 0.2 has not.
    #[must_use]
    pub fn standard(version: Version) -> Self {
        Self { version, delimited: version == Version::V01 }
    }

    /// Workers have no address: one is a connection.
    pub(super) fn read(version: Version, address: &[Bytes]) -> Result<Self, MdpError> {
        match address {
            [] => Ok(Self { version, delimited: false }),
            [delimiter] if delimiter.is_empty() => Ok(Self { version, delimited: true }),
            _ => Err(MdpError::Address),
        }
    }

    fn begin(self, command: u8, more: usize) -> Vec<Bytes> {
        let mut frames = Vec::with_capacity(3 + more);
        if self.delimited {
            frames.push(Bytes::new());
        }
        frames.push(Bytes::from_static(self.version.worker_header()));
        frames.push(command_frame(command));
        frames
    }

    /// Reads the side's header and what is before it.
    fn split(frames: &[Bytes]) -> Result<(Self, &[Bytes]), MdpError> {
        match split(frames)? {
            (address, Header::Worker(version), rest) => Ok((Self::read(version, address)?, rest)),
            (_, Header::Client(_), _) => Err(MdpError::WrongSide),
        }
    }
}

impl WorkerCommand {
    /// Reads what a worker says.
    ///
    /// # Errors
    /// [`MdpError`] for anything else.
    pub fn parse(frames: &[Bytes]) -> Result<(Framing, Self), MdpError> {
        let (framing, rest) = Framing::split(frames)?;
        Ok((framing, Self::read(framing.version, rest)?))
    }

    pub(super) fn read(version: Version, frames: &[Bytes]) -> Result<Self, MdpError> {
        let (command, rest) = split_command(frames)?;
        match (version, command) {
            (_, READY) => {
                let (service, rest) = split_service(rest)?;
                nothing_more(rest)?;
                Ok(Self::Ready { service })
            }
            (Version::V02, PARTIAL_02) => {
                read_routed(rest).map(|(client, body)| Self::Partial { client, body })
            }
            (Version::V01, REPLY_01) | (Version::V02, FINAL_02) => {
                read_routed(rest).map(|(client, body)| Self::Final { client, body })
            }
            (Version::V01, HEARTBEAT_01) | (Version::V02, HEARTBEAT_02) => {
                nothing_more(rest).map(|()| Self::Heartbeat)
            }
            (Version::V01, DISCONNECT_01) | (Version::V02, DISCONNECT_02) => {
                nothing_more(rest).map(|()| Self::Disconnect)
            }
            _ => Err(MdpError::UnknownCommand(command)),
        }
    }

    /// The frames of the command; `None` for a part in 0.1, which has no command for it.
    #[must_use]
    pub fn encode(self, framing: Framing) -> Option<Vec<Bytes>> {
        let version = framing.version;
        Some(match self {
            Self::Ready { service } => {
                let mut frames = framing.begin(READY, 1);
                frames.push(service.frame());
                frames
            }
            Self::Partial { client, body } => match version {
                Version::V01 => return None,
                Version::V02 => encode_routed(framing, PARTIAL_02, client, body),
            },
            Self::Final { client, body } => {
                let command = if version == Version::V01 { REPLY_01 } else { FINAL_02 };
                encode_routed(framing, command, client, body)
            }
            Self::Heartbeat => framing.begin(heartbeat(version), 0),
            Self::Disconnect => framing.begin(disconnect(version), 0),
        })
    }
}

impl BrokerCommand {
    /// Reads what a broker says to a worker.
    ///
    /// # Errors
    /// [`MdpError`] for anything else.
    pub fn parse(frames: &[Bytes]) -> Result<(Framing, Self), MdpError> {
        let (framing, rest) = Framing::split(frames)?;
        let (command, rest) = split_command(rest)?;
        let command = match (framing.version, command) {
            (_, REQUEST) => {
                let (client, body) = read_routed(rest)?;
                Self::Request { client, body }
            }
            (version, command) if command == heartbeat(version) => {
                nothing_more(rest)?;
                Self::Heartbeat
            }
            (version, command) if command == disconnect(version) => {
                nothing_more(rest)?;
                Self::Disconnect
            }
            (_, command) => return Err(MdpError::UnknownCommand(command)),
        };
        Ok((framing, command))
    }

    /// The frames of the command.
    #[must_use]
    pub fn encode(self, framing: Framing) -> Vec<Bytes> {
        match self {
            Self::Request { client, body } => encode_routed(framing, REQUEST, client, body),
            Self::Heartbeat => framing.begin(heartbeat(framing.version), 0),
            Self::Disconnect => framing.begin(disconnect(framing.version), 0),
        }
    }
}

fn heartbeat(version: Version) -> u8 {
    match version {
        Version::V01 => HEARTBEAT_01,
        Version::V02 => HEARTBEAT_02,
    }
}

fn disconnect(version: Version) -> u8 {
    match version {
        Version::V01 => DISCONNECT_01,
        Version::V02 => DISCONNECT_02,
    }
}

/// One frame of a client's address, an empty one, and a body.
fn read_routed(frames: &[Bytes]) -> Result<(Bytes, Vec<Bytes>), MdpError> {
    match frames {
        [client, delimiter, body @ ..]
            if delimiter.is_empty() && (1..=ADDRESS_FRAME_BYTES_MAX).contains(&client.len()) =>
        {
            Ok((client.clone(), read_body(body)?))
        }
        _ => Err(MdpError::Address),
    }
}

fn encode_routed(framing: Framing, command: u8, client: Bytes, body: Vec<Bytes>) -> Vec<Bytes> {
    let mut frames = framing.begin(command, 2 + body.len());
    frames.extend([client, Bytes::new()]);
    frames.extend(body);
    frames
}
