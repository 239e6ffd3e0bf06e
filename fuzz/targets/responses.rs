//! The answers: what is read is written as it was, natively and as frames of the durable protocol.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::memory::bounded;
use swarmmq_protocol::zeromq::{durable::ReturnPath, reply};
use swarmmq_protocol::{Decode, Encode, Response};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(response) = bounded(128 * data.len() + (16 << 10), || Response::from_bytes(bytes)) else { return };
    assert_eq!(response.to_bytes(), data, "one value has one encoding: {response:?}");
    let path = ReturnPath {
        address: vec![Bytes::from_static(b"client"), Bytes::new()],
        correlation: Bytes::from_static(b"7"),
    };
    let frames = reply::encode_response(&path, &response);
    assert!(frames.starts_with(&path.address), "an answer goes back the way the request came");
    if let Response::Error(error) = &response {
        let ended = reply::encode_ended(&path, error);
        assert!(ended.starts_with(&path.address), "so does the end of a subscription");
    }
    if let Response::Messages(deliveries) = &response {
        let frames = reply::encode_delivery(&path, deliveries);
        assert!(frames.starts_with(&path.address), "so does a delivery");
    }
});
