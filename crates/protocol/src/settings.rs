//! Settings of destinations and groups.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::{FIELD_BYTES_MAX, FILTER_CONDITIONS_MAX, HEADER_BYTES_MAX};
use crate::name::DestinationName;

const VERSION: u8 = 1;

/// Which preset a destination was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestinationKind {
    /// One group; a message goes when it is acknowledged.
    Queue,
    /// A log with any number of groups; a message goes when retention says so.
    Stream,
}

/// What happens to a put when a destination holds as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The put is refused with `DESTINATION-FULL`.
    Refuse,
    /// The oldest messages go, and are counted.
    DropOldest,
}

/// How a destination behaves. Zero in a limit means: none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DestinationSettings {
    /// Queue or stream.
    pub kind: DestinationKind,
    /// What happens when a limit is reached. Default: a queue refuses, a stream drops the oldest.
    pub overflow: Overflow,
    /// Most messages held. Default 0: no limit.
    pub messages_max: u64,
    /// Most bytes of encoded messages held. Default 0: no limit.
    pub bytes_max: u64,
    /// Messages older than this go, ms. Default 0: they stay.
    pub age_max_ms: u64,
    /// Only the last message of each key stays. Messages without a key are not touched.
    pub last_per_key: bool,
    /// Time to live of messages that name none, ms. Default 0: they do not expire.
    pub ttl_default_ms: u64,
    /// Largest encoded message accepted, bytes. Default 0: the node's limit.
    pub message_bytes_max: u64,
    /// For how long a message id is remembered, ms. Default 2 minutes. 0: ids are not looked at.
    pub dedup_window_ms: u64,
    /// How many message ids are remembered at most. Default 1,000,000 (about 64 bytes each).
    pub dedup_ids_max: u64,
    /// For how long a producer session is remembered after its last put, ms. Default 7 days.
    pub producer_ttl_ms: u64,
    /// How many producer sessions are remembered at most; the longest idle one goes first. Default 10,000.
    pub producers_max: u64,
}

impl DestinationSettings {
    /// The preset of a queue.
    #[must_use]
    pub fn queue() -> Self {
        Self {
            kind: DestinationKind::Queue,
            overflow: Overflow::Refuse,
            messages_max: 0,
            bytes_max: 0,
            age_max_ms: 0,
            last_per_key: false,
            ttl_default_ms: 0,
            message_bytes_max: 0,
            dedup_window_ms: 120_000,
            dedup_ids_max: 1_000_000,
            producer_ttl_ms: 7 * 24 * 3_600_000,
            producers_max: 10_000,
        }
    }

    /// The preset of a stream.
    #[must_use]
    pub fn stream() -> Self {
        Self { kind: DestinationKind::Stream, overflow: Overflow::DropOldest, ..Self::queue() }
    }

    /// Whether a message goes as soon as the (one) group has acknowledged it.
    #[must_use]
    pub fn retains_until_acknowledged(&self) -> bool {
        self.kind == DestinationKind::Queue
    }

    /// Checks that the settings do not contradict each other.
    ///
    /// # Errors
    /// A sentence that says which do and what to do about it.
    pub fn validate(&self) -> Result<(), String> {
        if self.dedup_window_ms > 0 && self.dedup_ids_max == 0 {
            return Err("dedup_ids_max is 0 while dedup_window_ms is not: set dedup_window_ms to 0 to switch deduplication by id off".into());
        }
        if self.producers_max == 0 {
            return Err("producers_max must be at least 1".into());
        }
        if self.producer_ttl_ms == 0 {
            return Err("producer_ttl_ms must be at least 1".into());
        }
        if self.last_per_key && self.retains_until_acknowledged() {
            return Err(
                "last_per_key is for streams: a queue holds each message until it is acknowledged".into()
            );
        }
        Ok(())
    }
}

impl Encode for DestinationSettings {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u8(match self.kind {
            DestinationKind::Queue => 1,
            DestinationKind::Stream => 2,
        });
        out.put_u8(match self.overflow {
            Overflow::Refuse => 1,
            Overflow::DropOldest => 2,
        });
        out.put_u8(u8::from(self.last_per_key));
        for number in [
            self.messages_max,
            self.bytes_max,
            self.age_max_ms,
            self.ttl_default_ms,
            self.message_bytes_max,
            self.dedup_window_ms,
            self.dedup_ids_max,
            self.producer_ttl_ms,
            self.producers_max,
        ] {
            out.put_u64(number);
        }
    }
}

impl Decode for DestinationSettings {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        version(reader, "destination settings version")?;
        let kind = match reader.u8("destination kind")? {
            1 => DestinationKind::Queue,
            2 => DestinationKind::Stream,
            other => return Err(reader.unknown("destination kind", 1, u64::from(other))),
        };
        let overflow = match reader.u8("overflow")? {
            1 => Overflow::Refuse,
            2 => Overflow::DropOldest,
            other => return Err(reader.unknown("overflow", 1, u64::from(other))),
        };
        Ok(Self {
            kind,
            overflow,
            last_per_key: reader.bool("last_per_key")?,
            messages_max: reader.u64("messages_max")?,
            bytes_max: reader.u64("bytes_max")?,
            age_max_ms: reader.u64("age_max_ms")?,
            ttl_default_ms: reader.u64("ttl_default_ms")?,
            message_bytes_max: reader.u64("message_bytes_max")?,
            dedup_window_ms: reader.u64("dedup_window_ms")?,
            dedup_ids_max: reader.u64("dedup_ids_max")?,
            producer_ttl_ms: reader.u64("producer_ttl_ms")?,
            producers_max: reader.u64("producers_max")?,
        })
    }
}

fn version(reader: &mut Reader, field: &'static str) -> Result<(), DecodeError> {
    match reader.u8(field)? {
        VERSION => Ok(()),
        other => Err(reader.unknown(field, 1, u64::from(other))),
    }
}

/// Where in a log a group starts, or is set back or forward to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// The oldest message there is.
    Earliest,
    /// Behind the newest message there is.
    Latest,
    /// The message with this sequence, or the next one there is.
    Sequence(u64),
    /// The first message stored at or after this time, ms since 1970.
    Time(u64),
}

impl Encode for Position {
    fn encode(&self, out: &mut BytesMut) {
        let (tag, value) = match *self {
            Self::Earliest => (1, 0),
            Self::Latest => (2, 0),
            Self::Sequence(sequence) => (3, sequence),
            Self::Time(time) => (4, time),
        };
        out.put_u8(tag);
        out.put_u64(value);
    }
}

impl Decode for Position {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let tag = reader.u8("position")?;
        let value = reader.u64("position value")?;
        match tag {
            1 | 2 if value != 0 => Err(DecodeError::Invalid {
                field: "position value",
                reason: "the earliest and the latest position have none: it must be 0".into(),
            }),
            1 => Ok(Self::Earliest),
            2 => Ok(Self::Latest),
            3 => Ok(Self::Sequence(value)),
            4 => Ok(Self::Time(value)),
            other => Err(reader.unknown("position", 9, u64::from(other))),
        }
    }
}

/// One condition on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The key is this.
    KeyIs(Bytes),
    /// The key begins with this.
    KeyStartsWith(Bytes),
    /// A header of this name has this value.
    HeaderIs(String, Bytes),
    /// The priority is at least this.
    PriorityAtLeast(u8),
}

impl Encode for Condition {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeyIs(key) => {
                out.put_u8(1);
                codec::put_short_bytes(out, key);
            }
            Self::KeyStartsWith(prefix) => {
                out.put_u8(2);
                codec::put_short_bytes(out, prefix);
            }
            Self::HeaderIs(name, value) => {
                out.put_u8(3);
                codec::put_short_bytes(out, name.as_bytes());
                codec::put_long_bytes(out, value);
            }
            Self::PriorityAtLeast(priority) => {
                out.put_u8(4);
                out.put_u8(*priority);
            }
        }
    }
}

impl Decode for Condition {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8("condition")? {
            1 => Ok(Self::KeyIs(reader.short_bytes("key", FIELD_BYTES_MAX)?)),
            2 => Ok(Self::KeyStartsWith(reader.short_bytes("key prefix", FIELD_BYTES_MAX)?)),
            3 => Ok(Self::HeaderIs(
                reader.string("header name", FIELD_BYTES_MAX)?,
                reader.long_bytes("header value", HEADER_BYTES_MAX)?,
            )),
            4 => Ok(Self::PriorityAtLeast(reader.u8("priority")?)),
            other => Err(reader.unknown("condition", 1, u64::from(other))),
        }
    }
}

/// How a group delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSettings {
    /// Where the group starts. Default: the earliest message.
    pub start: Position,
    /// How long a consumer has until it must acknowledge or extend, ms. Default 30 s.
    pub lease_ms: u64,
    /// After so many deliveries a message is dead. Default 0: it is tried for ever.
    pub deliveries_max: u32,
    /// Where dead and rejected messages go. Default: they are dropped, and counted.
    pub dead_letter: Option<DestinationName>,
    /// A redelivery waits this long, and twice as long each further time, up to an hour, ms. Default 0: at once.
    pub redelivery_delay_ms: u64,
    /// Messages of one key are delivered in order, one at a time.
    pub key_ordered: bool,
    /// Most messages leased at once in the whole group. Default 65,536.
    pub leased_max: u32,
    /// Every condition must hold for a message to be delivered; others count as acknowledged.
    pub filter: Vec<Condition>,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            start: Position::Earliest,
            lease_ms: 30_000,
            deliveries_max: 0,
            dead_letter: None,
            redelivery_delay_ms: 0,
            key_ordered: false,
            leased_max: 65_536,
            filter: Vec::new(),
        }
    }
}

impl GroupSettings {
    /// Checks the settings of a group of `destination`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do about it.
    pub fn validate(&self, destination: &DestinationName) -> Result<(), String> {
        if self.lease_ms == 0 {
            return Err("lease_ms must be at least 1".into());
        }
        if self.leased_max == 0 {
            return Err("leased_max must be at least 1".into());
        }
        if self.filter.len() > FILTER_CONDITIONS_MAX {
            return Err(format!(
                "the filter has {} conditions, the limit is {FILTER_CONDITIONS_MAX}",
                self.filter.len()
            ));
        }
        if self.dead_letter.as_ref() == Some(destination) {
            return Err("dead letters cannot go to the destination they come from".into());
        }
        Ok(())
    }
}

impl Encode for GroupSettings {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        self.start.encode(out);
        out.put_u64(self.lease_ms);
        out.put_u32(self.deliveries_max);
        codec::put_option(out, self.dead_letter.as_ref(), |out, name| name.encode(out));
        out.put_u64(self.redelivery_delay_ms);
        out.put_u8(u8::from(self.key_ordered));
        out.put_u32(self.leased_max);
        codec::put_list(out, &self.filter, |out, condition| condition.encode(out));
    }
}

impl Decode for GroupSettings {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        version(reader, "group settings version")?;
        Ok(Self {
            start: Position::decode(reader)?,
            lease_ms: reader.u64("lease_ms")?,
            deliveries_max: reader.u32("deliveries_max")?,
            dead_letter: reader.option("dead_letter", DestinationName::decode)?,
            redelivery_delay_ms: reader.u64("redelivery_delay_ms")?,
            key_ordered: reader.bool("key_ordered")?,
            leased_max: reader.u32("leased_max")?,
            filter: reader.list("filter", FILTER_CONDITIONS_MAX, 2, Condition::decode)?,
        })
    }
}
