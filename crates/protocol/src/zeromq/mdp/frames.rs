//! What both sides' messages have in common: the header and what stands before it.

use bytes::Bytes;

use super::client::ClientRequest;
use super::name::{ServiceName, ServiceNameError};
use super::worker::{Framing, WorkerCommand};

/// Most frames of a client's address, the empty one included: a REQ socket behind 15 proxies.
pub const ADDRESS_FRAMES_MAX: usize = 16;
/// Most bytes of a frame of an address; ZMTP allows no longer routing id.
pub const ADDRESS_FRAME_BYTES_MAX: usize = 255;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1, RFC 7/MDP: one reply to a request.
    V01,
    /// 0.2, RFC 18/MDP: partial replies, then a final one.
    V02,
}

impl Version {
    /// The frame that names the clients' protocol.
    #[must_use]
    pub fn client_header(self) -> &'static [u8] {
        match self {
            Self::V01 => b"MDPC01",
            Self::V02 => b"MDPC02",
        }
    }

    /// The frame that names the workers' protocol.
    #[must_use]
    pub fn worker_header(self) -> &'static [u8] {
        match self {
            Self::V01 => b"MDPW01",
            Self::V02 => b"MDPW02",
        }
    }
}

/// A message to a broker, whose clients and workers connect to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToBroker {
    /// A client asks.
    Client(ClientRequest),
    /// A worker speaks.
    Worker(Framing, WorkerCommand),
}

/// Why frames are not a message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MdpError {
    /// No frame names the protocol.
    #[error("no frame names a version of MDP")]
    NotMdp,
    /// A client's protocol stands where a worker's is expected, or the other way round.
    #[error("this side of MDP is not spoken here")]
    WrongSide,
    /// A version that nobody has published, or a later one.
    #[error("this version of MDP is not spoken here, 0.1 and 0.2 are")]
    UnsupportedVersion,
    /// The command is missing, or not one byte.
    #[error("the command is not a frame of one byte")]
    CommandMissing,
    /// The side or the version has no such command.
    #[error("there is no command {0}")]
    UnknownCommand(u8),
    /// The name of the service is missing.
    #[error("the name of the service is missing")]
    ServiceMissing,
    /// The name of the service is not one.
    #[error("{0}")]
    ServiceName(#[from] ServiceNameError),
    /// A client's address is missing, too long, or no empty frame is behind it.
    #[error("the address is missing, is too long, or has no empty frame behind it")]
    Address,
    /// A request or reply has no body.
    #[error("the body is missing, which has one frame or more")]
    BodyMissing,
    /// There are frames behind the last that the command has.
    #[error("there are more frames than the command has")]
    ExcessFrames,
}

/// Which side a header frame is of, and its version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Client(Version),
    Worker(Version),
}

impl Header {
    /// Reads a frame that says that it names the protocol; `None` for one that does not.
    fn read(frame: &[u8]) -> Option<Result<Self, MdpError>> {
        match frame {
            b"MDPC01" => Some(Ok(Self::Client(Version::V01))),
            b"MDPC02" => Some(Ok(Self::Client(Version::V02))),
            b"MDPW01" => Some(Ok(Self::Worker(Version::V01))),
            b"MDPW02" => Some(Ok(Self::Worker(Version::V02))),
            [b'M', b'D', b'P', b'C' | b'W', b'0'..=b'9', b'0'..=b'9'] => {
                Some(Err(MdpError::UnsupportedVersion))
            }
            _ => None,
        }
    }
}

/// Reads what a client or a worker sends to a broker.
///
/// # Errors
/// [`MdpError`] for anything else, never a panic, whatever the frames hold.
pub fn parse(frames: &[Bytes]) -> Result<ToBroker, MdpError> {
    let (address, header, rest) = split(frames)?;
    match header {
        Header::Client(version) => ClientRequest::read(version, address, rest).map(ToBroker::Client),
        Header::Worker(version) => {
            let framing = Framing::read(version, address)?;
            WorkerCommand::read(version, rest).map(|command| ToBroker::Worker(framing, command))
        }
    }
}

/// The frames before the header, the header, and those behind it.
pub(super) fn split(frames: &[Bytes]) -> Result<(&[Bytes], Header, &[Bytes]), MdpError> {
    if let [first, rest @ ..] = frames
        && let Some(header) = Header::read(first)
    {
        return Ok((&[], header?, rest));
    }
    let empty = frames.iter().take(ADDRESS_FRAMES_MAX).position(Bytes::is_empty).ok_or(MdpError::NotMdp)?;
    let (address, rest) = frames.split_at_checked(empty + 1).ok_or(MdpError::NotMdp)?;
    let [first, rest @ ..] = rest else { return Err(MdpError::NotMdp) };
    let header = Header::read(first).ok_or(MdpError::NotMdp)??;
    if address.iter().any(|frame| frame.len() > ADDRESS_FRAME_BYTES_MAX) {
        return Err(MdpError::Address);
    }
    Ok((address, header, rest))
}

/// Splits off a command.
pub(super) fn split_command(frames: &[Bytes]) -> Result<(u8, &[Bytes]), MdpError> {
    match frames {
        [command, rest @ ..] => match command.as_ref() {
            [command] => Ok((*command, rest)),
            _ => Err(MdpError::CommandMissing),
        },
        [] => Err(MdpError::CommandMissing),
    }
}

/// Splits off the name of a service.
pub(super) fn split_service(frames: &[Bytes]) -> Result<(ServiceName, &[Bytes]), MdpError> {
    let [service, rest @ ..] = frames else { return Err(MdpError::ServiceMissing) };
    Ok((ServiceName::new(service.clone())?, rest))
}

/// A body, which has at least one frame.
pub(super) fn read_body(frames: &[Bytes]) -> Result<Vec<Bytes>, MdpError> {
    if frames.is_empty() { Err(MdpError::BodyMissing) } else { Ok(frames.to_vec()) }
}

pub(super) fn nothing_more(frames: &[Bytes]) -> Result<(), MdpError> {
    if frames.is_empty() { Ok(()) } else { Err(MdpError::ExcessFrames) }
}

/// A frame of one byte.
pub(super) fn command_frame(command: u8) -> Bytes {
    /// Every command there is, so that a frame of one costs no memory.
    static COMMANDS: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];
    match COMMANDS.get(usize::from(command)..=usize::from(command)) {
        Some(frame) => Bytes::from_static(frame),
        None => Bytes::copy_from_slice(&[command]),
    }
}
