//! The request vocabulary: what is read is written as it was.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::memory::bounded;
use swarmmq_protocol::zeromq::durable::{self, Call, Envelope, ReturnPath};
use swarmmq_protocol::{Decode, Encode, MessageBatch, Request};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(request) = bounded(128 * data.len() + (16 << 10), || Request::from_bytes(bytes)) else { return };
    assert_eq!(request.to_bytes(), data, "one value has one encoding: {request:?}");
    let _ = request.destination();
    if let Request::Put(put) = &request {
        // What a producer gathers is the put it stands for.
        let mut batch = MessageBatch::default();
        for message in &put.messages {
            let message = message.decode().expect("a message in a request is well formed");
            batch.push(&message).expect("and keeps the limits");
        }
        let mut again = bytes::BytesMut::new();
        batch.encode_put(&put.destination, put.stamp.as_ref(), put.expected_last, &mut again);
        assert_eq!(again, data, "a batch encodes as the put it stands for");
    }
    // The durable protocol has a verb for some of them, and narrower limits.
    let envelope = Envelope { path: ReturnPath::default(), call: Call::Request(request) };
    if let Some(frames) = durable::encode(&envelope)
        && let Ok(read) = durable::parse(&frames)
    {
        assert_eq!(read, envelope, "a request in frames is the same request");
    }
});
