//! Poly1305, the one-time authenticator of [RFC 8439](https://www.rfc-editor.org/rfc/rfc8439#section-2.5), computed by the crate
//! `cryptoxide`.
//!
//! It stands in for the crate `poly1305` 0.9 with as much of its interface as `salsabox` uses, and `salsabox` is what encrypts
//! CURVE in `omq-proto`. ARCHITECTURE.md says why. Nothing else is to depend on it.

#![forbid(unsafe_code)]

/// What makes an authenticator of a key.
pub mod universal_hash {
    /// See the crate `crypto-common`: as much as is used of it.
    pub trait KeyInit: Sized {
        /// One for the key, which is used once.
        fn new(key: &[u8; 32]) -> Self;
    }
}

/// An authenticator for one message.
#[derive(Clone)]
pub struct Poly1305 {
    key: [u8; 32],
}

impl universal_hash::KeyInit for Poly1305 {
    fn new(key: &[u8; 32]) -> Self {
        Self { key: *key }
    }
}

impl std::fmt::Debug for Poly1305 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Poly1305 { .. }")
    }
}

impl Poly1305 {
    /// The tag of the message. Its last block is not padded to 16 bytes, as the RFC has it.
    #[must_use]
    pub fn compute_unpadded(self, message: &[u8]) -> [u8; 16] {
        let mut context = cryptoxide::poly1305::Poly1305::new(&self.key);
        context.update_mut(message);
        context.finalize().0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Poly1305, universal_hash::KeyInit};

    fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        Poly1305::new(key).compute_unpadded(message)
    }

    /// An integer below 2^130 - 5: its lower 128 bits, and the rest.
    #[derive(Clone, Copy)]
    struct Residue(u128, u8);

    impl Residue {
        fn add(self, other: Self) -> Self {
            let (low, carry) = self.0.overflowing_add(other.0);
            Self(low, self.1 + other.1 + u8::from(carry)).reduced()
        }

        /// Less 2^130 - 5 as long as it is that much or more.
        fn reduced(self) -> Self {
            let prime = Self(u128::MAX - 4, 3);
            let mut left = self;
            while (left.1, left.0) >= (prime.1, prime.0) {
                let (low, borrow) = left.0.overflowing_sub(prime.0);
                left = Self(low, left.1 - prime.1 - u8::from(borrow));
            }
            left
        }

        /// Bit by bit.
        fn times(self, factor: u128) -> Self {
            (0..128).rev().fold(Self(0, 0), |product, bit| {
                let doubled = product.add(product);
                if factor >> bit & 1 == 1 { doubled.add(self) } else { doubled }
            })
        }
    }

    /// Section 2.5.1 of the RFC, word by word.
    fn by_the_rfc(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        let number = |bytes: &[u8]| {
            let mut padded = [0; 16];
            padded[..bytes.len()].copy_from_slice(bytes);
            u128::from_le_bytes(padded)
        };
        let r = number(&key[..16]) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        let sum = message.chunks(16).fold(Residue(0, 0), |sum, block| {
            let one = match block.len() {
                16 => Residue(number(block), 1),
                shorter => Residue(number(block) | 1 << (8 * shorter), 0),
            };
            sum.add(one).times(r)
        });
        sum.0.wrapping_add(number(&key[16..])).to_le_bytes()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let key = [
            0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33, 0x7f, 0x44, 0x52, 0xfe, 0x42, 0xd5, 0x06, 0xa8,
            0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d, 0xb2, 0xfd, 0x4a, 0xbf, 0xf6, 0xaf, 0x41, 0x49, 0xf5, 0x1b,
        ];
        let expected =
            [0xa8, 0x06, 0x1d, 0xc1, 0x30, 0x51, 0x36, 0xc6, 0xc2, 0x2b, 0x8b, 0xaf, 0x0c, 0x01, 0x27, 0xa9];
        let message = b"Cryptographic Forum Research Group";
        assert_eq!(tag(&key, message), expected);
        assert_eq!(by_the_rfc(&key, message), expected);
    }

    #[test]
    fn the_vectors_of_the_rfc_for_sums_next_to_the_prime() {
        fn block(first: u8, rest: u8) -> [u8; 16] {
            std::array::from_fn(|byte| if byte == 0 { first } else { rest })
        }
        fn assert_tag(r: u8, s: [u8; 16], message: &[[u8; 16]], expected: [u8; 16]) {
            let mut key = [0; 32];
            key[0] = r;
            key[16..].copy_from_slice(&s);
            let message = message.as_flattened();
            assert_eq!(tag(&key, message), expected);
            assert_eq!(by_the_rfc(&key, message), expected);
        }
        // Of appendix A.3.
        assert_tag(2, [0; 16], &[[0xFF; 16]], block(3, 0));
        assert_tag(2, [0xFF; 16], &[block(2, 0)], block(3, 0));
        assert_tag(1, [0; 16], &[[0xFF; 16], block(0xF0, 0xFF), block(0x11, 0)], block(5, 0));
        assert_tag(1, [0; 16], &[[0xFF; 16], block(0xFB, 0xFE), [1; 16]], [0; 16]);
        assert_tag(2, [0; 16], &[block(0xFD, 0xFF)], block(0xFA, 0xFF));
    }

    #[test]
    fn sums_next_to_the_prime_are_reduced() {
        // With r of 1, 2 or 4, sums and products of 2^130 - 5 and about.
        let key = |r: u8| std::array::from_fn(|byte| if byte == 0 { r } else { 0 });
        for r in [1, 2, 4] {
            for last in [0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0] {
                let mut message = [0xFF; 64];
                message[16] = last;
                message[48] = last;
                for length in 0..=message.len() {
                    let message = &message[..length];
                    assert_eq!(tag(&key(r), message), by_the_rfc(&key(r), message), "{r} {last} {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_message_anywhere_in_memory_has_the_tag_of_the_rfc(
            key: [u8; 32],
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
            skipped in 0..64_usize,
        ) {
            let message = bytes.get(skipped..).unwrap_or_default();
            prop_assert_eq!(tag(&key, message), by_the_rfc(&key, message));
        }
    }
}
