//! Messages gathered for one put, in their encoding.

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Encode};
use crate::id::ProducerStamp;
use crate::limits::BATCH_MAX;
use crate::message::{Message, MessageError};
use crate::name::DestinationName;
use crate::request::PUT;

/// Messages in the encoding that they have in a [`crate::request::Put`], so that a producer encodes
/// each once, straight to where it is sent from, and can send it again.
#[derive(Debug, Clone, Default)]
pub struct MessageBatch {
    /// Each message with its length of four bytes before it.
    encoded: BytesMut,
    count: u32,
}

impl MessageBatch {
    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the messages and their lengths.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Adds a message and says how many bytes its encoding has. On an error nothing was added.
    ///
    /// # Errors
    /// [`MessageError`] where the message breaks a limit, or 4,096 are in the batch already.
    pub fn push(&mut self, message: &Message) -> Result<usize, MessageError> {
        if self.count as usize >= BATCH_MAX {
            return Err(MessageError::TooLarge {
                field: "number of messages",
                actual: BATCH_MAX + 1,
                limit: BATCH_MAX,
            });
        }
        let start = self.encoded.len();
        let length = message.encoded_len();
        self.encoded.reserve(4 + length);
        self.encoded.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        if let Err(error) = message.encode_into(&mut self.encoded) {
            self.encoded.truncate(start);
            return Err(error);
        }
        debug_assert_eq!(self.encoded.len(), start + 4 + length, "encoded_len is exact");
        self.count += 1;
        Ok(length)
    }

    /// Appends the encoding of a put of these messages.
    pub fn encode_put(
        &self,
        destination: &DestinationName,
        stamp: Option<&ProducerStamp>,
        expected_last: Option<u64>,
        out: &mut BytesMut,
    ) {
        out.reserve(destination.as_str().len() + 64 + self.encoded.len());
        out.put_u8(PUT);
        destination.encode(out);
        codec::put_option(out, stamp, |out, stamp| stamp.encode(out));
        codec::put_option(out, expected_last.as_ref(), |out, last| out.put_u64(*last));
        out.put_u32(self.count);
        out.put_slice(&self.encoded);
    }

    /// A batch of those messages whose place, from 0, `keep` names.
    #[must_use]
    pub fn select(&self, mut keep: impl FnMut(u32) -> bool) -> Self {
        let mut selected = Self::default();
        let mut rest: &[u8] = &self.encoded;
        for place in 0..self.count {
            let Some((length, _)) = rest.split_first_chunk::<4>() else { break };
            let Some((message, behind)) = rest.split_at_checked(4 + u32::from_be_bytes(*length) as usize)
            else {
                break;
            };
            if keep(place) {
                selected.encoded.put_slice(message);
                selected.count += 1;
            }
            rest = behind;
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decode;
    use crate::id::ProducerId;
    use crate::request::{Put, Request};

    #[test]
    fn a_batch_encodes_as_the_put_it_stands_for() {
        let destination = DestinationName::new("orders").unwrap();
        let messages = [Message::new("one"), Message::new("").key("k"), Message::new(vec![7; 900])];
        let stamp = ProducerStamp { producer: ProducerId(9), epoch: 1, sequence: 4 };
        let mut batch = MessageBatch::default();
        for message in &messages {
            assert_eq!(batch.push(message), Ok(message.encoded_len()));
        }
        let mut out = BytesMut::new();
        batch.encode_put(&destination, Some(&stamp), Some(3), &mut out);
        let put = Request::Put(Put {
            destination: destination.clone(),
            stamp: Some(stamp),
            expected_last: Some(3),
            messages: messages.iter().map(|message| message.encode().unwrap()).collect(),
        });
        assert_eq!(out, put.to_bytes());

        let mut out = BytesMut::new();
        batch.select(|place| place != 1).encode_put(&destination, None, None, &mut out);
        let Ok(Request::Put(put)) = Request::from_bytes(out.freeze()) else { panic!("it is a put") };
        assert_eq!(put.messages.len(), 2);
        assert_eq!(put.messages[1].decode().unwrap(), messages[2]);
    }

    #[test]
    fn a_message_that_is_refused_leaves_nothing_behind() {
        let mut batch = MessageBatch::default();
        batch.push(&Message::new("good")).unwrap();
        let bytes = batch.bytes();
        assert!(batch.push(&Message::new("bad").priority(0)).is_err());
        assert_eq!((batch.count(), batch.bytes()), (1, bytes));
    }
}
