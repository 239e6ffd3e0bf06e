//! Reading a snapshot. Whatever the bytes are, the answer is a state that holds together, or an error.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use swarmmq_protocol::codec::{Decode, DecodeError, Reader};
use swarmmq_protocol::error::ErrorCode;
use swarmmq_protocol::limits::{EXPLANATION_BYTES_MAX, FIELD_BYTES_MAX, PRIORITY_MAX};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{DestinationName, GroupName};

use crate::dedup::ids::Remembered;
use crate::dedup::session::{Results, Session, SessionResult};
use crate::destination::{Counted, Destination};
use crate::group::{Attempts, Group};
use crate::limits::ShardLimits;
use crate::location::Location;
use crate::log::page::PAGE_SEQUENCES;
use crate::log::{Incoming, Log};
use crate::outbox::{Letter, Target};
use crate::shard::Shard;
use crate::snapshot::format::{Before, HAS_DELAY, HAS_EXPIRY, HAS_KEY, SNAPSHOT_VERSION};

/// No counter of a sane state comes near this, and arithmetic on it cannot overflow.
const NUMBER_MAX: u64 = u64::MAX / 4;

fn invalid(field: &'static str, reason: &str) -> DecodeError {
    DecodeError::Invalid { field, reason: reason.into() }
}

fn check(good: bool, field: &'static str, reason: &str) -> Result<(), DecodeError> {
    if good { Ok(()) } else { Err(invalid(field, reason)) }
}

/// Reads a count of items of at least `item_bytes_min` bytes, which must all be there.
fn count(reader: &mut Reader, field: &'static str, item_bytes_min: usize) -> Result<usize, DecodeError> {
    let offset = reader.offset();
    let actual = usize::try_from(reader.u64(field)?).unwrap_or(usize::MAX);
    let limit = reader.left() / item_bytes_min;
    if actual > limit {
        return Err(DecodeError::TooLarge { field, offset, actual, limit });
    }
    Ok(actual)
}

/// Reads a number that counts something.
fn number(reader: &mut Reader, field: &'static str) -> Result<u64, DecodeError> {
    let number = reader.u64(field)?;
    check(number <= NUMBER_MAX, field, "it is out of range")?;
    Ok(number)
}

pub(super) fn shard(chunks: &[Bytes]) -> Result<Shard, DecodeError> {
    let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        joined.extend_from_slice(chunk);
    }
    let mut reader = Reader::new(joined.freeze());
    let reader = &mut reader;
    let version = reader.u8("snapshot version")?;
    if version != SNAPSHOT_VERSION {
        return Err(reader.unknown("snapshot version", 1, u64::from(version)));
    }
    let mut shard = Shard::new(reader.u32("shard")?, ShardLimits::decode(reader)?);
    shard.applied = reader.u64("applied index")?;
    shard.now_ms = reader.u64("time")?;
    shard.next_generation = number(reader, "next generation")?;
    shard.outbox.next_epoch = reader.u32("next outbox epoch")?;
    for _ in 0..count(reader, "trash", 12)? {
        let (index, count) = (reader.u64("log index")?, reader.u32("messages")?);
        check(count > 0, "trash", "a run is empty")?;
        shard.trash.push_run(index, count);
        shard.held.hold_many(index, count);
    }
    for _ in 0..count(reader, "outbox targets", 23)? {
        let name = DestinationName::decode(reader)?;
        let target = target(reader)?;
        for letter in &target.letters {
            shard.held.hold(letter.location.index);
        }
        check(!shard.outbox.has(&name), "outbox targets", "one is named twice")?;
        shard.outbox.insert(name, target);
    }
    for _ in 0..count(reader, "destinations", 100)? {
        let destination = destination(reader, shard.applied, shard.now_ms)?;
        for (_, stored) in destination.log.iter() {
            shard.held.hold(stored.index);
        }
        let name = destination.name.clone();
        let again = shard.destinations.insert(name, destination).is_some();
        check(!again, "destinations", "one is named twice")?;
    }
    reader.finish()?;
    // All that is held is known to whoever has the snapshot.
    shard.held.take_changes();
    shard.reset_volatile(0);
    Ok(shard)
}

fn target(reader: &mut Reader) -> Result<Target, DecodeError> {
    let epoch = reader.u32("outbox epoch")?;
    let next = number(reader, "next outbox sequence")?;
    let mut letters = VecDeque::new();
    for _ in 0..count(reader, "letters", 36)? {
        letters.push_back(Letter {
            destination: DestinationName::decode(reader)?,
            group: GroupName::decode(reader)?,
            sequence: reader.u64("sequence")?,
            location: Location {
                index: reader.u64("log index")?,
                offset: reader.u32("offset")?,
                length: reader.u32("length")?,
            },
            attempts: reader.u32("attempts")?,
            reason: Arc::from(reader.string("reason", EXPLANATION_BYTES_MAX)?),
        });
    }
    check(next > letters.len() as u64, "next outbox sequence", "there are more letters than sequences")?;
    Ok(Target { epoch, next, letters })
}

fn destination(reader: &mut Reader, applied: u64, now_ms: u64) -> Result<Destination, DecodeError> {
    let name = DestinationName::decode(reader)?;
    let settings = DestinationSettings::decode(reader)?;
    let mut destination = Destination::new(name, settings);
    destination.counted = Counted {
        stored: number(reader, "stored")?,
        duplicates: number(reader, "duplicates")?,
        refused: number(reader, "refused")?,
        dropped: number(reader, "dropped")?,
        expired: number(reader, "expired")?,
    };
    destination.log = log(reader, applied, now_ms)?;
    for _ in 0..count(reader, "groups", 90)? {
        let name = GroupName::decode(reader)?;
        let group = group(reader, &destination.log, destination.is_queue())?;
        let again = destination.groups.insert(name, group).is_some();
        check(!again, "groups", "one is named twice")?;
    }
    let has_default = || destination.groups.contains_key(&GroupName::default_group());
    check(
        !destination.is_queue() || (destination.groups.len() == 1 && has_default()),
        "groups",
        "a queue has the one group default",
    )?;
    let mut before = None;
    for _ in 0..count(reader, "sessions", 44)? {
        let id = reader.u128("producer")?;
        check(before.replace(id).is_none_or(|before| before < id), "sessions", "they are not in order")?;
        destination.sessions.insert(id, session(reader, now_ms)?);
    }
    let mut before_ms = 0;
    for _ in 0..count(reader, "message ids", 32)? {
        let stored_ms = reader.u64("time")?;
        check(stored_ms >= before_ms, "message ids", "they are not in order")?;
        check(stored_ms <= now_ms, "message ids", "one is after the time of the state")?;
        before_ms = stored_ms;
        let remembered =
            Remembered { stored_ms, id: reader.u128("message id")?, sequence: reader.u64("sequence")? };
        destination.ids.remember(remembered, u64::MAX);
    }
    Ok(destination)
}

fn log(reader: &mut Reader, applied: u64, now_ms: u64) -> Result<Log, DecodeError> {
    let last = number(reader, "last sequence")?;
    let mut log = Log::default();
    let mut before = Before::default();
    for _ in 0..count(reader, "messages", 7)? {
        let sequence = step(reader, "sequence", before.sequence)?;
        check(sequence > before.sequence && sequence <= last, "sequence", "messages are not in order")?;
        let index = step(reader, "log index", before.index)?;
        let (offset, length) = (short(reader, "offset")?, short(reader, "length")?);
        let stored_ms = step(reader, "time of storing", before.stored_ms)?;
        check(index <= applied, "log index", "the entry was not applied")?;
        check(stored_ms <= now_ms, "time of storing", "it is after the time of the state")?;
        before = Before { sequence, index, stored_ms };
        let rank = reader.u8("rank")?;
        check(rank < PRIORITY_MAX, "rank", "there is no such priority")?;
        let flags = reader.u8("message flags")?;
        if flags & !(HAS_EXPIRY | HAS_DELAY | HAS_KEY) != 0 {
            return Err(reader.unknown("message flags", 1, u64::from(flags)));
        }
        let expires_ms = if flags & HAS_EXPIRY != 0 { reader.u64("expiry")? } else { u64::MAX };
        let available_ms = if flags & HAS_DELAY != 0 { reader.u64("delay")? } else { 0 };
        let key = if flags & HAS_KEY != 0 { Some(reader.short_bytes("key", FIELD_BYTES_MAX)?) } else { None };
        let key = key.as_deref().map(Arc::from);
        let incoming = Incoming { index, offset, length, stored_ms, rank, expires_ms, available_ms, key };
        log.place(sequence, incoming);
    }
    log.set_last(last);
    Ok(log)
}

/// A number that is written as how much it is above the one `before`.
fn step(reader: &mut Reader, field: &'static str, before: u64) -> Result<u64, DecodeError> {
    let step = reader.varint(field)?;
    before
        .checked_add(step)
        .ok_or_else(|| DecodeError::Invalid { field, reason: "it is above the largest number".into() })
}

/// A number of 32 bits.
fn short(reader: &mut Reader, field: &'static str) -> Result<u32, DecodeError> {
    let number = reader.varint(field)?;
    u32::try_from(number).map_err(|_| DecodeError::Invalid { field, reason: "it is above 32 bits".into() })
}

fn group(reader: &mut Reader, log: &Log, is_queue: bool) -> Result<Group, DecodeError> {
    let settings = GroupSettings::decode(reader)?;
    let (generation, void_below) = (number(reader, "generation")?, reader.u64("void tokens")?);
    let paused = reader.bool("paused")?;
    let floor = number(reader, "floor")?;
    check(floor >= 1 && floor <= log.last() + 1, "floor", "it is outside of the log")?;
    let mut group = Group::new(settings, generation, void_below, floor);
    group.paused = paused;
    group.redelivered = number(reader, "redelivered")?;
    group.acknowledged = number(reader, "acknowledged")?;
    group.dead = number(reader, "dead")?;
    let words = count(reader, "settled", 16)?;
    check(words == 0 || !is_queue, "settled", "a queue keeps nothing that is settled")?;
    for _ in 0..words {
        let (page, word) = (reader.u64("page")?, reader.u64("settled sequences")?);
        check(page <= log.last() / PAGE_SEQUENCES, "page", "it is outside of the log")?;
        group.settled.set_word(page, word);
    }
    for _ in 0..count(reader, "attempts", 20)? {
        let sequence = reader.u64("sequence")?;
        let attempts = Attempts { count: reader.u32("attempts")?, available_ms: reader.u64("delay")? };
        let is_waiting = log.get(sequence).is_some() && !group.is_settled(sequence);
        check(is_waiting, "attempts", "the message is settled or gone")?;
        group.attempts.insert(sequence, attempts);
    }
    Ok(group)
}

fn session(reader: &mut Reader, now_ms: u64) -> Result<Session, DecodeError> {
    let epoch = reader.u32("producer epoch")?;
    let last = number(reader, "producer sequence")?;
    let last_ms = reader.u64("time")?;
    check(last_ms <= now_ms, "sessions", "one is after the time of the state")?;
    let mut session = Session::restored(epoch, last, last_ms);
    for _ in 0..count(reader, "results", 7)? {
        let count = reader.u32("messages")?;
        check(count > 0, "results", "a run is empty")?;
        let result = match reader.u8("result")? {
            1 => SessionResult::At(number(reader, "sequence")?),
            2 => SessionResult::Refused(ErrorCode::decode(reader)?),
            other => return Err(reader.unknown("result", 1, u64::from(other))),
        };
        session.push_results(Results { count, result });
    }
    check(session.covered() <= last, "results", "there are more than messages")?;
    Ok(session)
}
