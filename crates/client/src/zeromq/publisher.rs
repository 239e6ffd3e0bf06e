//! Publishers.

use bytes::Bytes;

use crate::zeromq::socket::{Connector, Frames, Socket, SocketError};

/// A `PUB` socket: each message goes to all who have subscribed to a beginning of its topic, and to nobody else.
///
/// Nothing is acknowledged. What is published before a subscription has arrived, or while a connection is lost, is
/// lost for that subscriber. What must not be lost needs a way of its own to be asked for again.
///
/// ```no_run
/// use swarmmq::zeromq::{OmqConnector, Publisher};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut prices = Publisher::connect(OmqConnector::publisher(["tcp://localhost:5557"])?).await?;
/// prices.publish("price.tea", ["2.50"])?;
/// # Ok(())
/// # }
/// ```
pub struct Publisher<C: Connector> {
    socket: C::Socket,
}

impl<C: Connector> Publisher<C> {
    /// A publisher. The connector makes `PUB` sockets.
    ///
    /// # Errors
    /// [`SocketError`] if there can be no socket. A proxy that is not there is none.
    pub async fn connect(mut connector: C) -> Result<Self, SocketError> {
        Ok(Self { socket: connector.connect().await? })
    }

    /// Queues a message: the topic, which is its first frame, and the frames behind it, none or more. It does not wait.
    ///
    /// # Errors
    /// [`SocketError::Full`] if as many messages are queued as may be, and this one is not; [`SocketError::Closed`].
    pub fn publish<F: Into<Bytes>>(
        &mut self,
        topic: impl Into<Bytes>,
        payload: impl IntoIterator<Item = F>,
    ) -> Result<(), SocketError> {
        let mut frames: Frames = vec![topic.into()];
        frames.extend(payload.into_iter().map(Into::into));
        self.socket.send(frames)
    }

    /// Sends what is queued, for as long as the connector allows, and closes. A publisher that is dropped sends nothing
    /// more.
    pub async fn close(self) {
        self.socket.close(true).await;
    }
}
