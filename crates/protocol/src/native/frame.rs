//! A frame: its header, and its body by kind.
//!
//! ```text
//! 0        4      5       6          8             16
//! | length | kind | flags | reserved | correlation | body …
//! ```
//!
//! `length` counts the bytes behind itself: 12 + the body's. `flags` and `reserved` are zero in
//! version 1 and a receiver refuses others.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::error::ErrorReply;
use crate::limits::{FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX};
use crate::native::handshake::{Hello, Welcome};
use crate::request::Request;
use crate::response::{Delivery, Response, put_deliveries, read_deliveries};

/// Bytes of a frame before its body.
pub const HEADER_BYTES: usize = 16;
/// Bytes of the header that `length` counts.
const COUNTED_HEADER_BYTES: usize = 12;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum FrameKind {
    /// Client: who I am and what I speak. The first frame.
    Hello = 0x01,
    /// Client: a request; the correlation id is the client's, unique among those under way.
    Request = 0x02,
    /// Client: so much more may be delivered to the subscription in the correlation id.
    Credit = 0x03,
    /// Either: are you there?
    Ping = 0x04,
    /// Either: I am, to the ping with the same correlation id.
    Pong = 0x05,
    /// Either: I close the connection, because of this.
    Goodbye = 0x06,
    /// Node: who I am and what we speak.
    Welcome = 0x81,
    /// Node: the answer to the request with the same correlation id.
    Reply = 0x82,
    /// Node: messages for the subscription in the correlation id.
    Delivery = 0x83,
    /// Node: the subscription in the correlation id has ended, because of this.
    Ended = 0x84,
}

impl FrameKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0x01 => Self::Hello,
            0x02 => Self::Request,
            0x03 => Self::Credit,
            0x04 => Self::Ping,
            0x05 => Self::Pong,
            0x06 => Self::Goodbye,
            0x81 => Self::Welcome,
            0x82 => Self::Reply,
            0x83 => Self::Delivery,
            0x84 => Self::Ended,
            _ => return None,
        })
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it is.
    pub kind: FrameKind,
    /// Ties it to another.
    pub correlation: u64,
    /// Bytes of its body.
    pub body_bytes: usize,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// See [`FrameKind::Hello`].
    Hello(Hello),
    /// See [`FrameKind::Request`].
    Request(Request),
    /// See [`FrameKind::Credit`].
    Credit(u32),
    /// See [`FrameKind::Ping`].
    Ping,
    /// See [`FrameKind::Pong`].
    Pong,
    /// See [`FrameKind::Goodbye`].
    Goodbye(ErrorReply),
    /// See [`FrameKind::Welcome`].
    Welcome(Welcome),
    /// See [`FrameKind::Reply`].
    Reply(Response),
    /// See [`FrameKind::Delivery`].
    Delivery(Vec<Delivery>),
    /// See [`FrameKind::Ended`].
    Ended(ErrorReply),
}

/// Why a frame could not be read. All but [`FrameError::Body`] leave the stream without a known
/// boundary: the connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is less than a header or more than the limit.
    #[error("a frame announces {length} bytes, it must be {COUNTED_HEADER_BYTES} to {limit}")]
    Length {
        /// What it announces.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// There is no such kind.
    #[error("a frame has the unknown kind 0x{kind:02x}")]
    Kind {
        /// The number found.
        kind: u8,
    },
    /// Bits are set that version 1 does not know.
    #[error("a frame has unknown flags set")]
    Flags,
    /// The body is not one of its kind. The next frame can be read.
    #[error("a frame's body is malformed: {error}")]
    Body {
        /// The correlation id of the frame.
        correlation: u64,
        /// What is wrong.
        error: DecodeError,
    },
}

impl FrameHeader {
    /// Reads the header at the start of `buffer`, or `None` while it is not all there.
    ///
    /// `limit` is the most bytes behind the length field that are accepted; before a peer has
    /// authenticated that is [`HANDSHAKE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`FrameError`], before anything is allocated.
    pub fn peek(buffer: &[u8], limit: usize) -> Result<Option<Self>, FrameError> {
        let Some((mut header, _)) = buffer.split_at_checked(HEADER_BYTES) else {
            if let Some(mut length) = buffer.get(..4) {
                check_length(length.get_u32() as usize, limit)?;
            }
            return Ok(None);
        };
        let length = header.get_u32() as usize;
        check_length(length, limit)?;
        let kind = header.get_u8();
        let kind = FrameKind::from_number(kind).ok_or(FrameError::Kind { kind })?;
        if header.get_u8() != 0 || header.get_u16() != 0 {
            return Err(FrameError::Flags);
        }
        let correlation = header.get_u64();
        Ok(Some(Self { kind, correlation, body_bytes: length - COUNTED_HEADER_BYTES }))
    }
}

fn check_length(length: usize, limit: usize) -> Result<(), FrameError> {
    if !(COUNTED_HEADER_BYTES..=limit.min(FRAME_BYTES_MAX)).contains(&length) {
        return Err(FrameError::Length { length, limit: limit.min(FRAME_BYTES_MAX) });
    }
    Ok(())
}

/// Takes the first frame off `buffer`, or leaves it where not all of it has come.
///
/// # Errors
/// [`FrameError`]. After [`FrameError::Body`] the frame is taken off and the next can be read.
pub fn decode_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<(u64, Frame)>, FrameError> {
    let Some(header) = FrameHeader::peek(buffer, limit)? else { return Ok(None) };
    let total = HEADER_BYTES + header.body_bytes;
    if buffer.len() < total {
        return Ok(None);
    }
    let mut bytes = buffer.split_to(total);
    bytes.advance(HEADER_BYTES);
    let correlation = header.correlation;
    decode_body(header.kind, bytes.freeze())
        .map(|frame| Some((correlation, frame)))
        .map_err(|error| FrameError::Body { correlation, error })
}

fn decode_body(kind: FrameKind, body: Bytes) -> Result<Frame, DecodeError> {
    if matches!(kind, FrameKind::Hello) && body.len() > HANDSHAKE_BYTES_MAX {
        return Err(DecodeError::TooLarge {
            field: "hello",
            offset: 0,
            actual: body.len(),
            limit: HANDSHAKE_BYTES_MAX,
        });
    }
    let mut reader = Reader::new(body);
    let frame = match kind {
        FrameKind::Hello => Frame::Hello(Hello::decode(&mut reader)?),
        FrameKind::Request => Frame::Request(Request::decode(&mut reader)?),
        FrameKind::Credit => Frame::Credit(reader.u32("credit")?),
        FrameKind::Ping => Frame::Ping,
        FrameKind::Pong => Frame::Pong,
        FrameKind::Goodbye => Frame::Goodbye(ErrorReply::decode(&mut reader)?),
        FrameKind::Welcome => Frame::Welcome(Welcome::decode(&mut reader)?),
        FrameKind::Reply => Frame::Reply(Response::decode(&mut reader)?),
        FrameKind::Delivery => Frame::Delivery(read_deliveries(&mut reader)?),
        FrameKind::Ended => Frame::Ended(ErrorReply::decode(&mut reader)?),
    };
    reader.finish()?;
    Ok(frame)
}

/// Appends a frame to `out`.
pub fn encode_frame(correlation: u64, frame: &Frame, out: &mut BytesMut) {
    let kind = match frame {
        Frame::Hello(_) => FrameKind::Hello,
        Frame::Request(_) => FrameKind::Request,
        Frame::Credit(_) => FrameKind::Credit,
        Frame::Ping => FrameKind::Ping,
        Frame::Pong => FrameKind::Pong,
        Frame::Goodbye(_) => FrameKind::Goodbye,
        Frame::Welcome(_) => FrameKind::Welcome,
        Frame::Reply(_) => FrameKind::Reply,
        Frame::Delivery(_) => FrameKind::Delivery,
        Frame::Ended(_) => FrameKind::Ended,
    };
    encode_frame_with(kind, correlation, out, |out| match frame {
        Frame::Hello(hello) => hello.encode(out),
        Frame::Request(request) => request.encode(out),
        Frame::Credit(credit) => out.put_u32(*credit),
        Frame::Ping | Frame::Pong => {}
        Frame::Goodbye(error) | Frame::Ended(error) => error.encode(out),
        Frame::Welcome(welcome) => welcome.encode(out),
        Frame::Reply(response) => response.encode(out),
        Frame::Delivery(deliveries) => put_deliveries(out, deliveries),
    });
}

/// Appends a frame whose body is what `body` appends: for bodies that stand in pieces and need not be
/// put together first.
pub fn encode_frame_with(
    kind: FrameKind,
    correlation: u64,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind as u8);
    out.put_u8(0);
    out.put_u16(0);
    out.put_u64(correlation);
    body(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}
