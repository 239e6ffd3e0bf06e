//! An entry of the shard's log: what the leader stamped, and commands behind each other.
//!
//! ```text
//! 0         1        9             17
//! | version | now_ms | token bound | command … command |
//! ```
//!
//! `version` is 1. An entry may hold no command at all; it then only moves the time.

use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_protocol::codec::{Decode, DecodeError, Encode, Reader};
use swarmmq_protocol::request::Put;

use crate::auto_create::AutoCreate;
use crate::command::{Command, Placed, encode_put};

/// Version of the format that is written, and the only one that is read.
pub const ENTRY_VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;
/// Most commands of an entry that is read: no well-formed entry of a sane size has more, and the list
/// of outcomes stays bounded whatever the bytes say.
pub const COMMANDS_MAX: usize = 65_536;

/// Gathers commands into one entry. Each message is copied once, into the entry.
///
/// ```
/// # use swarmmq_broker::{Command, EntryBuilder, Shard, ShardLimits};
/// # use swarmmq_protocol::{DestinationName, settings::{DestinationSettings, GroupSettings}};
/// let mut shard = Shard::new(0, ShardLimits::default());
/// let mut entry = EntryBuilder::new(1_700_000_000_000, shard.token_bound());
/// entry.push(&Command::CreateDestination {
///     destination: DestinationName::new("orders").unwrap(),
///     settings: DestinationSettings::queue(),
///     group: GroupSettings::default(),
/// });
/// let applied = shard.apply(1, entry.finish()).unwrap();
/// assert_eq!(applied.outcomes.len(), 1);
/// ```
#[derive(Debug)]
pub struct EntryBuilder {
    bytes: BytesMut,
    commands: usize,
}

impl EntryBuilder {
    /// An entry made at `now_ms` (ms since 1970) by the leader, whose
    /// [`Shard::token_bound`](crate::Shard::token_bound) is `token_bound`.
    #[must_use]
    pub fn new(now_ms: u64, token_bound: u64) -> Self {
        let mut bytes = BytesMut::with_capacity(256);
        bytes.put_u8(ENTRY_VERSION);
        bytes.put_u64(now_ms);
        bytes.put_u64(token_bound);
        Self { bytes, commands: 0 }
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command) {
        command.encode(&mut self.bytes);
        self.commands += 1;
    }

    /// Adds a [`Command::Put`] from its parts.
    pub fn push_put(&mut self, put: &Put, auto_create: Option<&AutoCreate>) {
        let messages: usize = put.messages.iter().map(|message| message.len() + 4).sum();
        self.bytes.reserve(messages + 512);
        encode_put(&mut self.bytes, put, auto_create);
        self.commands += 1;
    }

    /// How many commands it holds. Never gather more than [`COMMANDS_MAX`].
    #[must_use]
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Whether it holds no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Its size in bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The entry's bytes.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// An entry, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the leader made it, ms since 1970.
    pub now_ms: u64,
    /// No lease token that the leader had given before is this or higher.
    pub token_bound: u64,
    /// Its commands, in order. Their messages are slices of the entry.
    pub commands: Vec<Placed>,
}

/// Reads an entry without copying its messages.
///
/// # Errors
/// [`DecodeError`] where the bytes are not an entry of version 1.
pub fn decode(entry: Bytes) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(entry);
    let version = reader.u8("entry version")?;
    if version != ENTRY_VERSION {
        return Err(reader.unknown("entry version", 1, u64::from(version)));
    }
    let now_ms = reader.u64("time")?;
    let token_bound = reader.u64("token bound")?;
    debug_assert_eq!(reader.offset(), HEADER_BYTES, "the header is what the module draws");
    let mut commands = Vec::new();
    while reader.left() > 0 {
        if commands.len() == COMMANDS_MAX {
            return Err(DecodeError::TooLarge {
                field: "commands",
                offset: reader.offset(),
                actual: COMMANDS_MAX + 1,
                limit: COMMANDS_MAX,
            });
        }
        commands.push(Placed::decode(&mut reader)?);
    }
    Ok(Entry { now_ms, token_bound, commands })
}
