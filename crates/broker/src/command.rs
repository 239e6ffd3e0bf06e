//! What is replicated: the commands that change a shard, and their encoding, version 1.
//!
//! A command is a tag of one byte and a body; the protocol's own types stand in it in their own
//! encoding. All integers are big-endian. The tags of version 1 never change their meaning; a tag
//! that is not known refuses the whole entry, since a replica that skipped it would diverge.

use bytes::{BufMut, BytesMut};
use swarmmq_protocol::codec::{self, Decode, DecodeError, Encode, Reader};
use swarmmq_protocol::limits::{BATCH_MAX, MESSAGE_BYTES_MAX};
use swarmmq_protocol::message::Summary;
use swarmmq_protocol::request::{Put, Verdict};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{DestinationName, EncodedMessage, GroupName, ProducerStamp};

use crate::auto_create::AutoCreate;

/// Most destinations that one [`Command::Tick`] names.
pub const TICK_DESTINATIONS_MAX: usize = 256;

/// A change of a shard's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Store messages.
    Put {
        /// What to store, and where.
        put: Put,
        /// With what settings to make the destination where there is none. `None`: it is not made. A leader
        /// that has the destination leaves this out, so that not every put carries it through the log.
        auto_create: Option<AutoCreate>,
    },
    /// Settle messages as a consumer said. Made by [`Shard::settle`](crate::Shard::settle).
    Settle {
        /// Where they came from.
        destination: DestinationName,
        /// By which group.
        group: GroupName,
        /// Which incarnation of the group they were leased from: one more after each reset.
        generation: u64,
        /// What became of them; never `Extend`, which needs no command.
        verdict: Verdict,
        /// Which, in the order in which they are answered. At most 4,096.
        runs: Vec<SequenceRun>,
    },
    /// Leases ended without a word of their consumer: count the delivery and make them ready again.
    /// Made by [`Shard::due`](crate::Shard::due) and
    /// [`Shard::release_consumer`](crate::Shard::release_consumer).
    Expire {
        /// Where they came from.
        destination: DestinationName,
        /// By which group.
        group: GroupName,
        /// Which incarnation of the group they were leased from.
        generation: u64,
        /// Whether the group's redelivery delay is left out, because the consumer went away.
        at_once: bool,
        /// Which. At most 4,096.
        runs: Vec<SequenceRun>,
    },
    /// Make a destination, or find it made with the same settings; the group of one that is there stays as it is.
    CreateDestination {
        /// Its name.
        destination: DestinationName,
        /// Its settings.
        settings: DestinationSettings,
        /// The settings of the one group of a queue; a stream begins without groups and does not use them.
        group: GroupSettings,
    },
    /// Change a destination's settings; its kind stays.
    UpdateDestination {
        /// Its name.
        destination: DestinationName,
        /// Its settings from now on.
        settings: DestinationSettings,
    },
    /// Remove a destination with all it holds; its sequences are forgotten.
    DeleteDestination {
        /// Its name.
        destination: DestinationName,
    },
    /// Remove the messages of a destination; sequences go on where they were.
    PurgeDestination {
        /// Its name.
        destination: DestinationName,
    },
    /// Make a group of a stream, or find it made with the same settings.
    CreateGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
        /// Its settings.
        settings: GroupSettings,
    },
    /// Change a group's settings; where it stands is kept.
    UpdateGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
        /// Its settings from now on.
        settings: GroupSettings,
    },
    /// Remove a group of a stream.
    DeleteGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
    },
    /// Stop or go on delivering to a group.
    PauseGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
        /// Whether to stop.
        paused: bool,
    },
    /// Set a group back or forward. Its leases are void.
    ResetGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
        /// To where.
        to: Position,
    },
    /// Time has passed: do what is due at these destinations. Made by [`Shard::due`](crate::Shard::due).
    Tick {
        /// Which. At most [`TICK_DESTINATIONS_MAX`].
        destinations: Vec<DestinationName>,
    },
    /// Dead letters have arrived at their target.
    OutboxDone {
        /// The target.
        target: DestinationName,
        /// The incarnation of the session they were sent in; of another one, nothing happens.
        epoch: u32,
        /// All up to this sequence of the session are done …
        through: u64,
        /// … but these, which the target refused for now: they get new sequences behind the others.
        again: Vec<u64>,
    },
    /// The target does not know the outbox's producer session any more (it was made anew, or the
    /// session expired): what is left is numbered from 1 again in a new epoch.
    OutboxRestart {
        /// The target.
        target: DestinationName,
        /// The epoch that the target did not know; of another one, nothing happens.
        epoch: u32,
    },
}

/// Messages that follow each other and were delivered equally often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRun {
    /// Sequence of the first.
    pub first: u64,
    /// How many, at least 1.
    pub count: u32,
    /// How many deliveries of each had failed when it was leased. A negative acknowledgement or an
    /// expiry counts only where that is still so, which makes each of them happen once.
    pub attempts: u32,
}

impl SequenceRun {
    /// Adds a message behind `runs`, joining it to the last run where it goes on with it.
    pub fn push(runs: &mut Vec<Self>, sequence: u64, attempts: u32) {
        if let Some(last) = runs.last_mut()
            && last.attempts == attempts
            && last.first.checked_add(u64::from(last.count)) == Some(sequence)
        {
            last.count += 1;
            return;
        }
        runs.push(Self { first: sequence, count: 1, attempts });
    }

    /// Each message of `runs` with its attempts, in order.
    pub fn each(runs: &[Self]) -> impl Iterator<Item = (u64, u32)> + '_ {
        runs.iter().flat_map(|run| {
            (0..u64::from(run.count)).map(|nth| (run.first.saturating_add(nth), run.attempts))
        })
    }

    /// How many messages `runs` name.
    #[must_use]
    pub fn count(runs: &[Self]) -> usize {
        runs.iter().map(|run| run.count as usize).sum()
    }
}

const PUT: u8 = 1;
const SETTLE: u8 = 2;
const EXPIRE: u8 = 3;
const CREATE_DESTINATION: u8 = 16;
const UPDATE_DESTINATION: u8 = 17;
const DELETE_DESTINATION: u8 = 18;
const PURGE_DESTINATION: u8 = 19;
const CREATE_GROUP: u8 = 32;
const UPDATE_GROUP: u8 = 33;
const DELETE_GROUP: u8 = 34;
const PAUSE_GROUP: u8 = 35;
const RESET_GROUP: u8 = 36;
const TICK: u8 = 48;
const OUTBOX_DONE: u8 = 49;
const OUTBOX_RESTART: u8 = 50;

/// Bytes of an encoded [`SequenceRun`].
const RUN_BYTES: usize = 16;

/// A command as it stands in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The command. Its messages are slices of the entry.
    pub command: Command,
    /// With a put: of each message, where in the entry it begins, and what the broker reads of it.
    pub messages: Vec<PlacedMessage>,
}

/// A message of a put as it stands in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedMessage {
    /// Where in the entry its encoding begins.
    pub offset: u32,
    /// How long it is.
    pub length: u32,
    /// What the broker reads of it.
    pub summary: Summary,
}

impl Encode for Command {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Put { put, auto_create } => encode_put(out, put, auto_create.as_ref()),
            Self::Settle { destination, group, generation, verdict, runs } => {
                out.put_u8(SETTLE);
                destination.encode(out);
                group.encode(out);
                out.put_u64(*generation);
                verdict.encode(out);
                encode_runs(out, runs);
            }
            Self::Expire { destination, group, generation, at_once, runs } => {
                out.put_u8(EXPIRE);
                destination.encode(out);
                group.encode(out);
                out.put_u64(*generation);
                out.put_u8(u8::from(*at_once));
                encode_runs(out, runs);
            }
            Self::CreateDestination { destination, settings, group } => {
                out.put_u8(CREATE_DESTINATION);
                destination.encode(out);
                settings.encode(out);
                group.encode(out);
            }
            Self::UpdateDestination { destination, settings } => {
                out.put_u8(UPDATE_DESTINATION);
                destination.encode(out);
                settings.encode(out);
            }
            Self::DeleteDestination { destination } => {
                out.put_u8(DELETE_DESTINATION);
                destination.encode(out);
            }
            Self::PurgeDestination { destination } => {
                out.put_u8(PURGE_DESTINATION);
                destination.encode(out);
            }
            Self::CreateGroup { destination, group, settings } => {
                out.put_u8(CREATE_GROUP);
                destination.encode(out);
                group.encode(out);
                settings.encode(out);
            }
            Self::UpdateGroup { destination, group, settings } => {
                out.put_u8(UPDATE_GROUP);
                destination.encode(out);
                group.encode(out);
                settings.encode(out);
            }
            Self::DeleteGroup { destination, group } => {
                out.put_u8(DELETE_GROUP);
                destination.encode(out);
                group.encode(out);
            }
            Self::PauseGroup { destination, group, paused } => {
                out.put_u8(PAUSE_GROUP);
                destination.encode(out);
                group.encode(out);
                out.put_u8(u8::from(*paused));
            }
            Self::ResetGroup { destination, group, to } => {
                out.put_u8(RESET_GROUP);
                destination.encode(out);
                group.encode(out);
                to.encode(out);
            }
            Self::Tick { destinations } => {
                out.put_u8(TICK);
                codec::put_list(out, destinations, |out, name| name.encode(out));
            }
            Self::OutboxDone { target, epoch, through, again } => {
                out.put_u8(OUTBOX_DONE);
                target.encode(out);
                out.put_u32(*epoch);
                out.put_u64(*through);
                codec::put_list(out, again, |out, sequence| out.put_u64(*sequence));
            }
            Self::OutboxRestart { target, epoch } => {
                out.put_u8(OUTBOX_RESTART);
                target.encode(out);
                out.put_u32(*epoch);
            }
        }
    }
}

/// Appends a [`Command::Put`] without taking the parts over.
pub(crate) fn encode_put(out: &mut BytesMut, put: &Put, auto_create: Option<&AutoCreate>) {
    out.put_u8(PUT);
    codec::put_option(out, auto_create, |out, auto| auto.encode(out));
    put.encode(out);
}

fn encode_runs(out: &mut BytesMut, runs: &[SequenceRun]) {
    codec::put_list(out, runs, |out, run| {
        out.put_u64(run.first);
        out.put_u32(run.count);
        out.put_u32(run.attempts);
    });
}

fn decode_runs(reader: &mut Reader) -> Result<Vec<SequenceRun>, DecodeError> {
    let mut left = BATCH_MAX;
    reader.list("runs", BATCH_MAX, RUN_BYTES, |reader| {
        let first = reader.u64("first sequence")?;
        let offset = reader.offset();
        let count = reader.u32("messages in run")?;
        left = match left.checked_sub(count as usize) {
            Some(left) if count > 0 => left,
            _ => {
                return Err(DecodeError::TooLarge {
                    field: "messages in run",
                    offset,
                    actual: count as usize,
                    limit: left,
                });
            }
        };
        Ok(SequenceRun { first, count, attempts: reader.u32("attempts")? })
    })
}

/// A place in an entry, which is at most 4 GiB long.
fn in_entry(at: usize) -> Result<u32, DecodeError> {
    let limit = u32::MAX as usize;
    u32::try_from(at).map_err(|_| DecodeError::TooLarge { field: "entry", offset: at, actual: at, limit })
}

impl Placed {
    fn plain(command: Command) -> Self {
        Self { command, messages: Vec::new() }
    }

    /// Reads the put that stands behind its tag, and where its messages are.
    fn decode_put(reader: &mut Reader) -> Result<Self, DecodeError> {
        let auto_create = reader.option("auto-create", AutoCreate::decode)?;
        let destination = DestinationName::decode(reader)?;
        let stamp = reader.option("producer stamp", ProducerStamp::decode)?;
        let expected_last =
            reader.option("expected last sequence", |reader| reader.u64("expected last sequence"))?;
        let count = reader.count("messages", BATCH_MAX, 24)?;
        let (mut placed, mut messages) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let bytes = reader.long_bytes("message", MESSAGE_BYTES_MAX)?;
            let offset = reader.offset() - bytes.len();
            // The edge has checked the whole message; here only what is read must hold.
            let message = EncodedMessage::from_checked(bytes);
            placed.push(PlacedMessage {
                offset: in_entry(offset)?,
                length: in_entry(message.len())?,
                summary: message.summary()?,
            });
            messages.push(message);
        }
        if messages.is_empty() {
            return Err(DecodeError::Invalid {
                field: "messages",
                reason: "there must be at least one".into(),
            });
        }
        let put = Put { destination, stamp, expected_last, messages };
        Ok(Self { command: Command::Put { put, auto_create }, messages: placed })
    }
}

impl Decode for Placed {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self::plain(match reader.u8("command")? {
            PUT => return Self::decode_put(reader),
            SETTLE => {
                let destination = DestinationName::decode(reader)?;
                let group = GroupName::decode(reader)?;
                let generation = reader.u64("generation")?;
                let verdict = Verdict::decode(reader)?;
                if matches!(verdict, Verdict::Extend { .. }) {
                    return Err(DecodeError::Invalid {
                        field: "verdict",
                        reason: "an extension is not replicated".into(),
                    });
                }
                Command::Settle { destination, group, generation, verdict, runs: decode_runs(reader)? }
            }
            EXPIRE => Command::Expire {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                generation: reader.u64("generation")?,
                at_once: reader.bool("at once")?,
                runs: decode_runs(reader)?,
            },
            CREATE_DESTINATION => Command::CreateDestination {
                destination: DestinationName::decode(reader)?,
                settings: DestinationSettings::decode(reader)?,
                group: GroupSettings::decode(reader)?,
            },
            UPDATE_DESTINATION => Command::UpdateDestination {
                destination: DestinationName::decode(reader)?,
                settings: DestinationSettings::decode(reader)?,
            },
            DELETE_DESTINATION => {
                Command::DeleteDestination { destination: DestinationName::decode(reader)? }
            }
            PURGE_DESTINATION => Command::PurgeDestination { destination: DestinationName::decode(reader)? },
            CREATE_GROUP => Command::CreateGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                settings: GroupSettings::decode(reader)?,
            },
            UPDATE_GROUP => Command::UpdateGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                settings: GroupSettings::decode(reader)?,
            },
            DELETE_GROUP => Command::DeleteGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
            },
            PAUSE_GROUP => Command::PauseGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                paused: reader.bool("paused")?,
            },
            RESET_GROUP => Command::ResetGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                to: Position::decode(reader)?,
            },
            TICK => Command::Tick {
                destinations: reader.list(
                    "destinations",
                    TICK_DESTINATIONS_MAX,
                    3,
                    DestinationName::decode,
                )?,
            },
            OUTBOX_DONE => Command::OutboxDone {
                target: DestinationName::decode(reader)?,
                epoch: reader.u32("outbox epoch")?,
                through: reader.u64("outbox sequence")?,
                again: reader.list("refused", BATCH_MAX, 8, |reader| reader.u64("outbox sequence"))?,
            },
            OUTBOX_RESTART => Command::OutboxRestart {
                target: DestinationName::decode(reader)?,
                epoch: reader.u32("outbox epoch")?,
            },
            other => return Err(reader.unknown("command", 1, u64::from(other))),
        }))
    }
}
