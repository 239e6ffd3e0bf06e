//! The one form of a message.
//!
//! ```text
//! 0         1          2       4            20
//! | version | priority | flags | message id | fields … | payload …
//! ```
//!
//! `version` is 1. `priority` is 1 to 10, 10 first. `flags` is a set of the bits below, each saying
//! that its field stands between the id and the payload, in the order of the bits; an unknown bit
//! refuses the message. The payload is all that is left.
//!
//! | bit | field | encoding |
//! |---|---|---|
//! | 0 | timestamp, the producer's own, ms since 1970 | 8 bytes |
//! | 1 | time to live, ms from being stored | 8 bytes |
//! | 2 | delay, ms from being stored to the first delivery | 8 bytes |
//! | 3 | key, for ordered delivery and retention by key | 2-byte length, bytes |
//! | 4 | correlation id | 2-byte length, bytes |
//! | 5 | reply-to, a destination name | 2-byte length, text |
//! | 6 | producer's name | 2-byte length, text |
//! | 7 | headers | 2-byte count, then each: 2-byte length, name, 4-byte length, value |
//!
//! An encoded message is made once, by the client library or by the ZeroMQ endpoint, and its bytes
//! are carried as they are from then on.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Decode, DecodeError, Encode, Reader, put_long_bytes, put_short_bytes};
use crate::id::MessageId;
use crate::limits::{
    FIELD_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, PRIORITY_DEFAULT, PRIORITY_MAX,
    PRIORITY_MIN,
};
use crate::name::DestinationName;

const VERSION: u8 = 1;
const TIMESTAMP: u16 = 1;
const TTL: u16 = 1 << 1;
const DELAY: u16 = 1 << 2;
const KEY: u16 = 1 << 3;
const CORRELATION: u16 = 1 << 4;
const REPLY_TO: u16 = 1 << 5;
const PRODUCER: u16 = 1 << 6;
const HEADERS: u16 = 1 << 7;
const KNOWN: u16 = (1 << 8) - 1;

/// A header: a name of 1 to 255 bytes of UTF-8 and a value of any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name. Names may repeat.
    pub name: String,
    /// Its value.
    pub value: Bytes,
}

/// A message, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its id, for deduplication; [`MessageId::NIL`] for none.
    pub id: MessageId,
    /// 1 to 10; 10 is delivered first.
    pub priority: u8,
    /// When the producer says it was made, ms since 1970.
    pub timestamp_ms: Option<u64>,
    /// How long after being stored it is still worth delivering, ms.
    pub ttl_ms: Option<u64>,
    /// How long after being stored it must not be delivered yet, ms.
    pub delay_ms: Option<u64>,
    /// What it is about: messages of one key are delivered in order where the group asks for that,
    /// and retention by key keeps the last of each. At most 255 bytes.
    pub key: Option<Bytes>,
    /// Ties a reply to its request. At most 255 bytes.
    pub correlation: Option<Bytes>,
    /// Where a reply should go.
    pub reply_to: Option<DestinationName>,
    /// Who made it, in the producer's own words. At most 255 bytes.
    pub producer: Option<String>,
    /// At most 64 headers of at most 64 KiB together.
    pub headers: Vec<Header>,
    /// The content.
    pub payload: Bytes,
}

impl Message {
    /// A message with `payload`, the default priority, and nothing else.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            id: MessageId::NIL,
            priority: PRIORITY_DEFAULT,
            timestamp_ms: None,
            ttl_ms: None,
            delay_ms: None,
            key: None,
            correlation: None,
            reply_to: None,
            producer: None,
            headers: Vec::new(),
            payload: payload.into(),
        }
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// Sets the priority, 1 to 10.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the time to live, ms.
    #[must_use]
    pub fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.ttl_ms = Some(ttl_ms);
        self
    }

    /// Sets the delay, ms.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = Some(delay_ms);
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn correlation(mut self, correlation: impl Into<Bytes>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }

    /// Sets where a reply should go.
    #[must_use]
    pub fn reply_to(mut self, destination: DestinationName) -> Self {
        self.reply_to = Some(destination);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// The first header called `name`.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// Checks every limit and encodes the message.
    ///
    /// # Errors
    /// [`MessageError`] names the field that is over its limit.
    pub fn encode(&self) -> Result<EncodedMessage, MessageError> {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode_into(&mut out)?;
        Ok(EncodedMessage(out.freeze()))
    }

    /// Checks every limit and appends the encoding to `out`, which stays as it was on an error.
    ///
    /// # Errors
    /// [`MessageError`] names the field that is over its limit.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), MessageError> {
        self.check()?;
        let length = self.encoded_len();
        if length > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLarge {
                field: "message",
                actual: length,
                limit: MESSAGE_BYTES_MAX,
            });
        }
        out.reserve(length);
        out.put_u8(VERSION);
        out.put_u8(self.priority);
        out.put_u16(self.flags());
        out.put_u128(self.id.0);
        for number in [self.timestamp_ms, self.ttl_ms, self.delay_ms].into_iter().flatten() {
            out.put_u64(number);
        }
        for field in [&self.key, &self.correlation].into_iter().flatten() {
            put_short_bytes(out, field);
        }
        if let Some(reply_to) = &self.reply_to {
            Encode::encode(reply_to, out);
        }
        if let Some(producer) = &self.producer {
            put_short_bytes(out, producer.as_bytes());
        }
        if !self.headers.is_empty() {
            out.put_u16(u16::try_from(self.headers.len()).unwrap_or(u16::MAX));
            for header in &self.headers {
                put_short_bytes(out, header.name.as_bytes());
                put_long_bytes(out, &header.value);
            }
        }
        out.put_slice(&self.payload);
        Ok(())
    }

    /// How many bytes the encoding has.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let numbers = [self.timestamp_ms, self.ttl_ms, self.delay_ms].into_iter().flatten().count();
        let fields = [&self.key, &self.correlation].into_iter().flatten().map(|field| 2 + field.len());
        let reply_to = self.reply_to.as_ref().map_or(0, |name| 2 + name.as_str().len());
        let producer = self.producer.as_ref().map_or(0, |name| 2 + name.len());
        let headers = if self.headers.is_empty() { 0 } else { 2 + self.header_bytes() };
        20 + 8 * numbers + fields.sum::<usize>() + reply_to + producer + headers + self.payload.len()
    }

    fn header_bytes(&self) -> usize {
        self.headers.iter().map(|header| 6 + header.name.len() + header.value.len()).sum()
    }

    fn check(&self) -> Result<(), MessageError> {
        if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&self.priority) {
            return Err(MessageError::Priority { actual: self.priority });
        }
        let at_most = |field, actual, limit| {
            if actual > limit { Err(MessageError::TooLarge { field, actual, limit }) } else { Ok(()) }
        };
        at_most("key", self.key.as_ref().map_or(0, Bytes::len), FIELD_BYTES_MAX)?;
        at_most("correlation id", self.correlation.as_ref().map_or(0, Bytes::len), FIELD_BYTES_MAX)?;
        at_most("producer name", self.producer.as_ref().map_or(0, String::len), FIELD_BYTES_MAX)?;
        at_most("number of headers", self.headers.len(), HEADERS_MAX)?;
        at_most("headers", self.header_bytes(), HEADER_BYTES_MAX)?;
        for header in &self.headers {
            if header.name.is_empty() {
                return Err(MessageError::EmptyHeaderName);
            }
            at_most("header name", header.name.len(), FIELD_BYTES_MAX)?;
        }
        at_most("message", self.payload.len(), MESSAGE_BYTES_MAX)
    }

    fn flags(&self) -> u16 {
        let bit = |present: bool, flag: u16| if present { flag } else { 0 };
        bit(self.timestamp_ms.is_some(), TIMESTAMP)
            | bit(self.ttl_ms.is_some(), TTL)
            | bit(self.delay_ms.is_some(), DELAY)
            | bit(self.key.is_some(), KEY)
            | bit(self.correlation.is_some(), CORRELATION)
            | bit(self.reply_to.is_some(), REPLY_TO)
            | bit(self.producer.is_some(), PRODUCER)
            | bit(!self.headers.is_empty(), HEADERS)
    }
}

/// Why a message cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A field is over its limit.
    #[error("the {field} has {actual}, more than the limit of {limit}")]
    TooLarge {
        /// Which.
        field: &'static str,
        /// Its size in bytes, or its count.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The priority is not 1 to 10.
    #[error("the priority is {actual}, it must be 1 to 10")]
    Priority {
        /// The priority given.
        actual: u8,
    },
    /// A header has no name.
    #[error("a header name must not be empty")]
    EmptyHeaderName,
}

/// A message in its encoding, known to be well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage(Bytes);

/// What the broker reads of a message to store and deliver it, without taking it apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its id, or [`MessageId::NIL`].
    pub id: MessageId,
    /// 1 to 10.
    pub priority: u8,
    /// Time to live, ms.
    pub ttl_ms: Option<u64>,
    /// Delay, ms.
    pub delay_ms: Option<u64>,
    /// Its key. Shares the message's memory.
    pub key: Option<Bytes>,
}

impl EncodedMessage {
    /// Checks that `bytes` are one well-formed message.
    ///
    /// # Errors
    /// [`DecodeError`] where they are not.
    pub fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        walk(&bytes)?;
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked before, as those read back from the journal, whose checksum
    /// holds. Where they were not, reading the message gives an error later.
    #[must_use]
    pub fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all; never so for a checked message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has headers, told by its flags alone.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        let flags = self
            .0
            .get(2..4)
            .map_or(0, |bytes| bytes.iter().fold(0, |flags, byte| flags << 8 | u16::from(*byte)));
        flags & HEADERS != 0
    }

    /// Takes the message apart. The parts share its memory.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a message.
    pub fn decode(&self) -> Result<Message, DecodeError> {
        walk(&self.0)
    }

    /// Reads what the broker needs and leaves the rest.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a message.
    pub fn summary(&self) -> Result<Summary, DecodeError> {
        let mut reader = Reader::new(self.0.clone());
        let (priority, flags, id) = prologue(&mut reader)?;
        if flags & TIMESTAMP != 0 {
            reader.u64("timestamp")?;
        }
        let ttl_ms = flagged(flags, TTL, || reader.u64("time to live"))?;
        let delay_ms = flagged(flags, DELAY, || reader.u64("delay"))?;
        let key = flagged(flags, KEY, || reader.short_bytes("key", FIELD_BYTES_MAX))?;
        Ok(Summary { id, priority, ttl_ms, delay_ms, key })
    }
}

fn flagged<T>(
    flags: u16,
    flag: u16,
    read: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if flags & flag == 0 { Ok(None) } else { read().map(Some) }
}

fn prologue(reader: &mut Reader) -> Result<(u8, u16, MessageId), DecodeError> {
    let version = reader.u8("message version")?;
    if version != VERSION {
        return Err(reader.unknown("message version", 1, u64::from(version)));
    }
    let priority = reader.u8("priority")?;
    if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&priority) {
        return Err(reader.unknown("priority", 1, u64::from(priority)));
    }
    let flags = reader.u16("message flags")?;
    if flags & !KNOWN != 0 {
        return Err(reader.unknown("message flags", 2, u64::from(flags)));
    }
    Ok((priority, flags, MessageId(reader.u128("message id")?)))
}

fn walk(bytes: &Bytes) -> Result<Message, DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge {
            field: "message",
            offset: 0,
            actual: bytes.len(),
            limit: MESSAGE_BYTES_MAX,
        });
    }
    let mut reader = Reader::new(bytes.clone());
    let (priority, flags, id) = prologue(&mut reader)?;
    Ok(Message {
        id,
        priority,
        timestamp_ms: flagged(flags, TIMESTAMP, || reader.u64("timestamp"))?,
        ttl_ms: flagged(flags, TTL, || reader.u64("time to live"))?,
        delay_ms: flagged(flags, DELAY, || reader.u64("delay"))?,
        key: flagged(flags, KEY, || reader.short_bytes("key", FIELD_BYTES_MAX))?,
        correlation: flagged(flags, CORRELATION, || reader.short_bytes("correlation id", FIELD_BYTES_MAX))?,
        reply_to: flagged(flags, REPLY_TO, || DestinationName::decode(&mut reader))?,
        producer: flagged(flags, PRODUCER, || reader.string("producer name", FIELD_BYTES_MAX))?,
        headers: flagged(flags, HEADERS, || headers(&mut reader))?.unwrap_or_default(),
        payload: reader.rest(),
    })
}

fn headers(reader: &mut Reader) -> Result<Vec<Header>, DecodeError> {
    let offset = reader.offset();
    let count = usize::from(reader.u16("number of headers")?);
    if count > HEADERS_MAX {
        return Err(DecodeError::TooLarge {
            field: "number of headers",
            offset,
            actual: count,
            limit: HEADERS_MAX,
        });
    }
    if count == 0 {
        // Without headers the flag is not set: one value has one encoding.
        return Err(DecodeError::Invalid { field: "number of headers", reason: "it is 0".into() });
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.string("header name", FIELD_BYTES_MAX)?;
        if name.is_empty() {
            return Err(DecodeError::Invalid { field: "header name", reason: "it is empty".into() });
        }
        headers.push(Header { name, value: reader.long_bytes("header value", HEADER_BYTES_MAX)? });
        let read = reader.offset() - offset - 2;
        if read > HEADER_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "headers",
                offset,
                actual: read,
                limit: HEADER_BYTES_MAX,
            });
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let bytes = |max: usize| proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
        let numbers = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
        let fields = (proptest::option::of(bytes(256)), proptest::option::of(bytes(256)));
        let names = (proptest::option::of("[a-z0-9_][a-zA-Z0-9._:-]{0,40}"), proptest::option::of(".{0,40}"));
        let headers = proptest::collection::vec(("[a-z]{1,20}", bytes(64)), 0..8);
        (any::<u128>(), 1_u8..=10, numbers, fields, names, headers, bytes(300)).prop_map(
            |(
                id,
                priority,
                (timestamp_ms, ttl_ms, delay_ms),
                (key, correlation),
                (reply_to, producer),
                headers,
                payload,
            )| {
                Message {
                    id: MessageId(id),
                    priority,
                    timestamp_ms,
                    ttl_ms,
                    delay_ms,
                    key,
                    correlation,
                    reply_to: reply_to.map(|name| DestinationName::new(&name).unwrap()),
                    producer,
                    headers: headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
                    payload,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_message_reads_back_as_it_was_written(message in any_message()) {
            let encoded = message.encode().unwrap();
            prop_assert_eq!(&encoded.decode().unwrap(), &message);
            prop_assert_eq!(encoded.len(), message.encoded_len());
            let summary = encoded.summary().unwrap();
            prop_assert_eq!(summary.id, message.id);
            prop_assert_eq!(summary.priority, message.priority);
            prop_assert_eq!(summary.ttl_ms, message.ttl_ms);
            prop_assert_eq!(summary.delay_ms, message.delay_ms);
            prop_assert_eq!(summary.key, message.key);
            let again = EncodedMessage::new(encoded.as_bytes().clone()).unwrap();
            prop_assert_eq!(again.decode().unwrap().encode().unwrap(), encoded);
        }

        #[test]
        fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(message) = EncodedMessage::new(Bytes::from(bytes)) {
                prop_assert!(message.summary().is_ok());
            }
        }
    }

    #[test]
    fn the_smallest_message_costs_twenty_bytes() {
        let encoded = Message::new("x").encode().unwrap();
        assert_eq!(
            encoded.as_bytes().as_ref(),
            [&[1, 5, 0, 0][..], &[0; 16], b"x"].concat().as_slice(),
            "version 1 of the format never changes"
        );
    }

    #[test]
    fn limits_are_named() {
        let error = Message::new("x").priority(11).encode().unwrap_err();
        assert_eq!(error, MessageError::Priority { actual: 11 });
        let error = Message::new("x").key(vec![0; 256]).encode().unwrap_err();
        assert_eq!(error, MessageError::TooLarge { field: "key", actual: 256, limit: 255 });
        assert!(EncodedMessage::new(Bytes::from_static(&[1, 5, 1, 0])).is_err(), "unknown flags are refused");
    }

    #[test]
    fn headers_that_are_announced_and_none_are_refused() {
        let with = |flags: u8| [&[1, 5, 0, flags][..], &[0; 16], &[0, 0], b"x"].concat();
        assert!(EncodedMessage::new(with(0).into()).is_ok(), "the two bytes belong to the payload");
        assert!(EncodedMessage::new(with(HEADERS as u8).into()).is_err(), "one value has one encoding");
    }
}
