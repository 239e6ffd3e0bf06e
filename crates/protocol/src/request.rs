//! What any client, by whatever socket it came, can ask a node for.

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::id::{ProducerStamp, Receipt};
use crate::limits::{BATCH_MAX, EXPLANATION_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX};
use crate::message::EncodedMessage;
use crate::name::{DestinationName, GroupName};
use crate::service::{Instance, InstanceKey, Watch};
use crate::settings::{DestinationSettings, GroupSettings, Position};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Store messages.
    Put(Put),
    /// Lease messages once.
    Pull(Pull),
    /// Be sent messages as they come, by credit.
    Subscribe(Subscribe),
    /// End a subscription; messages leased by it and not settled become ready again.
    Unsubscribe {
        /// The correlation id of the [`Request::Subscribe`].
        subscription: u64,
    },
    /// Say what became of delivered messages.
    Settle(Settle),
    /// Make a destination, or find it made with the same settings.
    CreateDestination {
        /// Its name.
        destination: DestinationName,
        /// Its settings.
        settings: DestinationSettings,
    },
    /// Change a destination's settings; its kind stays.
    UpdateDestination {
        /// Its name.
        destination: DestinationName,
        /// Its settings from now on.
        settings: DestinationSettings,
    },
    /// Remove a destination with all it holds.
    DeleteDestination {
        /// Its name.
        destination: DestinationName,
    },
    /// Remove the messages of a destination and keep it.
    PurgeDestination {
        /// Its name.
        destination: DestinationName,
    },
    /// Describe a destination.
    DescribeDestination {
        /// Its name.
        destination: DestinationName,
    },
    /// List destinations in the order of their names.
    ListDestinations {
        /// Only those whose names begin with this.
        prefix: String,
        /// Only those behind this name.
        after: Option<DestinationName>,
        /// At most so many.
        limit: u32,
    },
    /// Make a group, or find it made with the same settings.
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
    /// Remove a group.
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
    /// Set a group back or forward.
    ResetGroup {
        /// Of which destination.
        destination: DestinationName,
        /// Its name.
        group: GroupName,
        /// To where.
        to: Position,
    },
    /// Register an instance of a service, or say again that it lives.
    Announce(Instance),
    /// Take an instance out before its lease ends. One that is not there is as good as taken out.
    Withdraw(InstanceKey),
    /// Tell what is registered, or what has changed since.
    Watch(Watch),
}

/// Store messages in a destination, all or none but those refused one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub destination: DestinationName,
    /// Who retries it, for exactly-once production.
    pub stamp: Option<ProducerStamp>,
    /// Store only if this is the destination's last sequence (0: it never held a message).
    pub expected_last: Option<u64>,
    /// 1 to 4,096 messages, stored in this order.
    pub messages: Vec<EncodedMessage>,
}

/// Lease up to `messages_max` messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// From where.
    pub destination: DestinationName,
    /// For which group.
    pub group: GroupName,
    /// At most so many, 1 to 4,096.
    pub messages_max: u32,
    /// Wait so long for the first one, ms. 0: do not wait.
    pub wait_ms: u32,
    /// Time to settle them, ms. 0: the group's.
    pub lease_ms: u32,
}

/// Be sent messages. The subscription's id is the correlation id of this request; deliveries carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// From where.
    pub destination: DestinationName,
    /// For which group.
    pub group: GroupName,
    /// How many messages may be sent before more credit is given. Sent messages use credit up; only a
    /// `Credit` frame gives it back.
    pub credit: u32,
    /// Time to settle each, ms. 0: the group's.
    pub lease_ms: u32,
}

/// What became of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Where they came from.
    pub destination: DestinationName,
    /// By which group.
    pub group: GroupName,
    /// What became of them.
    pub verdict: Verdict,
    /// Which: 1 to 4,096 receipts.
    pub receipts: Vec<Receipt>,
}

/// What a consumer says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It could not be done now: deliver it again, after a delay.
    Nack {
        /// ms. 0: at once.
        delay_ms: u64,
    },
    /// It takes longer: the lease ends so long from now.
    Extend {
        /// ms. 0: the group's lease time.
        lease_ms: u64,
    },
    /// It will never be done: it is a dead letter.
    Reject {
        /// Why, at most 1 KiB; the dead letter carries it.
        reason: String,
    },
}

impl Request {
    /// The destination the request is about, which decides the shard.
    #[must_use]
    pub fn destination(&self) -> Option<&DestinationName> {
        match self {
            Self::Put(Put { destination, .. })
            | Self::Pull(Pull { destination, .. })
            | Self::Subscribe(Subscribe { destination, .. })
            | Self::Settle(Settle { destination, .. })
            | Self::CreateDestination { destination, .. }
            | Self::UpdateDestination { destination, .. }
            | Self::DeleteDestination { destination }
            | Self::PurgeDestination { destination }
            | Self::DescribeDestination { destination }
            | Self::CreateGroup { destination, .. }
            | Self::UpdateGroup { destination, .. }
            | Self::DeleteGroup { destination, .. }
            | Self::PauseGroup { destination, .. }
            | Self::ResetGroup { destination, .. } => Some(destination),
            Self::Unsubscribe { .. }
            | Self::ListDestinations { .. }
            | Self::Announce(_)
            | Self::Withdraw(_)
            | Self::Watch(_) => None,
        }
    }
}

impl Encode for Verdict {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Ack => out.put_u8(1),
            Self::Nack { delay_ms } => {
                out.put_u8(2);
                out.put_u64(*delay_ms);
            }
            Self::Extend { lease_ms } => {
                out.put_u8(3);
                out.put_u64(*lease_ms);
            }
            Self::Reject { reason } => {
                out.put_u8(4);
                codec::put_short_bytes(out, reason.as_bytes());
            }
        }
    }
}

impl Decode for Verdict {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8("verdict")? {
            1 => Ok(Self::Ack),
            2 => Ok(Self::Nack { delay_ms: reader.u64("delay")? }),
            3 => Ok(Self::Extend { lease_ms: reader.u64("lease time")? }),
            4 => Ok(Self::Reject { reason: reader.string("reason", EXPLANATION_BYTES_MAX)? }),
            other => Err(reader.unknown("verdict", 1, u64::from(other))),
        }
    }
}

/// Reads a list that must not be empty.
fn some<T>(field: &'static str, items: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if items.is_empty() {
        return Err(DecodeError::Invalid { field, reason: "there must be at least one".into() });
    }
    Ok(items)
}

/// Appends messages as a counted list of length-prefixed encodings.
pub fn put_messages(out: &mut BytesMut, messages: &[EncodedMessage]) {
    codec::put_list(out, messages, |out, message| codec::put_long_bytes(out, message.as_bytes()));
}

impl Encode for Put {
    fn encode(&self, out: &mut BytesMut) {
        self.destination.encode(out);
        codec::put_option(out, self.stamp.as_ref(), |out, stamp| stamp.encode(out));
        codec::put_option(out, self.expected_last.as_ref(), |out, last| out.put_u64(*last));
        put_messages(out, &self.messages);
    }
}

impl Decode for Put {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            destination: DestinationName::decode(reader)?,
            stamp: reader.option("producer stamp", ProducerStamp::decode)?,
            expected_last: reader
                .option("expected last sequence", |reader| reader.u64("expected last sequence"))?,
            messages: some(
                "messages",
                reader.list("messages", BATCH_MAX, 24, |reader| {
                    EncodedMessage::new(reader.long_bytes("message", MESSAGE_BYTES_MAX)?)
                })?,
            )?,
        })
    }
}

impl Encode for Settle {
    fn encode(&self, out: &mut BytesMut) {
        self.destination.encode(out);
        self.group.encode(out);
        self.verdict.encode(out);
        codec::put_list(out, &self.receipts, |out, receipt| receipt.encode(out));
    }
}

impl Decode for Settle {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            destination: DestinationName::decode(reader)?,
            group: GroupName::decode(reader)?,
            verdict: Verdict::decode(reader)?,
            receipts: some("receipts", reader.list("receipts", BATCH_MAX, Receipt::BYTES, Receipt::decode)?)?,
        })
    }
}

pub(crate) const PUT: u8 = 1;
const PULL: u8 = 2;
const SUBSCRIBE: u8 = 3;
const UNSUBSCRIBE: u8 = 4;
const SETTLE: u8 = 5;
const CREATE_DESTINATION: u8 = 16;
const UPDATE_DESTINATION: u8 = 17;
const DELETE_DESTINATION: u8 = 18;
const PURGE_DESTINATION: u8 = 19;
const DESCRIBE_DESTINATION: u8 = 20;
const LIST_DESTINATIONS: u8 = 21;
const CREATE_GROUP: u8 = 32;
const UPDATE_GROUP: u8 = 33;
const DELETE_GROUP: u8 = 34;
const PAUSE_GROUP: u8 = 35;
const RESET_GROUP: u8 = 36;
const ANNOUNCE: u8 = 48;
const WITHDRAW: u8 = 49;
const WATCH: u8 = 50;

impl Encode for Request {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Put(put) => {
                out.put_u8(PUT);
                put.encode(out);
            }
            Self::Pull(pull) => {
                out.put_u8(PULL);
                pull.destination.encode(out);
                pull.group.encode(out);
                out.put_u32(pull.messages_max);
                out.put_u32(pull.wait_ms);
                out.put_u32(pull.lease_ms);
            }
            Self::Subscribe(subscribe) => {
                out.put_u8(SUBSCRIBE);
                subscribe.destination.encode(out);
                subscribe.group.encode(out);
                out.put_u32(subscribe.credit);
                out.put_u32(subscribe.lease_ms);
            }
            Self::Unsubscribe { subscription } => {
                out.put_u8(UNSUBSCRIBE);
                out.put_u64(*subscription);
            }
            Self::Settle(settle) => {
                out.put_u8(SETTLE);
                settle.encode(out);
            }
            Self::CreateDestination { destination, settings } => {
                out.put_u8(CREATE_DESTINATION);
                destination.encode(out);
                settings.encode(out);
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
            Self::DescribeDestination { destination } => {
                out.put_u8(DESCRIBE_DESTINATION);
                destination.encode(out);
            }
            Self::ListDestinations { prefix, after, limit } => {
                out.put_u8(LIST_DESTINATIONS);
                codec::put_short_bytes(out, prefix.as_bytes());
                codec::put_option(out, after.as_ref(), |out, name| name.encode(out));
                out.put_u32(*limit);
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
            Self::Announce(instance) => {
                out.put_u8(ANNOUNCE);
                instance.encode(out);
            }
            Self::Withdraw(key) => {
                out.put_u8(WITHDRAW);
                key.encode(out);
            }
            Self::Watch(watch) => {
                out.put_u8(WATCH);
                watch.encode(out);
            }
        }
    }
}

impl Decode for Request {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("request")? {
            PUT => Self::Put(Put::decode(reader)?),
            PULL => Self::Pull(Pull {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                messages_max: bounded(reader, "messages_max", BATCH_MAX)?,
                wait_ms: reader.u32("wait")?,
                lease_ms: reader.u32("lease time")?,
            }),
            SUBSCRIBE => Self::Subscribe(Subscribe {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                credit: reader.u32("credit")?,
                lease_ms: reader.u32("lease time")?,
            }),
            UNSUBSCRIBE => Self::Unsubscribe { subscription: reader.u64("subscription")? },
            SETTLE => Self::Settle(Settle::decode(reader)?),
            CREATE_DESTINATION => Self::CreateDestination {
                destination: DestinationName::decode(reader)?,
                settings: DestinationSettings::decode(reader)?,
            },
            UPDATE_DESTINATION => Self::UpdateDestination {
                destination: DestinationName::decode(reader)?,
                settings: DestinationSettings::decode(reader)?,
            },
            DELETE_DESTINATION => Self::DeleteDestination { destination: DestinationName::decode(reader)? },
            PURGE_DESTINATION => Self::PurgeDestination { destination: DestinationName::decode(reader)? },
            DESCRIBE_DESTINATION => {
                Self::DescribeDestination { destination: DestinationName::decode(reader)? }
            }
            LIST_DESTINATIONS => Self::ListDestinations {
                prefix: reader.string("prefix", NAME_BYTES_MAX)?,
                after: reader.option("after", DestinationName::decode)?,
                limit: reader.u32("limit")?,
            },
            CREATE_GROUP => Self::CreateGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                settings: GroupSettings::decode(reader)?,
            },
            UPDATE_GROUP => Self::UpdateGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                settings: GroupSettings::decode(reader)?,
            },
            DELETE_GROUP => Self::DeleteGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
            },
            PAUSE_GROUP => Self::PauseGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                paused: reader.bool("paused")?,
            },
            RESET_GROUP => Self::ResetGroup {
                destination: DestinationName::decode(reader)?,
                group: GroupName::decode(reader)?,
                to: Position::decode(reader)?,
            },
            ANNOUNCE => Self::Announce(Instance::decode(reader)?),
            WITHDRAW => Self::Withdraw(InstanceKey::decode(reader)?),
            WATCH => Self::Watch(Watch::decode(reader)?),
            other => return Err(reader.unknown("request", 1, u64::from(other))),
        })
    }
}

fn bounded(reader: &mut Reader, field: &'static str, limit: usize) -> Result<u32, DecodeError> {
    let offset = reader.offset();
    let value = reader.u32(field)?;
    match value as usize {
        0 => Err(DecodeError::Invalid { field, reason: "it must be at least 1".into() }),
        actual if actual > limit => Err(DecodeError::TooLarge { field, offset, actual, limit }),
        _ => Ok(value),
    }
}
