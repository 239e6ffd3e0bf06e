//! Requests of the durable protocol, as the frames of a ZeroMQ message.
//!
//! The first byte says how the rest becomes frames: even, a line is a frame; odd, each stands behind its
//! length of one byte, or of two where that byte is 255.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::{input::Input, memory::bounded};
use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::zeromq::durable::{self, Call, ReturnPath};
use swarmmq_protocol::zeromq::{ingest, reply};

fn frames(data: &[u8]) -> Vec<Bytes> {
    let mut input = Input::new(data);
    if input.u8().is_multiple_of(2) {
        return input.rest().split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    }
    let mut frames = Vec::new();
    while !input.is_empty() {
        let length = match input.u8() {
            255 => usize::from(input.u16()),
            length => usize::from(length),
        };
        frames.push(Bytes::copy_from_slice(input.take(length)));
    }
    frames
}

fn check_answers(path: &ReturnPath, error: &ErrorReply) {
    for answer in [
        reply::encode_error(path, error),
        reply::encode_pong(path, "0.1.0"),
        reply::encode_delivery(path, &[]),
        reply::encode_ended(path, error),
    ] {
        let (address, rest) = answer.split_at(path.address.len());
        assert_eq!(address, path.address, "an answer goes back the way the request came");
        assert_eq!((&*rest[0], &rest[1]), (durable::PROTOCOL, &path.correlation));
    }
}

fuzz_target!(|data: &[u8]| {
    let frames = frames(data);
    let most = 64 * data.len() + 64 * frames.len() + (64 << 10);
    match bounded(most, || durable::parse(&frames)) {
        Err(refused) => {
            assert!(!refused.error.explanation.is_empty(), "an error says what is wrong");
            assert!(refused.path.address.len() <= durable::ADDRESS_FRAMES_MAX);
            assert!(refused.path.correlation.len() <= durable::CORRELATION_BYTES_MAX);
            check_answers(&refused.path, &refused.error);
        }
        Ok(envelope) => {
            check_answers(&envelope.path, &ErrorReply::new(ErrorCode::Internal, "an error"));
            if let Call::Request(request) = &envelope.call {
                assert!(request.destination().is_some(), "a request of this protocol has a destination");
            }
            let written = durable::encode(&envelope).expect("what has a verb can be written");
            assert_eq!(durable::parse(&written).as_ref(), Ok(&envelope), "and reads back as it was");
        }
    }
    // The same frames at an ingest endpoint are a message.
    if let Ok(message) = ingest::to_message(&frames) {
        let message = message.decode().expect("what was made is well formed");
        assert_eq!(ingest::to_frames(&message), Some(frames), "frames come back as they were");
    }
});
