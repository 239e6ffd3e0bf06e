//! Identifiers: messages, producers, sequences and receipts.

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// Identifies a message for deduplication: a UUID, 16 bytes.
///
/// All zeros ([`MessageId::NIL`]) means that the message has none and is not deduplicated by id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MessageId(pub u128);

impl MessageId {
    /// No id.
    pub const NIL: Self = Self(0);

    /// Whether this is no id.
    #[must_use]
    pub fn is_nil(self) -> bool {
        self.0 == 0
    }

    /// Reads a UUID with or without hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut value: u128 = 0;
        let mut digits = 0_u32;
        for (position, character) in text.chars().enumerate() {
            if character == '-' && text.len() == 36 && matches!(position, 8 | 13 | 18 | 23) {
                continue;
            }
            let digit = character.to_digit(16)?;
            digits += 1;
            if digits > 32 {
                return None;
            }
            value = (value << 4) | u128::from(digit);
        }
        (digits == 32).then_some(Self(value))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (v >> 96) as u32,
            (v >> 80) as u16,
            (v >> 64) as u16,
            (v >> 48) as u16,
            v & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies a producer session for exactly-once production: 16 bytes, chosen at random by the
/// producer and kept for as long as it may retry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub u128);

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a producer session writes on a put, so that a retry is told from a new message.
///
/// The first message of a session to a destination has sequence 1, and each next one more; a put of
/// several messages carries the sequence of its first. A higher epoch of the same producer fences
/// the lower ones out.
///
/// ```text
/// 0        16      20        28
/// | producer | epoch | sequence |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProducerStamp {
    /// The session.
    pub producer: ProducerId,
    /// Its incarnation, from 0.
    pub epoch: u32,
    /// The sequence of the put's first message, from 1.
    pub sequence: u64,
}

impl Encode for ProducerStamp {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u128(self.producer.0);
        out.put_u32(self.epoch);
        out.put_u64(self.sequence);
    }
}

impl Decode for ProducerStamp {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let stamp = Self {
            producer: ProducerId(reader.u128("producer id")?),
            epoch: reader.u32("producer epoch")?,
            sequence: reader.u64("producer sequence")?,
        };
        if stamp.sequence == 0 {
            return Err(DecodeError::Invalid {
                field: "producer sequence",
                reason: "it counts from 1".into(),
            });
        }
        Ok(stamp)
    }
}

/// The place of a message in its destination's log, from 1. Never used again, whatever is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a consumer settles a delivery with: which message, and which of its leases.
///
/// 16 bytes: the sequence and the lease's token. A client treats it as opaque. A token is never given
/// twice for one message, also across restarts and changes of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// The message.
    pub sequence: Sequence,
    /// The lease it was delivered under.
    pub token: u64,
}

impl Receipt {
    /// Bytes of an encoded receipt.
    pub const BYTES: usize = 16;
}

impl Encode for Receipt {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.sequence.0);
        out.put_u64(self.token);
    }
}

impl Decode for Receipt {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { sequence: Sequence(reader.u64("receipt sequence")?), token: reader.u64("receipt token")? })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.sequence, self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_reads_what_it_prints() {
        let id = MessageId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0011-223344556677");
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
        assert_eq!(MessageId::parse("0123456789abcdef0011223344556677"), Some(id));
        assert_eq!(MessageId::parse("0123"), None);
        assert_eq!(MessageId::parse("0123456789abcdef00112233445566778"), None);
    }
}
