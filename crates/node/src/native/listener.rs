//! The listening socket: accepts, and starts a session for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::native::session::serve;
use crate::native::shared::{Phase, Shared};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;
/// How long to wait after `accept` failed for want of something, first and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// See [`BACKOFF_MIN`].
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program, or another node, listens there.
    #[error("{address} is in use: stop the other program (ss -ltnp shows it), or listen elsewhere")]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The port is one that only a privileged user may have.
    #[error("{address} is not allowed to this user: take a port of 1024 or more")]
    NotAllowed {
        /// Where.
        address: SocketAddr,
    },
    /// The address is not one of this machine.
    #[error("{address} is not an address of this machine: listen on one that it has, or on 0.0.0.0")]
    NotOurs {
        /// Where.
        address: SocketAddr,
    },
    /// Something else.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl ListenError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            _ => Self::Io { address, error },
        }
    }
}

/// A socket that has its port and does not listen yet: a client that connects is refused, and does not
/// wait for a node that is still starting.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
}

/// A socket that listens, and does not accept yet.
#[derive(Debug)]
pub struct Listening {
    inner: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the port of `address`; port 0 is a free one.
    ///
    /// # Errors
    /// [`ListenError`], which says what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bound = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // A node that starts again must not wait for connections of its former life.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            let address = socket.local_addr()?.as_socket().unwrap_or(address);
            Ok(Self { socket, address })
        };
        bound().map_err(|error| ListenError::new(address, error))
    }

    /// Listens. Call it within a runtime.
    ///
    /// # Errors
    /// [`ListenError`], where somebody else was quicker.
    pub fn listen(self) -> Result<Listening, ListenError> {
        let Self { socket, address } = self;
        let listening = || -> io::Result<Listening> {
            socket.listen(BACKLOG)?;
            Ok(Listening { inner: TcpListener::from_std(socket.into())?, address })
        };
        listening().map_err(|error| ListenError::new(address, error))
    }
}

impl Listening {
    /// The socket, for a listener of another protocol.
    #[must_use]
    pub fn into_inner(self) -> TcpListener {
        self.inner
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections and starts their sessions, until the node stops.
    pub async fn run(self, shared: Arc<Shared>) {
        let mut phase = shared.phase();
        let mut backoff = BACKOFF_MIN;
        loop {
            let accepted = tokio::select! {
                accepted = self.inner.accept() => accepted,
                _ = phase.wait_for(|phase| *phase > Phase::Serving) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    backoff = BACKOFF_MIN;
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, "the connection was gone before it began: {error}");
                        continue;
                    }
                    tokio::spawn(serve(stream, peer, shared.clone()));
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    shared.counters.accept_failed(&error);
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }
}

/// Whether an error of `accept` concerns the connection that it would have given, and no other.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
