//! Messages for PULL peers.
//!
//! ```text
//! [frame] …               where the node acknowledges
//! [receipt] [frame] …     where the worker does
//! ```
//!
//! The frames are those of the message that was [ingested](super::ingest); a message that was put in another way has
//! one, its payload. The receipt is the text that the [durable protocol](super::durable) takes in `ACK` and its like.

use bytes::Bytes;

use super::durable::receipt_frame;
use super::ingest;
use crate::response::Delivery;

/// The frames of a delivery, behind its receipt if asked for. They share its memory.
///
/// A message that does not read, or whose payload is not the frames that its header speaks of, is one frame as it
/// stands rather than lost.
#[must_use]
pub fn to_frames(delivery: &Delivery, with_receipt: bool) -> Vec<Bytes> {
    let body = match delivery.message.decode() {
        Ok(message) => ingest::to_frames(&message)
            .filter(|frames| !frames.is_empty())
            .unwrap_or_else(|| vec![message.payload]),
        Err(_) => vec![delivery.message.as_bytes().clone()],
    };
    with_receipt.then(|| receipt_frame(&delivery.receipt)).into_iter().chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Receipt, Sequence};
    use crate::message::{EncodedMessage, Message};
    use crate::zeromq::ingest::{FRAMES_HEADER, to_message};

    fn frames(message: EncodedMessage, with_receipt: bool) -> Vec<Bytes> {
        let receipt = Receipt { sequence: Sequence(7), token: 3 };
        to_frames(&Delivery { receipt, attempt: 1, stored_ms: 1, message }, with_receipt)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        for sent in [&["alone"][..], &["topic", "", "body"], &["", ""], &[""]] {
            let sent: Vec<Bytes> = sent.iter().map(|frame| Bytes::from_static(frame.as_bytes())).collect();
            assert_eq!(frames(to_message(&sent).unwrap(), false), sent);
        }
    }

    #[test]
    fn the_receipt_is_as_the_durable_protocol_takes_it() {
        let receipt = Receipt { sequence: Sequence(7), token: 3 };
        let sent = frames(Message::new("hello").encode().unwrap(), true);
        assert_eq!(sent, [Bytes::from(receipt.to_string()), Bytes::from_static(b"hello")]);
    }

    #[test]
    fn a_payload_that_is_no_frames_is_one() {
        for count in ["0", "2", "x"] {
            let odd = Message::new("ab").header(FRAMES_HEADER, count).encode().unwrap();
            assert_eq!(frames(odd, false), ["ab"], "{count}");
        }
        let none = Message::new("").header(FRAMES_HEADER, "0").encode().unwrap();
        assert_eq!(frames(none, false), [""], "a message has at least one frame");
    }
}
