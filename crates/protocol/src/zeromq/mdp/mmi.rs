//! The Majordomo management interface, RFC 8/MMI: services whose names begin with `mmi.`, which the broker has itself.
//!
//! A request is one of MDP. The reply's body is one frame, a [`Code`] in decimal; `mmi.services` and `mmi.workers`,
//! which the RFC does not name, answer 200 with what was asked for in the frames behind.

use bytes::Bytes;

use super::ServiceName;

/// What the names of the broker's own services begin with. No worker may register one.
pub const PREFIX: &[u8] = b"mmi.";
/// Asks whether a service, named by the body, has a worker: 200 or 404.
pub const SERVICE: &[u8] = b"mmi.service";
/// Asks how many workers a service has: 200 and the number in decimal, or 404.
pub const WORKERS: &[u8] = b"mmi.workers";
/// Asks for the services that have workers: 200 and a frame for each name.
pub const SERVICES: &[u8] = b"mmi.services";

/// What the broker says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Yes.
    Ok,
    /// The question is not well formed: its body is not one frame with the name of a service.
    BadRequest,
    /// The client may not ask this.
    Forbidden,
    /// No: there is no worker.
    NotFound,
    /// There is no such service of the broker.
    NotImplemented,
}

impl Code {
    /// Its frame.
    #[must_use]
    pub fn frame(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Ok => b"200",
            Self::BadRequest => b"400",
            Self::Forbidden => b"403",
            Self::NotFound => b"404",
            Self::NotImplemented => b"501",
        })
    }

    /// Reads a frame; `None` where it is not a code.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        match frame {
            b"200" => Some(Self::Ok),
            b"400" => Some(Self::BadRequest),
            b"403" => Some(Self::Forbidden),
            b"404" => Some(Self::NotFound),
            b"501" => Some(Self::NotImplemented),
            _ => None,
        }
    }
}

impl ServiceName {
    /// Whether it is of the broker's own services.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.as_bytes().starts_with(PREFIX)
    }
}
