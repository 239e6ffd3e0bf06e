//! The native protocol: length-prefixed binary frames over a byte stream. `docs/protocols/native.md`
//! is its specification.

mod frame;
mod handshake;

pub use frame::{
    Frame, FrameError, FrameHeader, FrameKind, HEADER_BYTES, decode_frame, encode_frame, encode_frame_with,
};
pub use handshake::{Credential, Hello, MAGIC, VERSION, Welcome};
