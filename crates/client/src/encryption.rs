//! End-to-end encryption of payloads: what the producer encrypts only a consumer decrypts, and no node
//! sees it in between.
//!
//! The payload is sealed by AES-256-GCM. The header `swarmmq-key-id` says with which key; the payload
//! becomes
//!
//! ```text
//! 0        12
//! | nonce  | ciphertext … | tag (16) |
//! ```
//!
//! and is bound to its destination, the message's id and its content type, so that a node cannot pass
//! one message off as another of another destination: the additional data is the destination's name,
//! the id and the value of the header `content-type`, each of the two texts with its length of four
//! bytes before it. Everything else of a message, its key and headers included, is in the clear: the
//! node needs it.
//!
//! Nonces are drawn at random. Two messages of one key with one nonce would be the end of both, so a
//! key is for at most 2³² messages, of all producers together (NIST SP 800-38D, 8.3: the chance of a
//! repetition stays below 2⁻³²). A key ring refuses to encrypt more than that by itself; many producers
//! with one key must share the number out. What a node can still do is to withhold messages, repeat
//! them or change their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_protocol::message::Header;
use swarmmq_protocol::{DestinationName, Message, MessageId};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The header that says which key a payload is encrypted with.
pub const KEY_ID_HEADER: &str = "swarmmq-key-id";
/// The header that is bound to the payload besides the destination and the message's id.
pub const CONTENT_TYPE_HEADER: &str = "content-type";
/// Most messages that one key ring encrypts with one key.
pub const MESSAGES_PER_KEY_MAX: u64 = 1 << 32;

/// A key of AES-256-GCM with its id.
#[derive(Clone)]
pub struct Key {
    id: String,
    sealing: Arc<LessSafeKey>,
    encrypted: Arc<AtomicU64>,
}

impl Key {
    /// A key of 32 bytes from a good random source, and an id of 1 to 255 bytes that messages carry in
    /// the clear. The bytes are not kept beyond the cipher's own state.
    ///
    /// # Errors
    /// [`EncryptionError::KeyId`] where the id is empty or too long.
    pub fn new(id: impl Into<String>, bytes: [u8; KEY_BYTES]) -> Result<Self, EncryptionError> {
        let id = id.into();
        if id.is_empty() || id.len() > 255 {
            return Err(EncryptionError::KeyId { length: id.len() });
        }
        let unbound = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| EncryptionError::Cipher)?;
        let sealing = Arc::new(LessSafeKey::new(unbound));
        Ok(Self { id, sealing, encrypted: Arc::default() })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Keys by their ids. The newest encrypts, any decrypts. Cheap to clone.
///
/// To rotate: give every consumer the new key [`with`](Self::with) the old ones, then every producer;
/// take the old key away when its last message is gone.
#[derive(Debug, Clone)]
pub struct KeyRing {
    newest: Key,
    older: Arc<Vec<Key>>,
}

impl KeyRing {
    /// A ring with one key.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { newest: key, older: Arc::default() }
    }

    /// Adds a key, which is the newest from now on. A key of the same id is replaced.
    #[must_use]
    pub fn with(self, key: Key) -> Self {
        let mut older = (*self.older).clone();
        older.push(self.newest);
        older.retain(|one| one.id != key.id);
        Self { newest: key, older: Arc::new(older) }
    }

    /// Encrypts the payload of a message that is for `destination`.
    ///
    /// The message's id must not change after this. Producers with
    /// [`crate::ProducerBuilder::encryption`] do it by themselves.
    ///
    /// # Errors
    /// [`EncryptionError::KeyExhausted`].
    pub fn encrypt(
        &self,
        destination: &DestinationName,
        mut message: Message,
    ) -> Result<Message, EncryptionError> {
        let Key { id, sealing, encrypted } = &self.newest;
        if encrypted.fetch_add(1, Ordering::Relaxed) >= MESSAGES_PER_KEY_MAX {
            // Stays exhausted, however often it is asked.
            encrypted.fetch_sub(1, Ordering::Relaxed);
            return Err(EncryptionError::KeyExhausted { key_id: id.clone(), limit: MESSAGES_PER_KEY_MAX });
        }
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| EncryptionError::Cipher)?;
        let mut sealed = BytesMut::with_capacity(NONCE_LEN + message.payload.len() + 16);
        sealed.put_slice(&nonce);
        sealed.put_slice(&message.payload);
        let mut body = sealed.split_off(NONCE_LEN);
        let aad = Aad::from(additional_data(destination, &message));
        sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .map_err(|_| EncryptionError::Cipher)?;
        sealed.unsplit(body);
        message.payload = sealed.freeze();
        message.headers.retain(|header| header.name != KEY_ID_HEADER);
        message.headers.push(Header { name: KEY_ID_HEADER.into(), value: Bytes::from(id.clone()) });
        Ok(message)
    }

    /// Decrypts the payload of a message that came from `destination`.
    ///
    /// # Errors
    /// [`EncryptionError::NotEncrypted`], [`EncryptionError::UnknownKey`],
    /// [`EncryptionError::NotAuthentic`].
    pub fn decrypt(
        &self,
        destination: &DestinationName,
        mut message: Message,
    ) -> Result<Message, EncryptionError> {
        let id = message.header_value(KEY_ID_HEADER).ok_or(EncryptionError::NotEncrypted)?;
        let key_id = String::from_utf8_lossy(id).into_owned();
        let all = std::iter::once(&self.newest).chain(self.older.iter());
        let Some(key) = all.into_iter().find(|key| key.id == key_id) else {
            return Err(EncryptionError::UnknownKey { key_id });
        };
        let Some((nonce, body)) = message.payload.split_first_chunk::<NONCE_LEN>() else {
            return Err(EncryptionError::NotAuthentic { key_id });
        };
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut body = body.to_vec();
        message.headers.retain(|header| header.name != KEY_ID_HEADER);
        let aad = Aad::from(additional_data(destination, &message));
        match key.sealing.open_in_place(nonce, aad, &mut body) {
            Ok(opened) => {
                let length = opened.len();
                body.truncate(length);
                message.payload = body.into();
                Ok(message)
            }
            Err(_) => Err(EncryptionError::NotAuthentic { key_id }),
        }
    }
}

/// What a payload is bound to.
fn additional_data(destination: &DestinationName, message: &Message) -> Vec<u8> {
    let name = destination.as_str().as_bytes();
    let content_type = message.header_value(CONTENT_TYPE_HEADER).map_or(&[][..], |value| value);
    let mut data = Vec::with_capacity(name.len() + content_type.len() + 24);
    let MessageId(id) = message.id;
    data.put_u32(u32::try_from(name.len()).unwrap_or(u32::MAX));
    data.put_slice(name);
    data.put_u128(id);
    data.put_u32(u32::try_from(content_type.len()).unwrap_or(u32::MAX));
    data.put_slice(content_type);
    data
}

/// Why a payload could not be encrypted or decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// There is no key of this id.
    #[error("there is no key {key_id:?} in the key ring")]
    UnknownKey {
        /// The id the message carries.
        key_id: String,
    },
    /// The message was changed, moved to another destination, or encrypted with another key of that id.
    #[error("the message does not open with key {key_id:?}")]
    NotAuthentic {
        /// The id the message carries.
        key_id: String,
    },
    /// The consumer expects encrypted messages and this one is not.
    #[error("the message is not encrypted")]
    NotEncrypted,
    /// The key has encrypted as many messages as is safe.
    #[error("key {key_id:?} has encrypted {limit} messages, use a new one")]
    KeyExhausted {
        /// Its id.
        key_id: String,
        /// The limit.
        limit: u64,
    },
    /// A key id is empty or too long.
    #[error("a key id has 1 to 255 bytes, this one has {length}")]
    KeyId {
        /// Its length.
        length: usize,
    },
    /// The cipher failed, or the system gave no random bytes.
    #[error("the cipher failed")]
    Cipher,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> Key {
        Key::new(id, [byte; KEY_BYTES]).unwrap()
    }

    fn orders() -> DestinationName {
        DestinationName::new("orders").unwrap()
    }

    fn message() -> Message {
        Message::new("two coffees").id(MessageId(7)).header(CONTENT_TYPE_HEADER, "text/plain")
    }

    #[test]
    fn what_is_encrypted_reads_back_and_is_not_readable_in_between() {
        let keys = KeyRing::new(key("a", 1));
        let sealed = keys.encrypt(&orders(), message()).unwrap();
        assert_eq!(sealed.payload.len(), NONCE_LEN + "two coffees".len() + 16);
        assert!(!sealed.payload.windows(3).any(|three| three == b"two"));
        assert_eq!(sealed.header_value(KEY_ID_HEADER).unwrap(), "a");
        assert_eq!(keys.decrypt(&orders(), sealed.clone()).unwrap(), message());
        assert_ne!(keys.encrypt(&orders(), message()).unwrap().payload, sealed.payload, "nonces differ");
        let empty = keys.encrypt(&orders(), Message::new("")).unwrap();
        assert_eq!(keys.decrypt(&orders(), empty).unwrap(), Message::new(""));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = KeyRing::new(key("a", 1));
        let sealed = keys.encrypt(&orders(), message()).unwrap();
        let refused = Err(EncryptionError::NotAuthentic { key_id: "a".into() });
        for bit in 0..sealed.payload.len() * 8 {
            let mut payload = sealed.payload.to_vec();
            payload[bit / 8] ^= 1 << (bit % 8);
            let mut tampered = sealed.clone();
            tampered.payload = payload.into();
            assert_eq!(keys.decrypt(&orders(), tampered), refused, "bit {bit}");
        }
        for length in 0..sealed.payload.len() {
            let mut cut = sealed.clone();
            cut.payload = sealed.payload.slice(..length);
            assert_eq!(keys.decrypt(&orders(), cut), refused, "cut to {length}");
        }
    }

    #[test]
    fn a_message_opens_only_where_and_as_what_it_was_sent() {
        let keys = KeyRing::new(key("a", 1));
        let sealed = keys.encrypt(&orders(), message()).unwrap();
        let refused = Err(EncryptionError::NotAuthentic { key_id: "a".into() });
        let elsewhere = DestinationName::new("refunds").unwrap();
        assert_eq!(keys.decrypt(&elsewhere, sealed.clone()), refused);
        assert_eq!(keys.decrypt(&orders(), sealed.clone().id(MessageId(8))), refused);
        let mut retyped = sealed;
        retyped.headers[0].value = "text/html".into();
        assert_eq!(keys.decrypt(&orders(), retyped), refused);
    }

    #[test]
    fn errors_name_the_key() {
        let sealed = KeyRing::new(key("a", 1)).encrypt(&orders(), message()).unwrap();
        let missing = KeyRing::new(key("b", 1)).decrypt(&orders(), sealed.clone()).unwrap_err();
        assert_eq!(missing, EncryptionError::UnknownKey { key_id: "a".into() });
        assert_eq!(missing.to_string(), "there is no key \"a\" in the key ring");
        let wrong = KeyRing::new(key("a", 2)).decrypt(&orders(), sealed).unwrap_err();
        assert_eq!(wrong, EncryptionError::NotAuthentic { key_id: "a".into() });
        let plain = KeyRing::new(key("a", 1)).decrypt(&orders(), message()).unwrap_err();
        assert_eq!(plain, EncryptionError::NotEncrypted);
    }

    #[test]
    fn the_newest_key_encrypts_and_older_ones_still_decrypt() {
        let before = KeyRing::new(key("old", 1));
        let sealed = before.encrypt(&orders(), message()).unwrap();
        let after = before.with(key("new", 2));
        assert_eq!(after.decrypt(&orders(), sealed).unwrap(), message());
        let sealed = after.encrypt(&orders(), message()).unwrap();
        assert_eq!(sealed.header_value(KEY_ID_HEADER).unwrap(), "new");
    }

    #[test]
    fn a_key_is_not_used_beyond_its_limit() {
        let used_up = key("a", 1);
        used_up.encrypted.store(MESSAGES_PER_KEY_MAX - 1, Ordering::Relaxed);
        let keys = KeyRing::new(used_up);
        assert!(keys.encrypt(&orders(), message()).is_ok());
        let exhausted = EncryptionError::KeyExhausted { key_id: "a".into(), limit: MESSAGES_PER_KEY_MAX };
        for _ in 0..2 {
            assert_eq!(keys.encrypt(&orders(), message()), Err(exhausted.clone()));
        }
        assert!(keys.with(key("b", 2)).encrypt(&orders(), message()).is_ok());
    }
}
