//! Names of destinations, groups, services and their instances.

use std::fmt;
use std::sync::Arc;

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::NAME_BYTES_MAX;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A name has at least one character.
    #[error("a name must not be empty")]
    Empty,
    /// A name has at most [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that names do not have.
    #[error(
        "{character:?} at position {position} is not allowed in a name: use letters, digits, '.', '_', '-' and ':'"
    )]
    Character {
        /// The first one.
        character: char,
        /// Where it stands, counted in characters from 0.
        position: usize,
    },
    /// A name begins with a letter, a digit or an underscore.
    #[error("a name must begin with a letter, a digit or '_', not with {character:?}")]
    FirstCharacter {
        /// What it begins with.
        character: char,
    },
}

fn check(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { length: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if let Some((position, character)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(NameError::Character { character, position });
    }
    match text.chars().next() {
        None => Err(NameError::Empty),
        Some(c) if c.is_ascii_alphanumeric() || c == '_' => Ok(()),
        Some(character) => Err(NameError::FirstCharacter { character }),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 200 bytes: ASCII letters, digits, `.`, `_`, `-` and `:`, beginning with a letter, a
        /// digit or `_`. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it a name.
            ///
            /// # Errors
            /// [`NameError`] says which character is wrong and where.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut bytes::BytesMut) {
                codec::put_short_bytes(out, self.0.as_bytes());
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                let bytes = reader.short_bytes($field, NAME_BYTES_MAX)?;
                let text = std::str::from_utf8(&bytes)
                    .map_err(|error| DecodeError::Invalid { field: $field, reason: error.to_string() })?;
                Self::new(text).map_err(|error| DecodeError::Invalid { field: $field, reason: error.to_string() })
            }
        }
    };
}

name!(
    /// The name of a queue or stream.
    DestinationName,
    "destination name"
);
name!(
    /// The name of a consumer group of a destination.
    GroupName,
    "group name"
);

name!(
    /// What the instances of a service do, as `producer`.
    ServiceType,
    "service type"
);
name!(
    /// Which of the instances of a service.
    InstanceId,
    "instance id"
);

impl GroupName {
    /// The group that every queue has, and the one a consumer joins if it names none.
    #[must_use]
    pub fn default_group() -> Self {
        Self(Arc::from("default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_refused_with_its_position() {
        assert_eq!(
            DestinationName::new("orders/eu"),
            Err(NameError::Character { character: '/', position: 6 })
        );
    }

    #[test]
    fn names_are_bounded_and_not_empty() {
        assert_eq!(DestinationName::new(""), Err(NameError::Empty));
        assert!(DestinationName::new(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(
            DestinationName::new(&"x".repeat(NAME_BYTES_MAX + 1)),
            Err(NameError::TooLong { length: NAME_BYTES_MAX + 1 })
        );
        assert_eq!(DestinationName::new("..").unwrap_err(), NameError::FirstCharacter { character: '.' });
        assert!(DestinationName::new("test-queue").is_ok());
    }
}
