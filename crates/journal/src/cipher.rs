//! Encryption at rest: AES-256-GCM under keys derived from the master key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

use crate::format::TAG_BYTES;
use crate::options::MasterKey;

const SEGMENT_INFO: &[u8] = b"swarmmq journal segment v1";
const SNAPSHOT_INFO: &[u8] = b"swarmmq journal snapshot v1";
const CHECK_INFO: &[u8] = b"swarmmq journal key check v1";

/// Seals and opens the payloads of one file. A nonce is used once under one key: it is the payload's place.
pub(crate) struct Cipher {
    key: LessSafeKey,
}

impl Cipher {
    pub(crate) fn segment(master: &MasterKey, salt: &[u8; 32]) -> Self {
        Self::derive(master, salt, SEGMENT_INFO)
    }

    pub(crate) fn snapshot(master: &MasterKey, salt: &[u8; 32]) -> Self {
        Self::derive(master, salt, SNAPSHOT_INFO)
    }

    #[expect(
        clippy::expect_used,
        reason = "AES-256 takes any 32 bytes, and 32 bytes are what derive returns"
    )]
    fn derive(master: &MasterKey, salt: &[u8; 32], info: &[u8]) -> Self {
        let key = derive_bytes(master, salt, info);
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("a 256-bit key");
        Self { key: LessSafeKey::new(key) }
    }

    /// Encrypts in place and returns the tag.
    #[expect(clippy::expect_used, reason = "sealing fails only beyond 64 GiB, far above any record or chunk")]
    pub(crate) fn seal(&self, place: u64, authenticated: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(place), Aad::from(authenticated), bytes)
            .expect("a payload below the limit of the cipher");
        let mut out = [0; TAG_BYTES];
        crate::cursor::patch(&mut out, 0, tag.as_ref());
        out
    }

    /// Decrypts in place and drops the tag; false when it is not what was sealed at this place.
    #[must_use]
    pub(crate) fn open(&self, place: u64, authenticated: &[u8], bytes: &mut Vec<u8>) -> bool {
        let Ok(plain) = self.key.open_in_place(nonce(place), Aad::from(authenticated), bytes) else {
            return false;
        };
        let length = plain.len();
        bytes.truncate(length);
        true
    }
}

/// A value that tells whether a master key is the one a journal was made with.
pub(crate) fn key_check(master: &MasterKey, journal: &[u8; 16]) -> [u8; 32] {
    derive_bytes(master, journal, CHECK_INFO)
}

#[expect(clippy::expect_used, reason = "HKDF-SHA-256 fails only beyond 255 blocks, this is one")]
fn derive_bytes(master: &MasterKey, salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Salt::new(HKDF_SHA256, salt)
        .extract(&master.key)
        .expand(&[info], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("one block of key material");
    out
}

fn nonce(place: u64) -> Nonce {
    let mut bytes = [0; 12];
    crate::cursor::patch(&mut bytes, 0, &place.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}
