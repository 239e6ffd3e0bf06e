//! The clients' side: requests, and the replies to them.

use bytes::Bytes;

use super::frames::{
    Header, MdpError, Version, command_frame, read_body, split, split_command, split_service,
};
use super::name::ServiceName;

const REQUEST: u8 = 1;
const PARTIAL: u8 = 2;
const FINAL: u8 = 3;

/// What a client asks of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// In which version, so also in which the reply is to be.
    pub version: Version,
    /// What stands before the header and comes back with the reply: nothing, or frames of which the last, and no
    /// other, is empty. At most [`ADDRESS_FRAMES_MAX`](super::ADDRESS_FRAMES_MAX).
    pub address: Vec<Bytes>,
    /// Which service.
    pub service: ServiceName,
    /// What, in one frame or more.
    pub body: Vec<Bytes>,
}

/// Whether more of the reply follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A part, and more will come. Only 0.2 has it.
    Partial,
    /// All there is, or the last part.
    Final,
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReply {
    /// In which version.
    pub version: Version,
    /// What stood before the header of the request.
    pub address: Vec<Bytes>,
    /// Whether more follows.
    pub part: Part,
    /// Which service replies.
    pub service: ServiceName,
    /// What, in one frame or more.
    pub body: Vec<Bytes>,
}

/// What stands before the header when a DEALER follows the RFC of a version. A REQ socket writes and takes away the
/// empty frame itself.
#[must_use]
pub fn standard_address(version: Version) -> Vec<Bytes> {
    match version {
        Version::V01 => vec![Bytes::new()],
        Version::V02 => Vec::new(),
    }
}

impl ClientRequest {
    pub(super) fn read(version: Version, address: &[Bytes], frames: &[Bytes]) -> Result<Self, MdpError> {
        let frames = match version {
            Version::V01 => frames,
            Version::V02 => match split_command(frames)? {
                (REQUEST, rest) => rest,
                (command, _) => return Err(MdpError::UnknownCommand(command)),
            },
        };
        let (service, body) = split_service(frames)?;
        Ok(Self { version, address: address.to_vec(), service, body: read_body(body)? })
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`MdpError`] for anything else.
    pub fn parse(frames: &[Bytes]) -> Result<Self, MdpError> {
        match split(frames)? {
            (address, Header::Client(version), rest) => Self::read(version, address, rest),
            (_, Header::Worker(_), _) => Err(MdpError::WrongSide),
        }
    }

    /// The frames of the request.
    #[must_use]
    pub fn encode(self) -> Vec<Bytes> {
        let command = match self.version {
            Version::V01 => None,
            Version::V02 => Some(REQUEST),
        };
        encode(self.version, self.address, command, &self.service, self.body)
    }
}

impl ClientReply {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`MdpError`] for anything else.
    pub fn parse(frames: &[Bytes]) -> Result<Self, MdpError> {
        let (address, version, rest) = match split(frames)? {
            (address, Header::Client(version), rest) => (address.to_vec(), version, rest),
            (_, Header::Worker(_), _) => return Err(MdpError::WrongSide),
        };
        let (part, rest) = match version {
            Version::V01 => (Part::Final, rest),
            Version::V02 => match split_command(rest)? {
                (PARTIAL, rest) => (Part::Partial, rest),
                (FINAL, rest) => (Part::Final, rest),
                (command, _) => return Err(MdpError::UnknownCommand(command)),
            },
        };
        let (service, body) = split_service(rest)?;
        Ok(Self { version, address, part, service, body: read_body(body)? })
    }

    /// The frames of the reply; `None` for a part in 0.1, which has no command for it.
    #[must_use]
    pub fn encode(self) -> Option<Vec<Bytes>> {
        let command = match (self.version, self.part) {
            (Version::V01, Part::Partial) => return None,
            (Version::V01, Part::Final) => None,
            (Version::V02, Part::Partial) => Some(PARTIAL),
            (Version::V02, Part::Final) => Some(FINAL),
        };
        Some(encode(self.version, self.address, command, &self.service, self.body))
    }
}

fn encode(
    version: Version,
    address: Vec<Bytes>,
    command: Option<u8>,
    service: &ServiceName,
    body: Vec<Bytes>,
) -> Vec<Bytes> {
    let mut frames = address;
    frames.reserve(3 + body.len());
    frames.push(Bytes::from_static(version.client_header()));
    frames.extend(command.map(command_frame));
    frames.push(service.frame());
    frames.extend(body);
    frames
}
