//! Frames of the native protocol off a byte stream: how the stream is cut changes nothing, and a frame that
//! was read is written as it was.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::{input::Input, memory::bounded};
use swarmmq_protocol::limits::{FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX};
use swarmmq_protocol::native::{Frame, FrameError, decode_frame, encode_frame};

type Read = Result<(u64, Frame), FrameError>;

/// Reads frames until the stream ends or cannot be read any further.
fn read(pieces: &[&[u8]], limit: usize) -> Vec<Read> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.clone();
            let read = decode_frame(&mut buffer, limit);
            let taken = before.get(..before.len() - buffer.len()).unwrap_or_default();
            match read {
                Ok(None) => {
                    assert!(taken.is_empty(), "nothing is taken of a frame that is not all there");
                    let announced =
                        buffer.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
                    assert!(announced <= limit, "nobody waits for a frame of {announced} bytes");
                    break;
                }
                Ok(Some((correlation, frame))) => {
                    let mut again = BytesMut::new();
                    encode_frame(correlation, &frame, &mut again);
                    assert_eq!(again, taken, "one value has one encoding: {frame:?}");
                    frames.push(Ok((correlation, frame)));
                }
                Err(error @ FrameError::Body { .. }) => {
                    assert!(!taken.is_empty(), "the next frame can be read");
                    frames.push(Err(error));
                }
                Err(error) => {
                    assert!(taken.is_empty(), "there is no next frame");
                    frames.push(Err(error));
                    return frames;
                }
            }
        }
    }
    frames
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let limit = if input.u8().is_multiple_of(4) { HANDSHAKE_BYTES_MAX } else { FRAME_BYTES_MAX };
    let cuts = input.short();
    let whole = input.clone().rest();
    let most = 128 * data.len() + (64 << 10);
    let at_once = bounded(most, || read(&[whole], limit));
    let in_pieces = bounded(2 * most, || read(&input.pieces(cuts), limit));
    assert_eq!(at_once, in_pieces, "how a stream is cut changes nothing");
});
