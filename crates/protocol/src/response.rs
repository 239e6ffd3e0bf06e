//! What a node answers and delivers.

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::error::{ErrorCode, ErrorReply};
use crate::id::{Receipt, Sequence};
use crate::info::DestinationInfo;
use crate::limits::{BATCH_MAX, MESSAGE_BYTES_MAX, PAGE_MAX};
use crate::message::EncodedMessage;
use crate::service::ServicesReply;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// It was refused or failed.
    Error(ErrorReply),
    /// It is done, and there is no more to say.
    Done {
        /// The shard's log index that did it.
        index: u64,
    },
    /// What became of a put. Synced on a majority.
    Put(PutReply),
    /// Leased messages; none where the wait ended.
    Messages(Vec<Delivery>),
    /// The subscription stands.
    Subscribed,
    /// What became of a settlement, receipt by receipt.
    Settled(SettleReply),
    /// A destination.
    Destination(Box<DestinationInfo>),
    /// Destinations, in the order of their names.
    Destinations(Vec<DestinationInfo>),
    /// What a registry knows, or what is new.
    Services(ServicesReply),
}

/// What became of the messages of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReply {
    /// The shard's log index that stored them.
    pub index: u64,
    /// Runs of messages with one outcome, in the order of the put.
    pub runs: Vec<PutRun>,
}

/// The outcome of some messages of a put that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutRun {
    /// How many.
    pub count: u32,
    /// What became of them.
    pub outcome: PutOutcome,
}

/// What became of a message that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutOutcome {
    /// Stored; the first of the run has this sequence, the others follow.
    Stored(Sequence),
    /// It was there already, stored by an earlier put under this sequence; the others follow.
    Duplicate(Sequence),
    /// Refused.
    Refused(ErrorCode),
}

impl PutReply {
    /// The outcome of each message, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = PutOutcome> + '_ {
        self.runs.iter().flat_map(|run| {
            (0..u64::from(run.count)).map(move |nth| match run.outcome {
                PutOutcome::Stored(first) => PutOutcome::Stored(Sequence(first.0.saturating_add(nth))),
                PutOutcome::Duplicate(first) => PutOutcome::Duplicate(Sequence(first.0.saturating_add(nth))),
                PutOutcome::Refused(code) => PutOutcome::Refused(code),
            })
        })
    }

    /// Adds an outcome behind the others, joining it to the last run where it goes on with it.
    pub fn push(&mut self, outcome: PutOutcome) {
        if let Some(last) = self.runs.last_mut() {
            let nth = u64::from(last.count);
            let goes_on = match (last.outcome, outcome) {
                (PutOutcome::Stored(first), PutOutcome::Stored(next))
                | (PutOutcome::Duplicate(first), PutOutcome::Duplicate(next)) => {
                    first.0.checked_add(nth) == Some(next.0)
                }
                (PutOutcome::Refused(a), PutOutcome::Refused(b)) => a == b,
                _ => false,
            };
            if goes_on {
                last.count += 1;
                return;
            }
        }
        self.runs.push(PutRun { count: 1, outcome });
    }
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleReply {
    /// The shard's log index that did it; 0 where no entry was needed.
    pub index: u64,
    /// One outcome for each receipt, in their order.
    pub outcomes: Vec<SettleOutcome>,
}

/// What became of one receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleOutcome {
    /// Done.
    Done,
    /// The message was settled before: nothing changed. An acknowledgement sent twice ends here.
    AlreadySettled,
    /// The message was leased again since: this receipt says nothing any more, nothing changed.
    Stale,
    /// The group never had this message.
    Unknown,
}

/// A message on its way to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What to settle it with.
    pub receipt: Receipt,
    /// Which delivery of the message this is, from 1.
    pub attempt: u32,
    /// When it was stored, ms since 1970.
    pub stored_ms: u64,
    /// The message.
    pub message: EncodedMessage,
}

impl Encode for Delivery {
    fn encode(&self, out: &mut BytesMut) {
        self.receipt.encode(out);
        out.put_u32(self.attempt);
        out.put_u64(self.stored_ms);
        codec::put_long_bytes(out, self.message.as_bytes());
    }
}

impl Delivery {
    /// Bytes of a delivery beyond its message.
    pub const OVERHEAD_BYTES: usize = Receipt::BYTES + 4 + 8 + 4;
}

impl Decode for Delivery {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            receipt: Receipt::decode(reader)?,
            attempt: reader.u32("attempt")?,
            stored_ms: reader.u64("time of storing")?,
            message: EncodedMessage::new(reader.long_bytes("message", MESSAGE_BYTES_MAX)?)?,
        })
    }
}

/// Appends a counted list of deliveries.
pub fn put_deliveries(out: &mut BytesMut, deliveries: &[Delivery]) {
    codec::put_list(out, deliveries, |out, delivery| delivery.encode(out));
}

/// Reads a counted list of deliveries.
///
/// # Errors
/// [`DecodeError`].
pub fn read_deliveries(reader: &mut Reader) -> Result<Vec<Delivery>, DecodeError> {
    reader.list("deliveries", BATCH_MAX, Delivery::OVERHEAD_BYTES, Delivery::decode)
}

impl Encode for PutReply {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.index);
        codec::put_list(out, &self.runs, |out, run| {
            out.put_u32(run.count);
            match run.outcome {
                PutOutcome::Stored(first) => {
                    out.put_u8(1);
                    out.put_u64(first.0);
                }
                PutOutcome::Duplicate(first) => {
                    out.put_u8(2);
                    out.put_u64(first.0);
                }
                PutOutcome::Refused(code) => {
                    out.put_u8(3);
                    code.encode(out);
                }
            }
        });
    }
}

impl Decode for PutReply {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let index = reader.u64("log index")?;
        let mut left = BATCH_MAX;
        let runs = reader.list("runs", BATCH_MAX, 7, |reader| {
            let offset = reader.offset();
            let count = reader.u32("messages in run")?;
            left = left.checked_sub(count as usize).ok_or(DecodeError::TooLarge {
                field: "messages in run",
                offset,
                actual: count as usize,
                limit: left,
            })?;
            let outcome = match reader.u8("put outcome")? {
                1 => PutOutcome::Stored(Sequence(reader.u64("sequence")?)),
                2 => PutOutcome::Duplicate(Sequence(reader.u64("sequence")?)),
                3 => PutOutcome::Refused(ErrorCode::decode(reader)?),
                other => return Err(reader.unknown("put outcome", 1, u64::from(other))),
            };
            Ok(PutRun { count, outcome })
        })?;
        Ok(Self { index, runs })
    }
}

impl Encode for SettleReply {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.index);
        codec::put_list(out, &self.outcomes, |out, outcome| {
            out.put_u8(match outcome {
                SettleOutcome::Done => 1,
                SettleOutcome::AlreadySettled => 2,
                SettleOutcome::Stale => 3,
                SettleOutcome::Unknown => 4,
            });
        });
    }
}

impl Decode for SettleReply {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            index: reader.u64("log index")?,
            outcomes: reader.list("outcomes", BATCH_MAX, 1, |reader| {
                match reader.u8("settle outcome")? {
                    1 => Ok(SettleOutcome::Done),
                    2 => Ok(SettleOutcome::AlreadySettled),
                    3 => Ok(SettleOutcome::Stale),
                    4 => Ok(SettleOutcome::Unknown),
                    other => Err(reader.unknown("settle outcome", 1, u64::from(other))),
                }
            })?,
        })
    }
}

impl Encode for Response {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Error(error) => {
                out.put_u8(0);
                error.encode(out);
            }
            Self::Done { index } => {
                out.put_u8(1);
                out.put_u64(*index);
            }
            Self::Put(reply) => {
                out.put_u8(2);
                reply.encode(out);
            }
            Self::Messages(deliveries) => {
                out.put_u8(3);
                put_deliveries(out, deliveries);
            }
            Self::Subscribed => out.put_u8(4),
            Self::Settled(reply) => {
                out.put_u8(5);
                reply.encode(out);
            }
            Self::Destination(info) => {
                out.put_u8(6);
                info.encode(out);
            }
            Self::Destinations(infos) => {
                out.put_u8(7);
                codec::put_list(out, infos, |out, info| info.encode(out));
            }
            Self::Services(reply) => {
                out.put_u8(8);
                reply.encode(out);
            }
        }
    }
}

impl Decode for Response {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("response")? {
            0 => Self::Error(ErrorReply::decode(reader)?),
            1 => Self::Done { index: reader.u64("log index")? },
            2 => Self::Put(PutReply::decode(reader)?),
            3 => Self::Messages(read_deliveries(reader)?),
            4 => Self::Subscribed,
            5 => Self::Settled(SettleReply::decode(reader)?),
            6 => Self::Destination(Box::new(DestinationInfo::decode(reader)?)),
            7 => Self::Destinations(reader.list("destinations", PAGE_MAX, 32, DestinationInfo::decode)?),
            8 => Self::Services(ServicesReply::decode(reader)?),
            other => return Err(reader.unknown("response", 1, u64::from(other))),
        })
    }
}

impl From<ErrorReply> for Response {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}
