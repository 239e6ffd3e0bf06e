//! Payloads that say which message they are, down to the last byte.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::history::Key;

const KEY_BYTES: usize = 12;
/// Most are small; one in so many is large, so that records of one sync differ.
const LARGE_EVERY: u64 = 97;
const SMALL_BYTES_MAX: u64 = 600;
const LARGE_BYTES: usize = 20_000;

/// The payload of a message.
pub(crate) fn make(key: Key) -> Bytes {
    let mixed = mix(key);
    let filler =
        if mixed.is_multiple_of(LARGE_EVERY) { LARGE_BYTES } else { (mixed % SMALL_BYTES_MAX) as usize };
    let mut payload = BytesMut::with_capacity(KEY_BYTES + filler);
    payload.put_u32(key.producer);
    payload.put_u64(key.number);
    payload.put_bytes((mixed >> 56) as u8, filler);
    payload.freeze()
}

/// Which message it is, or what is wrong with it.
pub(crate) fn read(payload: &[u8]) -> Result<Key, String> {
    let key = payload
        .split_first_chunk::<4>()
        .and_then(|(producer, rest)| Some((producer, rest.first_chunk::<8>()?)))
        .map(|(producer, number)| Key {
            producer: u32::from_be_bytes(*producer),
            number: u64::from_be_bytes(*number),
        })
        .ok_or_else(|| format!("a payload of {} bytes", payload.len()))?;
    if make(key) == payload {
        Ok(key)
    } else {
        Err(format!("a payload of {} bytes that says that it is {key}, and is not its", payload.len()))
    }
}

/// Spreads keys evenly (splitmix64).
fn mix(key: Key) -> u64 {
    let mut mixed =
        key.number.wrapping_add(u64::from(key.producer) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_which_message_it_is() {
        let key = Key { producer: 7, number: 1 << 40 };
        assert_eq!(read(&make(key)), Ok(key));
    }

    #[test]
    fn a_payload_that_was_changed_or_cut_is_nobodys() {
        let mut payload =
            (0..).map(|number| make(Key { producer: 1, number })).find(|p| p.len() > 20).unwrap().to_vec();
        assert!(read(&payload[..payload.len() - 1]).is_err());
        *payload.last_mut().unwrap() ^= 1;
        assert!(read(&payload).is_err());
        assert!(read(b"").is_err());
    }
}
