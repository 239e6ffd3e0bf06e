//! End-to-end encryption of payloads.

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The header that says which key a payload is encrypted with.
pub const KEY_ID_HEADER: &str = "swarmmq-key-id";

/// A key of AES-256-GCM with its id.
#[derive(Clone)]
pub struct Key {
    id: String,
    bytes: [u8; KEY_BYTES],
}

impl Key {
    /// A key of 32 bytes from a good random source, and an id of 1 to 255 bytes that messages carry
    /// in the clear.
    #[must_use]
    pub fn new(id: impl Into<String>, bytes: [u8; KEY_BYTES]) -> Self {
        Self { id: id.into(), bytes }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = self.bytes;
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Keys by their ids. The newest encrypts, any decrypts.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// A ring with one key.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self(vec![key])
    }

    /// Adds a key, which is the newest from now on.
    #[must_use]
    pub fn with(mut self, key: Key) -> Self {
        self.0.push(key);
        self
    }
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
    /// The key ring is empty.
    #[error("there is no key in the key ring")]
    NoKey,
}
