//! A message in the hands of the application.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_protocol::limits::EXPLANATION_BYTES_MAX;
use swarmmq_protocol::request::Verdict;
use swarmmq_protocol::response::Delivery;
use swarmmq_protocol::{Message, Receipt, Sequence};

use crate::client::Client;
use crate::consumer::Hold;
use crate::error::Error;
use crate::settle::{Settler, Settling};

/// A message that is leased to this consumer.
///
/// It is settled once, by [`ack`](Self::ack), [`nack`](Self::nack) or [`reject`](Self::reject). Dropped
/// without that, it comes again when its lease ends.
///
/// A settlement is queued when the method is *called*, and goes out with others; the future only
/// waits for the node's answer. Dropping the future does not take it back. The connection stays until the
/// settlement is over, also when the client and all else that was made from it are dropped.
#[derive(Debug)]
#[must_use = "a message that is not settled comes again when its lease ends"]
pub struct Delivered {
    message: Message,
    receipt: Receipt,
    attempt: u32,
    stored_ms: u64,
    hold: Option<Hold>,
    settler: Arc<Settler>,
    /// Keeps the connection until the message is settled.
    client: Client,
}

impl Delivered {
    pub(super) fn new(
        message: Message,
        delivery: &Delivery,
        hold: Option<Hold>,
        settler: Arc<Settler>,
        client: Client,
    ) -> Self {
        let Delivery { receipt, attempt, stored_ms, .. } = *delivery;
        Self { message, receipt, attempt, stored_ms, hold, settler, client }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its place in the destination's log.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.receipt.sequence
    }

    /// Which delivery of the message this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it was stored, ms since 1970.
    #[must_use]
    pub fn stored_ms(&self) -> u64 {
        self.stored_ms
    }

    /// What it is settled with.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// It is done.
    ///
    /// # Errors
    /// [`Error::Refused`] with `STALE-RECEIPT` where the lease ended and the message was leased again:
    /// it is delivered once more. [`Error::TimedOut`], [`Error::OutcomeUnknown`] and [`Error::Closed`].
    pub fn ack(self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.settle(Verdict::Ack)
    }

    /// It could not be done now: it comes again, after `delay`.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub fn nack(self, delay: Duration) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.settle(Verdict::Nack { delay_ms: milliseconds(delay) })
    }

    /// It will never be done: it becomes a dead letter, with this reason (cut to 1 KiB).
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub fn reject<R: Into<String>>(
        self,
        reason: R,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let mut reason: String = reason.into();
        let end = reason.floor_char_boundary(EXPLANATION_BYTES_MAX);
        reason.truncate(end);
        self.settle(Verdict::Reject { reason })
    }

    /// It takes longer: the lease ends in `lease` from when the node reads this.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub fn extend(&self, lease: Duration) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let verdict = Verdict::Extend { lease_ms: milliseconds(lease) };
        answer(self.settler.settle(self.receipt, verdict, None, self.client.clone()))
    }

    /// It is done, and nobody waits for the node to know. Failures are counted in
    /// [`crate::Statistics::failed_settlements`]; the message then comes again.
    pub fn ack_later(mut self) {
        let hold = self.hold.take();
        self.settler.settle_later(self.receipt, Verdict::Ack, hold, Some(self.client));
    }

    /// It could not be done now, and nobody waits for the node to know. As [`Self::ack_later`].
    pub fn nack_later(mut self, delay: Duration) {
        let hold = self.hold.take();
        let verdict = Verdict::Nack { delay_ms: milliseconds(delay) };
        self.settler.settle_later(self.receipt, verdict, hold, Some(self.client));
    }

    fn settle(mut self, verdict: Verdict) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let hold = self.hold.take();
        answer(self.settler.settle(self.receipt, verdict, hold, self.client))
    }
}

async fn answer(settling: Settling) -> Result<(), Error> {
    settling.await.unwrap_or(Err(Error::Closed))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
