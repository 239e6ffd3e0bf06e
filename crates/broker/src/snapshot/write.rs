//! Writing a snapshot: what is small is written at once, the messages from pages that are shared until then.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_protocol::codec::{Encode, put_short_bytes, put_varint};

use crate::dedup::session::{Session, SessionResult};
use crate::destination::Destination;
use crate::fault::fault;
use crate::group::Group;
use crate::log::{Log, Page, Stored, messages_of};
use crate::outbox::Target;
use crate::shard::Shard;
use crate::snapshot::format::{Before, CHUNK_BYTES, HAS_DELAY, HAS_EXPIRY, HAS_KEY, SNAPSHOT_VERSION};

/// What stands in a snapshot, in its order.
#[derive(Debug)]
pub(super) enum Part {
    /// Written already.
    Written(BytesMut),
    /// The messages of a log.
    Messages(Vec<(u64, Arc<Page>)>),
}

/// The parts of a snapshot of which the last is being written.
struct Parts {
    done: Vec<Part>,
    out: BytesMut,
}

impl Parts {
    /// Writes one item of a list.
    fn item(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.out);
    }

    fn count(&mut self, count: usize) {
        self.out.put_u64(count as u64);
    }

    fn messages(&mut self, log: &Log) {
        self.count(usize::try_from(log.messages()).unwrap_or(usize::MAX));
        self.done.push(Part::Written(self.out.split()));
        self.done.push(Part::Messages(log.share_pages()));
    }
}

/// A snapshot as it is written.
struct Chunks {
    done: Vec<Bytes>,
    out: BytesMut,
}

impl Chunks {
    /// Writes one item of a list.
    fn item(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.out);
        if self.out.len() >= CHUNK_BYTES {
            self.done.push(self.out.split().freeze());
        }
    }
}

/// The bytes of `parts`, in chunks.
pub(super) fn chunks(parts: &[Part]) -> Vec<Bytes> {
    let mut chunks =
        Chunks { done: Vec::new(), out: BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 16) };
    for part in parts {
        match part {
            Part::Written(bytes) => {
                for piece in bytes.chunks(CHUNK_BYTES) {
                    chunks.item(|out| out.put_slice(piece));
                }
            }
            Part::Messages(pages) => {
                let mut before = Before::default();
                for (number, page) in pages {
                    for (sequence, stored) in messages_of(*number, page) {
                        chunks.item(|out| message(out, &mut before, sequence, stored));
                    }
                }
            }
        }
    }
    let Chunks { mut done, out } = chunks;
    if !out.is_empty() {
        done.push(out.freeze());
    }
    done
}

/// The state of `shard`, without a copy of what it holds of its messages.
pub(super) fn parts(shard: &Shard) -> Vec<Part> {
    let mut parts = Parts { done: Vec::new(), out: BytesMut::new() };
    let out = &mut parts.out;
    out.put_u8(SNAPSHOT_VERSION);
    out.put_u32(shard.shard);
    shard.limits.encode(out);
    out.put_u64(shard.applied);
    out.put_u64(shard.now_ms);
    out.put_u64(shard.next_generation);
    out.put_u32(shard.outbox.next_epoch);
    parts.count(shard.trash.len());
    for (index, count) in shard.trash.iter() {
        parts.item(|out| {
            out.put_u64(index);
            out.put_u32(count);
        });
    }
    parts.count(shard.outbox.iter().count());
    for (name, target) in shard.outbox.iter() {
        name.encode(&mut parts.out);
        self::target(&mut parts, target);
    }
    parts.count(shard.destinations.len());
    for destination in shard.destinations.values() {
        self::destination(&mut parts, destination);
    }
    let Parts { mut done, out } = parts;
    done.push(Part::Written(out));
    done
}

fn target(parts: &mut Parts, target: &Target) {
    parts.out.put_u32(target.epoch);
    parts.out.put_u64(target.next);
    parts.count(target.letters.len());
    for letter in &target.letters {
        parts.item(|out| {
            letter.destination.encode(out);
            letter.group.encode(out);
            out.put_u64(letter.sequence);
            out.put_u64(letter.location.index);
            out.put_u32(letter.location.offset);
            out.put_u32(letter.location.length);
            out.put_u32(letter.attempts);
            put_short_bytes(out, letter.reason.as_bytes());
        });
    }
}

fn destination(parts: &mut Parts, destination: &Destination) {
    parts.item(|out| {
        destination.name.encode(out);
        destination.settings.encode(out);
        let counted = &destination.counted;
        for number in [counted.stored, counted.duplicates, counted.refused, counted.dropped, counted.expired]
        {
            out.put_u64(number);
        }
        out.put_u64(destination.log.last());
    });
    parts.messages(&destination.log);
    parts.count(destination.groups.len());
    for (name, group) in &destination.groups {
        name.encode(&mut parts.out);
        self::group(parts, group, &destination.log);
    }
    parts.count(destination.sessions.len());
    for (id, session) in destination.sessions.iter() {
        parts.item(|out| self::session(out, id, session));
    }
    let ids = if fault!(SnapshotLosesIds) { 0 } else { destination.ids.len() };
    parts.count(ids);
    for remembered in destination.ids.iter().take(ids) {
        parts.item(|out| {
            out.put_u64(remembered.stored_ms);
            out.put_u128(remembered.id);
            out.put_u64(remembered.sequence);
        });
    }
}

fn message(out: &mut BytesMut, before: &mut Before, sequence: u64, stored: &Stored) {
    put_varint(out, sequence - before.sequence);
    put_varint(out, stored.index - before.index);
    put_varint(out, u64::from(stored.offset));
    put_varint(out, u64::from(stored.length));
    put_varint(out, stored.stored_ms - before.stored_ms);
    *before = Before { sequence, index: stored.index, stored_ms: stored.stored_ms };
    out.put_u8(stored.rank);
    let (expires_ms, available_ms) = (stored.expires_ms(), stored.available_ms());
    let bit = |present: bool, bit: u8| if present { bit } else { 0 };
    out.put_u8(
        bit(expires_ms != u64::MAX, HAS_EXPIRY)
            | bit(available_ms != 0, HAS_DELAY)
            | bit(stored.key().is_some(), HAS_KEY),
    );
    if expires_ms != u64::MAX {
        out.put_u64(expires_ms);
    }
    if available_ms != 0 {
        out.put_u64(available_ms);
    }
    if let Some(key) = stored.key() {
        put_short_bytes(out, key);
    }
}

fn group(parts: &mut Parts, group: &Group, log: &Log) {
    let out = &mut parts.out;
    group.settings.encode(out);
    out.put_u64(group.generation);
    out.put_u64(group.void_below);
    out.put_u8(u8::from(group.paused));
    for number in [group.floor, group.redelivered, group.acknowledged, group.dead] {
        out.put_u64(number);
    }
    // What is settled of messages that are gone says nothing, and may be swept out or not.
    parts.count(group.settled.live_words(group.floor, log).count());
    for (page, word) in group.settled.live_words(group.floor, log) {
        parts.item(|out| {
            out.put_u64(page);
            out.put_u64(word);
        });
    }
    let attempts = if fault!(SnapshotLosesAttempts) { 0 } else { group.attempts.len() };
    parts.count(attempts);
    for (sequence, attempts) in group.attempts.iter().take(attempts) {
        parts.item(|out| {
            out.put_u64(*sequence);
            out.put_u32(attempts.count);
            out.put_u64(attempts.available_ms);
        });
    }
}

fn session(out: &mut BytesMut, id: u128, session: &Session) {
    out.put_u128(id);
    out.put_u32(session.epoch);
    out.put_u64(session.last);
    out.put_u64(session.last_ms);
    out.put_u64(session.results.len() as u64);
    for results in &session.results {
        out.put_u32(results.count);
        match results.result {
            SessionResult::At(first) => {
                out.put_u8(1);
                out.put_u64(first);
            }
            SessionResult::Refused(code) => {
                out.put_u8(2);
                code.encode(out);
            }
        }
    }
}
