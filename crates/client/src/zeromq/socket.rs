//! What the patterns need of a ZeroMQ socket, so that any implementation can stand behind them.

use std::future::Future;

use bytes::Bytes;

/// The frames of one ZeroMQ message. A message has at least one.
pub type Frames = Vec<Bytes>;

/// Why a socket could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// As many messages are queued as may be: the peer is gone, or does not read.
    #[error("the send queue is full")]
    Full,
    /// The socket is closed, for good.
    #[error("the socket is closed")]
    Closed,
    /// It cannot be used like this: an address that is none, or a socket of the wrong type.
    #[error("the socket cannot be used like this: {0}")]
    Configuration(String),
    /// The system or the protocol said so.
    #[error("{0}")]
    Failed(String),
}

/// A ZeroMQ socket: a `DEALER`, or what a pattern says that it needs.
///
/// It connects again by itself when its connection is lost, as ZeroMQ sockets do, and queues what is sent meanwhile.
pub trait Socket: Send + Sync {
    /// Queues a message, without waiting.
    ///
    /// # Errors
    /// [`SocketError::Full`] if the queue is full, which has a limit; [`SocketError::Closed`].
    fn send(&mut self, frames: Frames) -> Result<(), SocketError>;

    /// Waits for the next message. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`SocketError::Closed`], after which nothing will come.
    fn recv(&mut self) -> impl Future<Output = Result<Frames, SocketError>> + Send;

    /// Asks for the messages whose first frame begins with `prefix`, also after each new connection.
    ///
    /// # Errors
    /// [`SocketError::Configuration`] if it is not a `SUB`; [`SocketError::Closed`].
    fn subscribe(&mut self, prefix: Bytes) -> impl Future<Output = Result<(), SocketError>> + Send;

    /// Takes a subscription back.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    fn unsubscribe(&mut self, prefix: Bytes) -> impl Future<Output = Result<(), SocketError>> + Send;

    /// Closes the socket. With `linger` it first sends what is queued, for as long as it was set up to; else that is
    /// dropped, as it is when a socket is dropped.
    fn close(self, linger: bool) -> impl Future<Output = ()> + Send;
}

/// Makes sockets. Patterns close a socket and make another to leave behind what may still come on the old.
pub trait Connector: Send + Sync {
    /// What it makes.
    type Socket: Socket;

    /// A fresh socket, which connects in the background. It must not wait for the peer: whether there is one is for
    /// the patterns to find out.
    ///
    /// # Errors
    /// [`SocketError`] if there can be no socket.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Socket, SocketError>> + Send;
}
