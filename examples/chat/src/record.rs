//! What histories are made of, and what tells one record from another.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lamport::CLOCK_MAX;
use crate::name::is_plausible;

/// Most bytes of the text that somebody writes.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of a timestamp.
const TIMESTAMP_BYTES_MAX: usize = 40;

/// Something that every server is to have. It is the map of a publication, and a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Record {
    /// Somebody wrote to a channel.
    Publish {
        /// The server that took it.
        origin: String,
        channel: String,
        user: String,
        message: String,
        /// When, by the server's clock: ISO 8601 with `Z`.
        timestamp: String,
        /// The server's Lamport clock.
        clock: u64,
    },
    /// Somebody wrote to a user.
    Message {
        /// The server that took it.
        origin: String,
        src: String,
        dst: String,
        message: String,
        timestamp: String,
        clock: u64,
    },
    /// There is a user of this name. Nobody's in particular: two servers may have taken the same name at once.
    User { user: String },
}

impl Record {
    /// Its Lamport clock. A user has none.
    pub(crate) fn clock(&self) -> u64 {
        match self {
            Self::Publish { clock, .. } | Self::Message { clock, .. } => *clock,
            Self::User { .. } => 0,
        }
    }

    /// What it is called on the wire.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Message { .. } => "message",
            Self::User { .. } => "user",
        }
    }

    /// Whether a server may take it over from another. It asks nothing but the record itself, so that all servers
    /// answer alike.
    pub(crate) fn is_sound(&self) -> bool {
        let (names, text, timestamp): ([&str; 3], &str, &str) = match self {
            Self::Publish { origin, channel, user, message, timestamp, .. } => {
                ([origin, channel, user], message, timestamp)
            }
            Self::Message { origin, src, dst, message, timestamp, .. } => {
                ([origin, src, dst], message, timestamp)
            }
            Self::User { user } => return is_plausible(user),
        };
        names.into_iter().all(is_plausible)
            && text.len() <= TEXT_BYTES_MAX
            && timestamp.len() <= TIMESTAMP_BYTES_MAX
            && (1..=CLOCK_MAX).contains(&self.clock())
    }

    /// Its line in a file, with the line's end. The same everywhere.
    pub(crate) fn line(&self) -> Vec<u8> {
        // A map of texts and numbers can always be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What tells a record from all others, and where it stands among them: by its clock, then by its content.
///
/// Servers that others wrote do not number what they take, and begin to count anew when they start anew; so a record is
/// itself its identity. The order is the same everywhere, and no record comes before one that it may be an answer to.
///
/// On the wire and in eight and sixteen bytes of hexadecimal digits, it sorts as it does here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) clock: u64,
    /// The first half of the SHA-256 of its line.
    pub(crate) content: u128,
}

impl Key {
    /// Below all others.
    pub(crate) const MIN: Self = Self { clock: 0, content: 0 };

    pub(crate) fn of(record: &Record) -> Self {
        let hash = digest(&SHA256, &record.line());
        let content = hash.as_ref().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        Self { clock: record.clock(), content }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:032x}", self.clock, self.content)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = |text: &str| {
            let digits = text.len() == 48 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let (clock, content) = text.split_at_checked(16).filter(|_| digits)?;
            Some(Self {
                clock: u64::from_str_radix(clock, 16).ok()?,
                content: u128::from_str_radix(content, 16).ok()?,
            })
        };
        read(&text).ok_or_else(|| D::Error::custom("a key has 48 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn publication() -> Record {
        Record::Publish {
            origin: "server-001".into(),
            channel: "general".into(),
            user: "ana".into(),
            message: "olá \"mundo\"\n".into(),
            timestamp: "2025-01-31T10:00:00.000Z".into(),
            clock: 7,
        }
    }

    #[test]
    fn a_record_is_one_line_and_comes_back_from_both_formats() {
        let record = publication();
        let line = record.line();
        assert_eq!(
            std::str::from_utf8(&line).unwrap(),
            "{\"type\":\"publish\",\"origin\":\"server-001\",\"channel\":\"general\",\"user\":\"ana\",\
             \"message\":\"olá \\\"mundo\\\"\\n\",\"timestamp\":\"2025-01-31T10:00:00.000Z\",\"clock\":7}\n"
        );
        assert_eq!(serde_json::from_slice::<Record>(&line).unwrap(), record);
        assert_eq!(wire::decode::<Record>(&wire::encode(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn keys_sort_by_clock_and_differ_by_content() {
        let key = Key::of(&publication());
        let mut other = publication();
        if let Record::Publish { message, .. } = &mut other {
            message.push('!');
        }
        assert_ne!(Key::of(&other), key);
        assert_eq!(Key::of(&publication()), key);
        if let Record::Publish { clock, .. } = &mut other {
            *clock = 8;
        }
        assert!(Key::of(&other) > key && Key::of(&other).to_string() > key.to_string());
        assert_eq!(wire::decode::<Key>(&wire::encode(&key).unwrap()).unwrap(), key);
        assert!(wire::decode::<Key>(&wire::encode(&"+".repeat(48)).unwrap()).is_err());
        assert!(wire::decode::<Key>(&wire::encode(&"é".repeat(24)).unwrap()).is_err());
    }

    #[test]
    fn what_is_too_long_or_has_no_clock_is_not_taken_over() {
        assert!(publication().is_sound());
        let change = |change: fn(&mut Record)| {
            let mut record = publication();
            change(&mut record);
            record.is_sound()
        };
        assert!(!change(|record| if let Record::Publish { clock, .. } = record {
            *clock = 0
        }));
        assert!(!change(|record| if let Record::Publish { clock, .. } = record {
            *clock = CLOCK_MAX + 1
        }));
        assert!(!change(|record| if let Record::Publish { user, .. } = record {
            user.clear()
        }));
        assert!(!change(|record| if let Record::Publish { message, .. } = record {
            *message = "x".repeat(TEXT_BYTES_MAX + 1);
        }));
        assert!(!change(|record| *record = Record::User { user: "a\0".into() }));
    }
}
