//! Encoding what waits into few and large writes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use swarmmq_protocol::limits::{BATCH_MAX, FRAME_BYTES_MAX};
use swarmmq_protocol::native::{Frame, FrameKind, HEADER_BYTES, encode_frame};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::{Encode, ErrorCode, ErrorReply};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::native::outbox::Outgoing;

/// Encoding stops here and writing begins; one entry may go beyond.
const WRITE_BYTES: usize = 256 * 1024;
/// A delivery frame is not made larger than this, unless by its first message.
const DELIVERY_FRAME_BYTES: usize = 1024 * 1024;
/// Messages of this size are written from where they are.
const BORROWED_BYTES_MIN: usize = 16 * 1024;
/// Slices of one write: the most that one system call takes on some systems is 1,024.
const SLICES_MAX: usize = 64;
/// The encoding buffer is given back after a small write if it has grown beyond this.
const KEPT_BYTES: usize = 4 * 1024;
/// Bytes of a list's count.
const COUNT_BYTES: usize = 4;
/// The tag of `Response::Messages`.
const MESSAGES: u8 = 3;

/// Encoded frames that are being written. Survives the write that is interrupted.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    chunks: VecDeque<Bytes>,
    open: BytesMut,
    bytes: usize,
    /// What the encoded entries cost in the outbox.
    cost: usize,
    /// Bytes of messages encoded, by subscription.
    delivered: Vec<(u64, usize)>,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
    pub(crate) cost: usize,
    pub(crate) delivered: Vec<(u64, usize)>,
}

impl Gather {
    /// Encodes entries off the front of `queue`, until there is enough for a write.
    pub(crate) fn fill(&mut self, queue: &mut VecDeque<Outgoing>) {
        while self.bytes < WRITE_BYTES {
            let Some(outgoing) = queue.pop_front() else { return };
            self.cost += outgoing.cost();
            self.encode(outgoing);
        }
    }

    fn encode(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Deliveries(subscription, deliveries) => self.deliveries(subscription, &deliveries),
            Outgoing::Reply(correlation, Response::Messages(deliveries)) => {
                self.messages(correlation, &deliveries)
            }
            Outgoing::Reply(correlation, response) => self.frame(correlation, Frame::Reply(response)),
            Outgoing::Ended(subscription, error) => self.frame(subscription, Frame::Ended(error)),
            Outgoing::Ping(number) => self.frame(number, Frame::Ping),
            Outgoing::Pong(number) => self.frame(number, Frame::Pong),
            Outgoing::Goodbye(error) => self.frame(0, Frame::Goodbye(error)),
        }
    }

    fn frame(&mut self, correlation: u64, frame: Frame) {
        let start = self.open.len();
        encode_frame(correlation, &frame, &mut self.open);
        if self.open.len() - start - 4 > FRAME_BYTES_MAX {
            // A peer would close the connection over such a frame.
            self.open.truncate(start);
            let text = "the answer is larger than a frame: ask for less at once";
            let error = ErrorReply::new(ErrorCode::TooLarge, text);
            encode_frame(correlation, &Frame::Reply(Response::Error(error)), &mut self.open);
        }
        self.bytes += self.open.len() - start;
    }

    fn deliveries(&mut self, subscription: u64, mut deliveries: &[Delivery]) {
        while !deliveries.is_empty() {
            let (now, later) = split(deliveries, DELIVERY_FRAME_BYTES);
            let message_bytes = now.iter().map(|delivery| delivery.message.len()).sum();
            self.list(FrameKind::Delivery, subscription, None, now);
            match self.delivered.last_mut() {
                Some((last, bytes)) if *last == subscription => *bytes += message_bytes,
                _ => self.delivered.push((subscription, message_bytes)),
            }
            deliveries = later;
        }
    }

    fn messages(&mut self, correlation: u64, deliveries: &[Delivery]) {
        let (fitting, left_out) = split(deliveries, FRAME_BYTES_MAX - HEADER_BYTES - COUNT_BYTES - 1);
        if !left_out.is_empty() {
            // Their leases end, and they are delivered again.
            tracing::error!(messages = left_out.len(), "a pull was answered with more than fits in a frame");
        }
        self.list(FrameKind::Reply, correlation, Some(MESSAGES), fitting);
    }

    /// A frame of deliveries, whose large messages are not copied.
    fn list(&mut self, kind: FrameKind, correlation: u64, tag: Option<u8>, deliveries: &[Delivery]) {
        let body =
            COUNT_BYTES + usize::from(tag.is_some()) + deliveries.iter().map(encoded_bytes).sum::<usize>();
        let out = &mut self.open;
        out.put_u32(u32::try_from(HEADER_BYTES - 4 + body).unwrap_or(u32::MAX));
        out.put_u8(kind as u8);
        out.put_u8(0);
        out.put_u16(0);
        out.put_u64(correlation);
        if let Some(tag) = tag {
            out.put_u8(tag);
        }
        out.put_u32(u32::try_from(deliveries.len()).unwrap_or(u32::MAX));
        for delivery in deliveries {
            self.delivery(delivery);
        }
        self.bytes += HEADER_BYTES + body;
    }

    fn delivery(&mut self, delivery: &Delivery) {
        if delivery.message.len() < BORROWED_BYTES_MIN {
            delivery.encode(&mut self.open);
            return;
        }
        delivery.receipt.encode(&mut self.open);
        self.open.put_u32(delivery.attempt);
        self.open.put_u64(delivery.stored_ms);
        self.open.put_u32(u32::try_from(delivery.message.len()).unwrap_or(u32::MAX));
        self.seal();
        self.chunks.push_back(delivery.message.as_bytes().clone());
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push_back(self.open.split().freeze());
        }
    }

    /// Writes all that is encoded. Where it is interrupted, calling it again goes on.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) async fn write<W>(&mut self, stream: &mut W, progress: impl Fn(usize)) -> io::Result<Written>
    where
        W: AsyncWrite + Unpin,
    {
        self.seal();
        while !self.chunks.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx, stream)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            progress(count);
            self.advance(count);
        }
        stream.flush().await?;
        let written = Written {
            bytes: std::mem::take(&mut self.bytes),
            cost: std::mem::take(&mut self.cost),
            delivered: std::mem::take(&mut self.delivered),
        };
        if written.bytes < KEPT_BYTES && self.open.capacity() > KEPT_BYTES {
            self.open = BytesMut::new();
        }
        Ok(written)
    }

    /// One write. The slices are the stack's: a session that waits to write does not hold them.
    fn poll_write<W: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut W,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        let used = self.chunks.len().min(SLICES_MAX);
        Pin::new(stream).poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.chunks.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
        }
    }
}

fn encoded_bytes(delivery: &Delivery) -> usize {
    Delivery::OVERHEAD_BYTES + delivery.message.len()
}

/// Splits off the first deliveries that fit in `bytes_max` and in a frame; at least one.
fn split(deliveries: &[Delivery], bytes_max: usize) -> (&[Delivery], &[Delivery]) {
    let mut bytes = 0;
    let fitting = deliveries.iter().take_while(|delivery| {
        bytes += encoded_bytes(delivery);
        bytes <= bytes_max
    });
    let count = fitting.count().clamp(1, BATCH_MAX).min(deliveries.len());
    deliveries.split_at(count)
}
