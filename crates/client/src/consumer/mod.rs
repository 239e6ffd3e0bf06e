//! Consumers: messages delivered by credit, and settled in batches.
//!
//! ```text
//!         subscribe              Subscribed
//!   Wanted ────────▶ Subscribing ──────────▶ Subscribed
//!     ▲                  │ refused, later        │ Ended, connection lost
//!     └──── Paused ◀─────┴───────────────────────┘
//! ```
//!
//! At every moment: credit at the node + messages buffered + messages held by the application and not
//! settled ≤ the consumer's credit. So a consumer holds bounded memory, and a message never waits in
//! the buffer of a consumer that has enough to do.

mod builder;
mod core;
mod delivered;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use swarmmq_protocol::request::Verdict;
use swarmmq_protocol::{DestinationName, GroupName};

pub use self::builder::ConsumerBuilder;
pub(crate) use self::core::Hold;
use self::core::{Core, Taken};
pub use self::delivered::Delivered;
use crate::client::Client;
use crate::encryption::KeyRing;
use crate::error::Error;
use crate::settle::Settler;

/// A stream of messages for one group.
///
/// Each message is leased to this consumer until it is settled, or the lease ends and it is delivered
/// again, to whichever consumer of the group. A message can so come more than once; its
/// [`Delivered::attempt`] says how often.
///
/// When the connection is lost the node gives the consumer's messages to others, and the consumer
/// subscribes again. What it had buffered it lets go. What the application holds it may still settle:
/// the node accepts that unless the message was leased again by then.
///
/// Dropping the consumer unsubscribes: what it holds and has not settled becomes ready for others.
#[derive(Debug)]
pub struct Consumer {
    core: Arc<Core>,
    settler: Arc<Settler>,
    client: Client,
    encryption: Option<KeyRing>,
    reject_undecryptable: bool,
}

impl Consumer {
    /// From where.
    #[must_use]
    pub fn destination(&self) -> &DestinationName {
        self.core.destination()
    }

    /// For which group.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        self.core.group()
    }

    /// The next message, or `None` when the client is closed, or behind an error of the subscription.
    ///
    /// An error of one message ([`Error::Encryption`], [`Error::Protocol`]) is followed by others. An
    /// error of the subscription ([`Error::Refused`]) is the last item.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Delivered, Error>> {
        std::future::poll_fn(|context| self.poll_delivered(context)).await
    }

    fn poll_delivered(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivered, Error>>> {
        match self.core.poll_taken(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Some(Ok(taken))) => Poll::Ready(Some(self.open(taken))),
        }
    }

    fn open(&self, Taken { delivery, hold }: Taken) -> Result<Delivered, Error> {
        let mut message = delivery.message.decode()?;
        if let Some(keys) = &self.encryption {
            message = match keys.decrypt(self.destination(), message) {
                Ok(message) => message,
                Err(error) => {
                    if self.reject_undecryptable {
                        let reason = error.to_string();
                        let client = Some(self.client.clone());
                        let verdict = Verdict::Reject { reason };
                        self.settler.settle_later(delivery.receipt, verdict, Some(hold), client);
                    }
                    return Err(error.into());
                }
            };
        }
        Ok(Delivered::new(message, &delivery, Some(hold), self.settler.clone(), self.client.clone()))
    }

    /// Waits until everything settled so far is known to the node, and unsubscribes. Messages held and
    /// not settled become ready for others.
    ///
    /// # Cancel safety
    /// Dropping the future unsubscribes without the wait.
    pub async fn close(self) {
        self.core.stop_receiving();
        self.settler.drained().await;
        self.core.unsubscribe().await;
    }
}

impl Stream for Consumer {
    type Item = Result<Delivered, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_delivered(context)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.core.close();
    }
}
