//! Frames, and messages and commands that are not encrypted, out of the bytes of a connection (RFC 37).
//!
//! ```text
//!   traffic = *(message | command)      message = *(frame with MORE) last frame
//!   frame   = flags, length in 1 or 8 bytes, body       flags: 1 MORE, 2 long length, 4 command
//! ```
//!
//! What was read stays in one block, and frames are pieces of it; a frame that is not all there and too large to be moved
//! for each read is collected apart. A length that is announced costs nothing until its bytes come.

use bytes::{Buf, Bytes, BytesMut};
use swarmmq_broker::exchange::Frames;

use super::chunks::{FLAG_LONG, FLAG_MORE, put_header};

const FLAG_COMMAND: u8 = 4;
/// What each frame counts for on top of its bytes.
pub(super) const FRAME_SLOT_BYTES: usize = 64;
/// Bodies of frames from this size on are collected apart when they are not all there.
const BODY_BYTES_MIN: usize = 512;
/// A body that is collected has at most so many times the memory of what was sent of it.
const BODY_GROWTH: usize = 16;
/// Frames that are looked at to find a large one that has only begun, so that it is copied once.
const PEEKED_FRAMES_MAX: usize = 4;

/// What comes out of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// A whole message.
    Message(Frames),
    /// A command, as its frame.
    Command(Header, Bytes),
}

/// A frame for those who know better what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// As it was read: its header and, next to it, its body.
    Whole(Bytes),
    /// A large one, whose body was collected apart.
    Apart(Header, Bytes),
}

/// Why nothing more can be read of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame has the flags {0:#04x}, which ZMTP does not know")]
    Flags(u8),
    #[error("a frame announces {0:#x} bytes: ZMTP has no lengths with the highest bit set")]
    Length(u64),
    /// With the bytes and frames that are known of.
    #[error("a message or command of at least {bytes} bytes in {frames} frames")]
    TooLarge { bytes: u64, frames: usize },
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    has_more: bool,
    is_command: bool,
    length: usize,
}

impl Header {
    /// The header at the start of some bytes, and how long it is, if it is all there.
    fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let (flags, length, header_bytes) = match *bytes {
            [flags, length, ..] if flags & FLAG_LONG == 0 => (flags, u64::from(length), 2),
            [flags, a, b, c, d, e, f, g, h, ..] => (flags, u64::from_be_bytes([a, b, c, d, e, f, g, h]), 9),
            [flags, ..] if !is_known(flags) => return Err(FrameError::Flags(flags)),
            _ => return Ok(None),
        };
        if !is_known(flags) {
            return Err(FrameError::Flags(flags));
        }
        let (has_more, is_command) = (flags & FLAG_MORE != 0, flags & FLAG_COMMAND != 0);
        match usize::try_from(length) {
            Ok(length) if length as u64 >> 63 == 0 => {
                Ok(Some((Self { has_more, is_command, length }, header_bytes)))
            }
            _ => Err(FrameError::Length(length)),
        }
    }

    /// Appends it, as it was read or in the shorter form.
    pub(super) fn put(self, out: &mut BytesMut) {
        let start = out.len();
        put_header(out, self.length, self.has_more);
        if self.is_command
            && let Some(flags) = out.get_mut(start)
        {
            *flags |= FLAG_COMMAND;
        }
    }
}

/// A frame that was cut off the front of the block, or collected.
struct Cut {
    header: Header,
    has_header: bool,
    /// The body, after the header if it has that.
    bytes: Bytes,
}

/// A frame that is collected apart.
#[derive(Debug)]
struct Apart {
    header: Header,
    body: Vec<u8>,
}

impl Apart {
    /// Takes what belongs to the frame off the front of what was read.
    fn extend<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.missing()));
        let held = self.body.len() + taken.len();
        if self.body.capacity() < held {
            let capacity = held.saturating_mul(BODY_GROWTH).min(self.header.length);
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(taken);
        rest
    }

    fn missing(&self) -> usize {
        self.header.length - self.body.len()
    }
}

/// Takes bytes and gives what they hold.
#[derive(Debug, Default)]
pub(super) struct FrameDecoder {
    /// What was read first of what was not looked at.
    block: Bytes,
    /// What was read after it.
    later: Vec<Bytes>,
    /// The frame after the block, which was not all there when it was begun.
    apart: Option<Apart>,
    /// A frame before the block.
    whole: Option<(Header, Bytes)>,
    /// The frames of a message that is not all there, and what they count for.
    frames: Frames,
    counted: usize,
    size_max: usize,
    /// Nothing comes out before more was read.
    is_starved: bool,
}

impl FrameDecoder {
    /// A decoder of messages that count, with [`FRAME_SLOT_BYTES`] for each frame, at most `size_max` bytes, the commands
    /// between their frames included. A command has the same limit.
    pub(super) fn new(size_max: usize) -> Self {
        Self { size_max, is_starved: true, ..Self::default() }
    }

    /// Takes bytes that were read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !std::mem::take(&mut self.is_starved) {
            return self.later.push(Bytes::copy_from_slice(bytes));
        }
        let Some(apart) = &mut self.apart else {
            let block = std::mem::take(&mut self.block);
            return self.take(&block, bytes);
        };
        let rest = apart.extend(bytes);
        if let Some(apart) = self.apart.take_if(|apart| apart.missing() == 0) {
            self.whole = Some((apart.header, Bytes::from(apart.body)));
            self.take(&[], rest);
        }
    }

    /// Makes a block of bytes, with what was before them, and collects apart a large frame of which they have the beginning.
    fn take(&mut self, before: &[u8], bytes: &[u8]) {
        if before.is_empty() {
            let mut start = 0;
            for _ in 0..PEEKED_FRAMES_MAX {
                let left = bytes.get(start..).unwrap_or_default();
                let Ok(Some((header, header_bytes))) = Header::read(left) else { break };
                if let Some(end) = header_bytes.checked_add(header.length).filter(|end| *end <= left.len()) {
                    start += end;
                    continue;
                }
                if header.length >= BODY_BYTES_MIN {
                    let (whole, begun) = bytes.split_at(start);
                    let mut apart = Apart { header, body: Vec::new() };
                    apart.extend(begun.get(header_bytes..).unwrap_or_default());
                    (self.apart, self.block) = (Some(apart), Bytes::copy_from_slice(whole));
                    return;
                }
                break;
            }
        }
        self.block = join(&[before, bytes]);
    }

    /// What comes next, if it is all there.
    ///
    /// # Errors
    /// [`FrameError`], as soon as it can be seen. Nothing more comes out then.
    pub(super) fn poll(&mut self) -> Result<Option<Traffic>, FrameError> {
        while let Some(Cut { header, bytes: body, .. }) = self.next_frame(false)? {
            if header.is_command {
                // What stands between the frames of a message is kept alive by them, as it was read with them.
                if !self.frames.is_empty() {
                    self.counted += body.len() + FRAME_SLOT_BYTES;
                }
                return Ok(Some(Traffic::Command(header, body)));
            }
            self.counted += body.len() + FRAME_SLOT_BYTES;
            self.frames.push(body);
            if !header.has_more {
                self.counted = 0;
                return Ok(Some(Traffic::Message(std::mem::take(&mut self.frames))));
            }
        }
        Ok(None)
    }

    /// The next frame, if it is all there.
    ///
    /// # Errors
    /// As of [`poll`](Self::poll). The limit is that of each frame.
    pub(super) fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let cut = self.next_frame(true)?;
        Ok(cut.map(|Cut { header, has_header, bytes }| match has_header {
            true => Frame::Whole(bytes),
            false => Frame::Apart(header, bytes),
        }))
    }

    /// With its header only if the body is next to it.
    fn next_frame(&mut self, with_header: bool) -> Result<Option<Cut>, FrameError> {
        if self.is_starved {
            return Ok(None);
        }
        if let Some((header, body)) = self.whole.take() {
            return Ok(Some(Cut { header, has_header: false, bytes: body }));
        }
        if self.block.is_empty()
            && let Some(apart) = &self.apart
        {
            // It was begun when less was known of what is before it.
            self.check(apart.header)?;
            return self.starve(with_header);
        }
        let Some((header, header_bytes)) = Header::read(&self.block)? else {
            return self.starve(with_header);
        };
        self.check(header)?;
        let there = self.block.len() - header_bytes;
        if there >= header.length {
            let mut length = header.length;
            match with_header {
                true => length += header_bytes,
                false => self.block.advance(header_bytes),
            }
            let bytes = if length == 0 { Bytes::new() } else { self.block.split_to(length) };
            return Ok(Some(Cut { header, has_header: with_header, bytes }));
        }
        if self.later.is_empty() && header.length >= BODY_BYTES_MIN {
            let block = std::mem::take(&mut self.block);
            self.take(&[], &block);
        }
        self.starve(with_header)
    }

    /// Goes on with what was read later, if there is some.
    fn starve(&mut self, with_header: bool) -> Result<Option<Cut>, FrameError> {
        if self.later.is_empty() {
            self.is_starved = true;
            return Ok(None);
        }
        let later = std::mem::take(&mut self.later);
        let pieces: Vec<&[u8]> = std::iter::once(&self.block).chain(&later).map(|it| &it[..]).collect();
        let joined = join(&pieces);
        self.block = Bytes::new();
        self.is_starved = true;
        self.push(&joined);
        self.next_frame(with_header)
    }

    /// Whether there may be such a frame now.
    fn check(&self, header: Header) -> Result<(), FrameError> {
        let counted = if header.is_command { 0 } else { self.counted };
        let size = (header.length as u64).saturating_add((counted + FRAME_SLOT_BYTES) as u64);
        if size > self.size_max as u64 {
            let frames = if header.is_command { 1 } else { self.frames.len() + 1 };
            let bytes = size.saturating_sub((frames * FRAME_SLOT_BYTES) as u64);
            return Err(FrameError::TooLarge { bytes, frames });
        }
        Ok(())
    }
}

/// A command stands alone.
fn is_known(flags: u8) -> bool {
    flags & !(FLAG_MORE | FLAG_LONG | FLAG_COMMAND) == 0
        && flags & (FLAG_MORE | FLAG_COMMAND) != FLAG_MORE | FLAG_COMMAND
}

fn join(pieces: &[&[u8]]) -> Bytes {
    match pieces {
        [[], bytes] => Bytes::copy_from_slice(bytes),
        pieces => Bytes::from(pieces.concat()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE_MAX: usize = 4000;

    /// RFC 37 over all bytes at once. Says also whether they end in an error.
    fn reference(mut bytes: &[u8]) -> (Vec<Traffic>, bool) {
        let (mut out, mut frames, mut counted) = (Vec::new(), Frames::new(), 0);
        while let Some(flags) = bytes.first().copied() {
            if flags > 7 || flags & 5 == 5 {
                return (out, true);
            }
            let width = if flags & 2 == 0 { 1 } else { 8 };
            let Some(length) = bytes.get(1..=width) else { break };
            let length = length.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
            let (is_command, has_more) = (flags & 4 != 0, flags & 1 != 0);
            let before = if is_command { 0 } else { counted };
            if before + 64 + u128::from(length) > SIZE_MAX as u128 {
                return (out, true);
            }
            let length = length as usize;
            let Some(body) = bytes.get(1 + width..1 + width + length) else { break };
            bytes = &bytes[1 + width + length..];
            let body = Bytes::copy_from_slice(body);
            if is_command {
                if !frames.is_empty() {
                    counted += length as u128 + 64;
                }
                out.push(Traffic::Command(Header { has_more, is_command, length }, body));
                continue;
            }
            counted += length as u128 + 64;
            frames.push(body);
            if !has_more {
                counted = 0;
                out.push(Traffic::Message(std::mem::take(&mut frames)));
            }
        }
        (out, false)
    }

    fn any_wire() -> impl Strategy<Value = Vec<u8>> {
        let frame = prop_oneof![
            8 => (0..2_u8, 0..200_usize).prop_map(|(more, size)| {
                [vec![more, u8::try_from(size).unwrap()], vec![b'a'; size]].concat()
            }),
            4 => (0..2_u8, 0..4200_usize).prop_map(|(more, size)| {
                [vec![more | 2], (size as u64).to_be_bytes().to_vec(), vec![b'b'; size]].concat()
            }),
            2 => (0..40_usize).prop_map(|size| [vec![4, u8::try_from(size).unwrap()], vec![b'c'; size]].concat()),
            1 => (0..3000_usize).prop_map(|size| {
                [vec![6], (size as u64).to_be_bytes().to_vec(), vec![b'd'; size]].concat()
            }),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
    }

    proptest! {
        /// Whatever is read at a time, and whether it is looked at after each read or later.
        #[test]
        fn it_reads_what_the_rfc_says(
            wire in any_wire(),
            pieces in proptest::collection::vec((1..900_usize, any::<bool>()), 1..10),
        ) {
            let (expected, fails) = reference(&wire);
            let (mut decoder, mut out, mut failed) = (FrameDecoder::new(SIZE_MAX), Vec::new(), false);
            let (mut rest, mut pieces) = (&wire[..], pieces.iter().cycle());
            while !rest.is_empty() && !failed {
                let (size, looks) = *pieces.next().unwrap();
                let (piece, left) = rest.split_at(size.min(rest.len()));
                rest = left;
                decoder.push(piece);
                while looks || rest.is_empty() {
                    match decoder.poll() {
                        Ok(Some(traffic)) => out.push(traffic),
                        Ok(None) => break,
                        Err(_) => {
                            failed = true;
                            break;
                        }
                    }
                }
            }
            prop_assert_eq!(out, expected);
            prop_assert_eq!(failed, fails);
        }

        #[test]
        fn a_header_is_put_as_it_was_read(
            flags in proptest::sample::select(vec![0_u8, 1, 4]), length in 0..3000_usize
        ) {
            let header = Header { has_more: flags & 1 != 0, is_command: flags & 4 != 0, length };
            let mut out = BytesMut::new();
            header.put(&mut out);
            out.resize(out.len() + length, 0);
            let mut decoder = FrameDecoder::new(SIZE_MAX);
            decoder.push(&out);
            prop_assert_eq!(decoder.poll_frame().unwrap(), Some(Frame::Whole(out.freeze())));
        }

        #[test]
        fn frames_that_are_not_looked_into_are_what_was_read(
            sizes in proptest::collection::vec(0..2000_usize, 1..8),
            reads in proptest::collection::vec(1..900_usize, 1..10),
        ) {
            let mut wire = BytesMut::new();
            for size in &sizes {
                put_header(&mut wire, *size, size % 2 == 0);
                wire.resize(wire.len() + size, *size as u8);
            }
            let (mut decoder, mut out) = (FrameDecoder::new(SIZE_MAX), BytesMut::new());
            let (mut rest, mut reads) = (&wire[..], reads.iter().cycle());
            while !rest.is_empty() {
                let (read, left) = rest.split_at(rest.len().min(*reads.next().unwrap()));
                rest = left;
                decoder.push(read);
                while let Some(frame) = decoder.poll_frame().unwrap() {
                    match frame {
                        Frame::Whole(bytes) => out.extend_from_slice(&bytes),
                        Frame::Apart(header, body) => {
                            header.put(&mut out);
                            out.extend_from_slice(&body);
                        }
                    }
                }
            }
            prop_assert_eq!(out, wire);
        }
    }

    #[test]
    fn a_frame_that_trickles_in_costs_what_was_sent() {
        let mut decoder = FrameDecoder::new(1 << 30);
        decoder.push(&[2, 0, 0, 0, 0, 0x10, 0, 0, 0]);
        assert_eq!(decoder.poll(), Ok(None));
        for sent in 1..3000 {
            decoder.push(b"x");
            assert_eq!(decoder.poll(), Ok(None));
            let body = &decoder.apart.as_ref().expect("it is collected apart").body;
            assert!(body.len() == sent && body.capacity() <= BODY_GROWTH * sent, "{}", body.capacity());
        }
    }

    #[test]
    fn commands_between_the_frames_of_a_message_count() {
        let mut decoder = FrameDecoder::new(SIZE_MAX);
        let command = [&[6, 0, 0, 0, 0, 0, 0, 7, 0][..], &[0; 7 * 256]].concat();
        let mut read = || {
            decoder.push(&[&[1, 1, b'x'][..], &command].concat());
            std::iter::from_fn(|| decoder.poll().transpose()).collect::<Result<Vec<_>, _>>()
        };
        assert!((0..3).all(|_| read().is_ok()));
        assert!(
            matches!(read(), Err(FrameError::TooLarge { .. })),
            "each frame keeps alive what was read with it"
        );
    }

    #[test]
    fn a_frame_whose_length_is_known_is_collected_without_being_moved() {
        let mut decoder = FrameDecoder::new(1 << 20);
        let body = vec![7; 65_536];
        decoder.push(&[&[2, 0, 0, 0, 0, 0, 1, 0, 0][..], &body[..20_000]].concat());
        assert_eq!(decoder.poll(), Ok(None));
        let place = decoder.apart.as_ref().unwrap().body.as_ptr();
        decoder.push(&body[20_000..]);
        let Ok(Some(Traffic::Message(frames))) = decoder.poll() else { panic!("a message") };
        assert_eq!(frames[0].as_ptr(), place);
        assert_eq!(frames[0], body);
    }
}
