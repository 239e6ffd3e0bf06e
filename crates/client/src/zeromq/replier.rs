//! Servers of plain requests.

use bytes::Bytes;

use crate::zeromq::omq::OmqConnector;
use crate::zeromq::socket::{Connector, Frames, Socket, SocketError};

/// A `REP` socket: it takes one request after the other, and replies to each before it takes the next.
///
/// It stands behind a proxy, to which it connects, or in front of its clients, if its connector is
/// [`bound`](OmqConnector::bound). `REP` knows no acknowledgement: the request of a server that dies is lost, and its
/// client asks again, as a [`LazyPirateClient`](super::LazyPirateClient) does. A request may so come twice.
///
/// ```no_run
/// use swarmmq::zeromq::{OmqConnector, Replier};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut echo = Replier::connect(OmqConnector::replier(["tcp://localhost:5556"])?).await?;
/// loop {
///     let request = echo.next_request().await?;
///     let body = request.body().to_vec();
///     request.reply(body)?;
/// }
/// # }
/// ```
pub struct Replier<C: Connector> {
    socket: C::Socket,
}

/// A request that waits for its reply. Dropped, it is never answered.
pub struct PlainRequest<'a, S> {
    socket: &'a mut S,
    body: Frames,
}

impl<C: Connector> Replier<C> {
    /// A server. The connector makes `REP` sockets.
    ///
    /// # Errors
    /// [`SocketError`] if there can be no socket: of one that is bound, for an address that is in use. A proxy that is
    /// not there is none.
    pub async fn connect(mut connector: C) -> Result<Self, SocketError> {
        Ok(Self { socket: connector.connect().await? })
    }

    /// Waits for the next request. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`SocketError::Closed`], after which nothing will come.
    pub async fn next_request(&mut self) -> Result<PlainRequest<'_, C::Socket>, SocketError> {
        let body = self.socket.recv().await?;
        Ok(PlainRequest { socket: &mut self.socket, body })
    }

    /// Sends the replies that are queued, for as long as the connector allows, and closes.
    pub async fn close(self) {
        self.socket.close(true).await;
    }
}

impl Replier<OmqConnector> {
    /// Where it waits for connections, with the port that it was given; `None` if it does not.
    #[must_use]
    pub fn bound_to(&self) -> Option<String> {
        self.socket.bound_to()
    }
}

impl<S: Socket> PlainRequest<'_, S> {
    /// What is asked: one frame or more.
    #[must_use]
    pub fn body(&self) -> &[Bytes] {
        &self.body
    }

    /// Replies with one frame or more. It is queued when this returns.
    ///
    /// # Errors
    /// [`SocketError`] if nobody waits for the reply any more. The next request may be taken all the same.
    pub fn reply<F: Into<Bytes>>(self, body: impl IntoIterator<Item = F>) -> Result<(), SocketError> {
        self.socket.send(body.into_iter().map(Into::into).collect())
    }
}
