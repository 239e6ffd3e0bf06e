//! The one form of a message: what is read is written as it was, and its summary says the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::memory::bounded;
use swarmmq_protocol::EncodedMessage;
use swarmmq_protocol::message::Summary;
use swarmmq_protocol::zeromq::ingest;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    // What comes from the journal is not checked again: reading it must bear anything.
    let unchecked = EncodedMessage::from_checked(bytes.clone());
    let (decoded, summary) =
        bounded(128 * data.len() + (16 << 10), || (unchecked.decode(), unchecked.summary()));
    let checked = EncodedMessage::new(bytes);
    assert_eq!(decoded.is_ok(), checked.is_ok(), "what is well formed can be read, and nothing else");
    let Ok(message) = decoded else { return };
    let again = message.encode().expect("what was read keeps the limits");
    assert_eq!(again.as_bytes(), data, "one value has one encoding: {message:?}");
    assert_eq!(message.encoded_len(), data.len());
    let of_message = Summary {
        id: message.id,
        priority: message.priority,
        ttl_ms: message.ttl_ms,
        delay_ms: message.delay_ms,
        key: message.key.clone(),
    };
    assert_eq!(summary.expect("a message has a summary"), of_message);
    if let Some(frames) = bounded(64 * data.len() + (64 << 10), || ingest::to_frames(&message))
        && let Ok(again) = ingest::to_message(&frames)
        && let Ok(again) = again.decode()
    {
        assert_eq!(ingest::to_frames(&again), Some(frames), "frames come back as they were");
    }
});
