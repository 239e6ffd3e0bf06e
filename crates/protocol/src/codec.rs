//! Reading and writing of the primitive shapes: big-endian integers, length-prefixed bytes, options
//! and bounded lists.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Something with one exact encoding.
pub trait Encode {
    /// Appends the encoding of `self` to `out`.
    fn encode(&self, out: &mut BytesMut);

    /// The encoding of `self` as bytes of its own.
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

/// Something that can be read back from its encoding.
pub trait Decode: Sized {
    /// Reads one value and leaves `reader` behind it.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not an encoding of `Self`.
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads one value that must fill `bytes` exactly.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not an encoding of `Self` or go on behind it.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Why bytes could not be read: what was expected, where, and what stood there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{field} at byte {offset} needs {needed} bytes, {left} are left")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// Where the field starts.
        offset: usize,
        /// How many bytes it needs.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A length or count is over its limit. Nothing was allocated for it.
    #[error("{field} at byte {offset} is {actual}, more than the limit of {limit}")]
    TooLarge {
        /// The field that is too large.
        field: &'static str,
        /// Where the field starts.
        offset: usize,
        /// The length or count found.
        actual: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A value is not one of those the field can have.
    #[error("{field} at byte {offset} has the unknown value {value}")]
    UnknownValue {
        /// The field.
        field: &'static str,
        /// Where it stands.
        offset: usize,
        /// The value found.
        value: u64,
    },
    /// A value is of the right shape and still not allowed.
    #[error("{field} is not valid: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Why not.
        reason: String,
    },
    /// There are bytes behind the last field.
    #[error("{extra} bytes are left over behind the last field")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
}

/// A cursor over bytes. Slices taken from it share the memory they came from.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    length: usize,
}

impl Reader {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let length = bytes.len();
        Self { bytes, length }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.length - self.bytes.len()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Reads a number of one to ten bytes, as [`put_varint`] writes it: seven bits a byte, the lowest first,
    /// and the highest bit of a byte set where another follows.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]; [`DecodeError::Invalid`] where it is longer than it need be, or than 64 bits.
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid { field, reason: "it is longer than a number of 64 bits need be".into() })
    }

    fn need(&self, field: &'static str, needed: usize) -> Result<(), DecodeError> {
        if self.bytes.len() < needed {
            return Err(DecodeError::Truncated {
                field,
                offset: self.offset(),
                needed,
                left: self.bytes.len(),
            });
        }
        Ok(())
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.need(field, 1)?;
        Ok(self.bytes.get_u8())
    }

    /// Reads two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.need(field, 2)?;
        Ok(self.bytes.get_u16())
    }

    /// Reads four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.need(field, 4)?;
        Ok(self.bytes.get_u32())
    }

    /// Reads eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.need(field, 8)?;
        Ok(self.bytes.get_u64())
    }

    /// Reads sixteen bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u128(&mut self, field: &'static str) -> Result<u128, DecodeError> {
        self.need(field, 16)?;
        Ok(self.bytes.get_u128())
    }

    /// Reads a byte that is 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownValue`].
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.unknown(field, 1, u64::from(other))),
        }
    }

    /// Takes exactly `length` bytes without copying them.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, field: &'static str, length: usize) -> Result<Bytes, DecodeError> {
        self.need(field, length)?;
        Ok(self.bytes.split_to(length))
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// Reads a length of two bytes and takes as many bytes as it says.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`].
    pub fn short_bytes(&mut self, field: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
        let offset = self.offset();
        let length = usize::from(self.u16(field)?);
        check_limit(field, offset, length, limit)?;
        self.take(field, length)
    }

    /// Reads a length of four bytes and takes as many bytes as it says.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`].
    pub fn long_bytes(&mut self, field: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
        let offset = self.offset();
        let length = self.u32(field)? as usize;
        check_limit(field, offset, length, limit)?;
        self.take(field, length)
    }

    /// Reads a length of two bytes and as many bytes of UTF-8.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`], [`DecodeError::Invalid`].
    pub fn string(&mut self, field: &'static str, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.short_bytes(field, limit)?;
        String::from_utf8(bytes.into())
            .map_err(|error| DecodeError::Invalid { field, reason: format!("it is not UTF-8: {error}") })
    }

    /// Reads a count of four bytes, of items of which each takes at least `item_bytes_min` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] where the items cannot all be there, [`DecodeError::TooLarge`].
    pub fn count(
        &mut self,
        field: &'static str,
        limit: usize,
        item_bytes_min: usize,
    ) -> Result<usize, DecodeError> {
        let offset = self.offset();
        let count = self.u32(field)? as usize;
        check_limit(field, offset, count, limit)?;
        self.need(field, count * item_bytes_min)?;
        Ok(count)
    }

    /// Reads a byte that says whether a value follows, and the value.
    ///
    /// # Errors
    /// As `read`, and [`DecodeError::UnknownValue`].
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads a counted list.
    ///
    /// # Errors
    /// As `read` and [`Self::count`].
    pub fn list<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        item_bytes_min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(field, limit, item_bytes_min)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// The error for a value of `size` bytes, just read, that the field cannot have.
    #[must_use]
    pub fn unknown(&self, field: &'static str, size: usize, value: u64) -> DecodeError {
        DecodeError::UnknownValue { field, offset: self.offset().saturating_sub(size), value }
    }

    /// Says that nothing may follow.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingBytes { extra }),
        }
    }
}

fn check_limit(field: &'static str, offset: usize, actual: usize, limit: usize) -> Result<(), DecodeError> {
    if actual > limit {
        return Err(DecodeError::TooLarge { field, offset, actual, limit });
    }
    Ok(())
}

/// Appends a number in as many bytes as it needs, one to ten: seven bits a byte, the lowest first.
pub fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value > 0x7f {
        out.put_u8(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a length of two bytes and `bytes`.
///
/// # Panics
/// Where `bytes` is longer than 65,535: callers hold values whose constructors bound them.
pub fn put_short_bytes(out: &mut BytesMut, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX), "bounded by the constructor of its type");
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

/// Appends a length of four bytes and `bytes`.
pub fn put_long_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

/// Appends a byte that says whether a value follows, and the value.
pub fn put_option<T>(out: &mut BytesMut, value: Option<&T>, write: impl FnOnce(&mut BytesMut, &T)) {
    match value {
        None => out.put_u8(0),
        Some(value) => {
            out.put_u8(1);
            write(out, value);
        }
    }
}

/// Appends a counted list.
pub fn put_list<T>(out: &mut BytesMut, items: &[T], mut write: impl FnMut(&mut BytesMut, &T)) {
    out.put_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
    for item in items {
        write(out, item);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(out.freeze());
            prop_assert_eq!(reader.varint("number"), Ok(value));
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn a_varint_has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(bytes.clone().into());
            if let Ok(value) = reader.varint("number") {
                let mut out = BytesMut::new();
                put_varint(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..reader.offset()]);
            }
        }
    }
}
