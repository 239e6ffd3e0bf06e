//! Producers: messages stored in one destination, exactly once and in order.
//!
//! `line` holds the messages and decides what is sent when (pure), `core` ties it to the connection
//! and to the clock, `waiting` lets callers in when there is room, and `confirmation` tells them what
//! became of their messages.

mod batch;
mod builder;
mod confirmation;
mod core;
mod line;
#[cfg(test)]
mod line_tests;
mod waiting;

use std::future::Future;
use std::sync::Arc;

use swarmmq_protocol::{DestinationName, Message};

pub use self::builder::ProducerBuilder;
pub use self::confirmation::{Confirmation, Stored};
use self::core::{Core, drive};
use self::waiting::Enqueueing;
use crate::client::Client;
use crate::encryption::KeyRing;
use crate::error::Error;

/// Stores messages in one destination, exactly once and in order. Cheap to clone; all clones are the
/// same producer.
///
/// # What is promised
///
/// A producer is a session: a random id, and for each message a sequence that it is sent with however
/// often it has to be sent. The node stores each sequence once, and only behind the one before it.
///
/// - A message whose [`Confirmation`] gives [`Stored`] is stored exactly once, synced on a majority, also
///   if connections were cut and leaders changed on the way.
/// - Messages are stored in the order in which [`Self::send`], [`Self::enqueue`] and
///   [`Self::try_enqueue`] were *called*. (With [`ProducerBuilder::wait_when_full`], a message that was
///   refused for lack of space may be overtaken by those that were under way with it.)
/// - A message whose confirmation gives an error is not stored and never will be, unless
///   [`Error::is_uncertain`] says that it may be. A message refused by itself does not hold up or undo
///   those behind it.
/// - [`Error::OutcomeUnknown`] is given when the time is over, the client is closed or the node has
///   forgotten the session, while a message was sent and not answered. It may be stored, now or
///   somewhat later, once; it is never stored twice by this producer.
///
/// Where the node does not know the session any more (`UNKNOWN-PRODUCER`, `SEQUENCE-GAP`), messages
/// that may have been stored end with [`Error::OutcomeUnknown`]; those of which it is certain that
/// they are not stored go on under a new epoch of the session, which fences the old one.
///
/// # Bounds
///
/// A producer holds at most [`ProducerBuilder::messages_in_flight_max`] messages and
/// [`ProducerBuilder::bytes_in_flight_max`] bytes. Further callers wait, each with its own message.
#[derive(Debug, Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// What all clones of a producer share. The last one says that nothing more will come.
#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    /// Keeps the client alive.
    _client: Client,
    encryption: Option<KeyRing>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl Producer {
    fn new(client: Client, core: Arc<Core>, encryption: Option<KeyRing>) -> Self {
        tokio::spawn(drive(core.clone()));
        Self { handle: Arc::new(Handle { core, _client: client, encryption }) }
    }

    /// The destination.
    #[must_use]
    pub fn destination(&self) -> &DestinationName {
        self.handle.core.destination()
    }

    /// Sends a message and waits until it is stored on a majority.
    ///
    /// The message takes its place in the order when this is called, not when the future is first
    /// polled.
    ///
    /// # Cancel safety
    /// Dropping the future while the message waits for room in the window takes it back. Later than
    /// that it does not: the message is sent, and nobody is told what became of it. Use
    /// [`Self::enqueue`] to tell the two apart.
    ///
    /// # Errors
    /// See [what is promised](Producer#what-is-promised). [`Error::Refused`] with the node's reason;
    /// [`Error::TimedOut`] and [`Error::Closed`] where it was not stored; [`Error::OutcomeUnknown`] where
    /// it may have been; [`Error::TooLarge`], [`Error::Misuse`] and [`Error::Encryption`] where it was not
    /// sent.
    pub fn send(&self, message: Message) -> impl Future<Output = Result<Stored, Error>> + Send + use<> {
        let enqueueing = self.begin(message);
        async move { enqueueing.await?.await }
    }

    /// Sends a message and waits only until there is room for it in the window. The confirmation is
    /// waited for apart, or not at all: then [`Self::flush`] gives the first failure.
    ///
    /// The message takes its place in the order when this is called.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready takes the message back, unless it has just been given
    /// its place. Dropping the [`Confirmation`] does not take it back.
    ///
    /// # Errors
    /// Those of [`Self::send`] that come before a message is sent.
    pub fn enqueue(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<Confirmation, Error>> + Send + use<> {
        self.begin(message)
    }

    /// Sends a message if there is room for it in the window right now, and gives `None` if not.
    ///
    /// # Errors
    /// As [`Self::enqueue`].
    pub fn try_enqueue(&self, message: &Message) -> Result<Option<Confirmation>, Error> {
        let message = self.prepare(message.clone())?;
        self.handle.core.try_enqueue(&message).transpose()
    }

    fn begin(&self, message: Message) -> Enqueueing {
        match self.prepare(message) {
            Ok(message) => self.handle.core.enqueue(message),
            Err(error) => Enqueueing::known(Err(error)),
        }
    }

    fn prepare(&self, mut message: Message) -> Result<Message, Error> {
        if let Some(keys) = &self.handle.encryption {
            message = keys.encrypt(self.destination(), message)?;
        }
        let (actual, limit) = (message.encoded_len(), self.handle.core.message_bytes_max());
        if actual > limit {
            return Err(Error::TooLarge { actual, limit });
        }
        Ok(message)
    }

    /// Waits until every message sent before is settled: stored, refused, or over its time.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    ///
    /// # Errors
    /// The first failure of any message since the last flush, also if its confirmation was waited for.
    pub async fn flush(&self) -> Result<(), Error> {
        self.handle.core.flush().await
    }

    /// Takes no more messages, of any clone, and waits until every message sent before is settled.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the producer closed.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(&self) -> Result<(), Error> {
        self.handle.core.close();
        self.flush().await
    }
}
