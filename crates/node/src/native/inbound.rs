//! From bytes to requests: the read buffer of a session.

use bytes::{Buf, BytesMut};
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Frame, FrameError, FrameHeader, FrameKind, HEADER_BYTES, decode_frame};
use swarmmq_protocol::{ErrorCode, ErrorReply, Request};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::native::outbox::Room;
use crate::security::{Principal, authorship};

/// A quiet connection reads so much at once; this is what it costs in memory.
const READ_BYTES_MIN: usize = 2 * 1024;
/// A busy one reads so much at once.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Most frames of one batch, so that answers are not held up by reading.
const BATCH_FRAMES_MAX: usize = 1024;
/// Most bytes of the body of a frame that is not a request.
const CONTROL_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a frame's header that its length counts.
const COUNTED_HEADER_BYTES: usize = HEADER_BYTES - 4;
/// Room for batches that is not given back.
const KEPT_ITEMS: usize = 32;

/// What a batch holds.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request that may go on.
    Request { correlation: u64, request: Request, bytes: usize },
    /// A request that is answered with an error.
    Refused(u64, ErrorReply),
    /// Credit of a subscription.
    Credit(u64, u32),
    /// To be answered with a pong.
    Ping(u64),
    /// Dealt with.
    Done,
}

/// Why nothing more is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// The peer said Goodbye.
    Goodbye(ErrorReply),
    /// Where the next frame begins is not known, or the peer said what only a node says.
    Broken(ErrorReply),
}

/// The bytes read and not yet decoded, and the batch decoded and not yet handed on.
#[derive(Debug)]
pub(crate) struct Inbound {
    buffer: BytesMut,
    /// How much to make room for before a read.
    read_bytes: usize,
    /// How much of a frame that is too large is still to be thrown away.
    skip_bytes: usize,
    pub(crate) batch: Vec<Item>,
}

impl Inbound {
    /// Begins with what came behind the Hello.
    pub(crate) fn new(early: BytesMut) -> Self {
        // The handshake's buffer is not kept for what may be a few bytes.
        let buffer = BytesMut::from(&early[..]);
        Self { buffer, read_bytes: READ_BYTES_MIN, skip_bytes: 0, batch: Vec::new() }
    }

    /// Decodes what has come, within `room`, into the batch. A batch that is empty afterwards says that
    /// more has to be read.
    ///
    /// # Errors
    /// [`ReadEnd`], behind the items before it, which are in the batch.
    pub(crate) fn decode(&mut self, room: Room, limits: &Limits<'_>) -> Result<(), ReadEnd> {
        let mut left = room;
        while !left.is_none() && self.batch.len() < BATCH_FRAMES_MAX {
            self.skip();
            let header = FrameHeader::peek(&self.buffer, FRAME_BYTES_MAX).map_err(|error| broken(&error))?;
            let Some(header) = header else { return Ok(()) };
            match header.kind {
                FrameKind::Request if header.body_bytes + COUNTED_HEADER_BYTES > limits.frame_bytes_max => {
                    self.batch.push(Item::Refused(header.correlation, limits.too_large(&header)));
                    self.skip_bytes = HEADER_BYTES + header.body_bytes;
                    left.requests -= 1;
                    continue;
                }
                FrameKind::Request => {}
                _ if header.body_bytes > CONTROL_BYTES_MAX => {
                    let length = header.body_bytes + COUNTED_HEADER_BYTES;
                    return Err(broken(&FrameError::Length { length, limit: CONTROL_BYTES_MAX }));
                }
                _ => {}
            }
            let item = match decode_frame(&mut self.buffer, FRAME_BYTES_MAX) {
                Ok(None) => return Ok(()),
                Ok(Some((correlation, frame))) => read_item(correlation, frame, &header, limits)?,
                Err(FrameError::Body { correlation, error }) if header.kind == FrameKind::Request => {
                    Item::Refused(correlation, ErrorReply::malformed(&error))
                }
                Err(error) => return Err(broken(&error)),
            };
            if header.kind == FrameKind::Request {
                left.requests -= 1;
                left.bytes = left.bytes.saturating_sub(header.body_bytes);
            }
            self.batch.push(item);
        }
        Ok(())
    }

    fn skip(&mut self) {
        let now = self.skip_bytes.min(self.buffer.len());
        self.buffer.advance(now);
        self.skip_bytes -= now;
    }

    /// Reads what there is, and says how much. 0: the peer has closed its side.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) async fn read<R>(&mut self, stream: &mut R) -> std::io::Result<usize>
    where
        R: AsyncRead + Unpin,
    {
        if self.buffer.is_empty() && self.buffer.capacity() > self.read_bytes * 4 {
            self.buffer = BytesMut::new();
        }
        // Room grows with what has come, and not with what a header announces.
        self.buffer.reserve(self.read_bytes.max(self.buffer.len().min(FRAME_BYTES_MAX / 4)));
        let room = self.buffer.capacity() - self.buffer.len();
        let count = stream.read_buf(&mut self.buffer).await?;
        if count == room {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 8 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        if self.batch.capacity() > KEPT_ITEMS && self.read_bytes == READ_BYTES_MIN {
            self.batch = Vec::new();
        }
        Ok(count)
    }
}

/// What a request is checked against before anything is taken on for it.
pub(crate) struct Limits<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) message_bytes_max: usize,
    pub(crate) frame_bytes_max: usize,
}

impl Limits<'_> {
    fn check(&self, request: &Request) -> Result<(), ErrorReply> {
        if let Request::Put(put) = request
            && let Some((nth, message)) =
                put.messages.iter().enumerate().find(|(_, message)| message.len() > self.message_bytes_max)
        {
            let text = format!(
                "message {} of the put has {} bytes encoded, this node accepts {}",
                nth + 1,
                message.len(),
                self.message_bytes_max
            );
            return Err(ErrorReply::new(ErrorCode::TooLarge, text));
        }
        self.principal.permits(request)?;
        authorship::check(self.principal, request)
    }

    fn too_large(&self, header: &FrameHeader) -> ErrorReply {
        let text = format!(
            "the request has {} bytes, this node accepts {} in one request and {} in one message",
            header.body_bytes,
            self.frame_bytes_max - COUNTED_HEADER_BYTES,
            self.message_bytes_max
        );
        ErrorReply::new(ErrorCode::TooLarge, text)
    }
}

fn read_item(
    correlation: u64,
    frame: Frame,
    header: &FrameHeader,
    limits: &Limits<'_>,
) -> Result<Item, ReadEnd> {
    Ok(match frame {
        Frame::Request(request) => match limits.check(&request) {
            Ok(()) => Item::Request { correlation, request, bytes: header.body_bytes },
            Err(error) => Item::Refused(correlation, error),
        },
        Frame::Credit(messages) => Item::Credit(correlation, messages),
        Frame::Ping => Item::Ping(correlation),
        Frame::Pong => Item::Done,
        Frame::Goodbye(error) => return Err(ReadEnd::Goodbye(error)),
        _ => {
            let text = format!("a client does not send frames of kind {:?} here", header.kind);
            return Err(ReadEnd::Broken(ErrorReply::new(ErrorCode::Malformed, text)));
        }
    })
}

fn broken(error: &FrameError) -> ReadEnd {
    ReadEnd::Broken(ErrorReply::new(ErrorCode::Malformed, error.to_string()))
}
