//! Memory of what is kept longer than the message it came in.

use bytes::{Bytes, BytesMut};

use super::Frames;

/// What is up to this size is copied into memory of its own. A frame is a slice of what was read from a socket, and
/// would keep all of it alive; a larger one mostly is a buffer of its own.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// The frames, which have so many bytes, in memory that nothing else shares, where they are small.
pub(super) fn own(frames: &[Bytes], bytes: usize) -> Frames {
    if bytes > COPIED_BYTES_MAX {
        return frames.to_vec();
    }
    let mut memory = BytesMut::with_capacity(bytes);
    for frame in frames {
        memory.extend_from_slice(frame);
    }
    let mut memory = memory.freeze();
    frames.iter().map(|frame| memory.split_to(frame.len())).collect()
}
