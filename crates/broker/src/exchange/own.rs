//! Memory of what is kept longer than the message it came in.

use bytes::{Bytes, BytesMut};

use super::Frames;

/// What is up to this size is copied into memory of its own. A frame is a slice of what was read from a socket, and
/// would keep all of it alive; a larger one mostly is a buffer of its own.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// The frames in memory that nothing else shares, where they are small: for what is kept longer than the message it came in.
#[must_use]
pub fn own(frames: &[Bytes]) -> Frames {
    let bytes = frames.iter().map(Bytes::len).sum();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_keeps_nothing_else_alive() {
        let block = Bytes::from(vec![7; 65_536]);
        let frames = [block.slice(..0), block.slice(3..70), block.slice(100..200)];
        let kept = own(&frames);
        assert_eq!(kept, frames);
        drop(frames);
        assert!(block.is_unique());
    }
}
