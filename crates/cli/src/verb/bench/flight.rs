//! Messages on their way to being stored.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use swarmmq::{Confirmation, DestinationName, Message, Producer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::report::Latencies;
use crate::console::Progress;
use crate::failure::Failure;

/// Payloads that begin with their number, so that a consumer can tell what it has got.
#[derive(Debug, Clone)]
pub(super) struct Payloads {
    filling: Bytes,
    size: usize,
}

impl Payloads {
    pub(super) const NUMBER_BYTES: usize = size_of::<u64>();

    pub(super) fn new(size: usize) -> Self {
        // Bytes that differ: what is squeezed on its way would be measured on something nobody sends.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let filling = (Self::NUMBER_BYTES..size).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        Self { filling: filling.collect(), size }
    }

    pub(super) fn numbered(&self, number: u64) -> Bytes {
        let mut payload = BytesMut::with_capacity(Self::NUMBER_BYTES + self.filling.len());
        payload.extend_from_slice(&number.to_be_bytes());
        payload.extend_from_slice(&self.filling);
        payload.truncate(self.size);
        payload.freeze()
    }

    pub(super) fn number(payload: &[u8]) -> Option<u64> {
        payload.first_chunk().map(|number| u64::from_be_bytes(*number))
    }
}

/// One message on its way.
#[derive(Debug)]
struct Under {
    confirmation: Confirmation,
    /// Since when; none: it is not measured.
    since: Option<Instant>,
    /// Room for the next one, once this is stored.
    _room: OwnedSemaphorePermit,
}

/// What the confirmations told.
#[derive(Debug)]
pub(super) struct Confirmed {
    pub(super) messages: u64,
    pub(super) latencies: Latencies,
    /// When the last one came.
    pub(super) last: Instant,
}

/// Sends messages, a bounded number of them at once, and collects their confirmations aside.
///
/// A task of its own takes the confirmations, so that a moment is noted when one comes and not when the sender
/// gets around to looking.
#[derive(Debug)]
pub(super) struct Flight {
    producer: Producer,
    room: Arc<Semaphore>,
    under: mpsc::UnboundedSender<Under>,
    collector: JoinHandle<Result<Confirmed, Failure>>,
}

impl Flight {
    /// `in_flight` bounds what is under way, and with it the channel to the collector.
    pub(super) fn new(producer: Producer, in_flight: u32, progress: Progress) -> Result<Self, Failure> {
        let (under, confirmations) = mpsc::unbounded_channel();
        let collector = tokio::spawn(collect(confirmations, Latencies::new()?, progress));
        Ok(Self { producer, room: Arc::new(Semaphore::new(in_flight as usize)), under, collector })
    }

    /// A producer for it, which never waits where we do not.
    pub(super) fn producer(
        client: &swarmmq::Client,
        destination: &DestinationName,
        in_flight: u32,
    ) -> Producer {
        client.producer(destination).messages_in_flight_max(in_flight as usize).build()
    }

    /// Waits until there is room for a message.
    pub(super) async fn room(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let room = self.room.clone().acquire_owned().await;
        room.map_err(|_| Failure::failed("the measurement has ended"))
    }

    /// Sends a message into the room that was waited for. False: an earlier one failed, and there is no point in
    /// going on.
    pub(super) async fn send(
        &self,
        payload: Bytes,
        since: Option<Instant>,
        room: OwnedSemaphorePermit,
    ) -> Result<bool, Failure> {
        let confirmation = self.producer.enqueue(Message::new(payload)).await?;
        Ok(self.under.send(Under { confirmation, since, _room: room }).is_ok())
    }

    /// Waits for what is under way.
    pub(super) async fn land(self) -> Result<Confirmed, Failure> {
        drop(self.under);
        let collected = self.collector.await;
        collected.map_err(|error| Failure::failed(format!("the task that measures ended: {error}")))?
    }
}

async fn collect(
    mut under: mpsc::UnboundedReceiver<Under>,
    latencies: Latencies,
    progress: Progress,
) -> Result<Confirmed, Failure> {
    let mut confirmed = Confirmed { messages: 0, latencies, last: Instant::now() };
    while let Some(Under { confirmation, since, _room }) = under.recv().await {
        confirmation.await?;
        let now = Instant::now();
        if let Some(since) = since {
            confirmed.messages += 1;
            confirmed.latencies.record(now.saturating_duration_since(since));
            progress.set(confirmed.messages);
        }
        confirmed.last = now;
    }
    Ok(confirmed)
}

/// Stores `count` messages that nobody measures.
pub(super) async fn fill(
    producer: Producer,
    payloads: &Payloads,
    count: u64,
    progress: Progress,
) -> Result<(), Failure> {
    progress.message("filling");
    let flight = Flight::new(producer, FILL_IN_FLIGHT, Progress::hidden())?;
    for number in 0..count {
        let room = flight.room().await?;
        if !flight.send(payloads.numbered(number), None, room).await? {
            break;
        }
        progress.set(number);
    }
    flight.land().await.map(drop)
}

/// Under way while a backlog is made: enough to make syncing cheap, whatever is measured later.
pub(super) const FILL_IN_FLIGHT: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_its_number() {
        let payload = Payloads::new(128).numbered(77);
        assert_eq!(payload.len(), 128);
        assert_eq!(Payloads::number(&payload), Some(77));
        assert_eq!(Payloads::new(3).numbered(77).len(), 3);
    }
}
