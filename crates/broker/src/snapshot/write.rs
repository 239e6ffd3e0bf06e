//! Writing a snapshot.

use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_protocol::codec::{Encode, put_short_bytes};

use crate::dedup::session::{Session, SessionResult};
use crate::destination::Destination;
use crate::fault::fault;
use crate::group::Group;
use crate::log::{Log, Stored};
use crate::outbox::Target;
use crate::shard::Shard;
use crate::snapshot::format::{CHUNK_BYTES, HAS_DELAY, HAS_EXPIRY, HAS_KEY, SNAPSHOT_VERSION};

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

    fn count(&mut self, count: usize) {
        self.out.put_u64(count as u64);
    }
}

pub(super) fn shard(shard: &Shard) -> Vec<Bytes> {
    let mut chunks = Chunks { done: Vec::new(), out: BytesMut::new() };
    let out = &mut chunks.out;
    out.put_u8(SNAPSHOT_VERSION);
    out.put_u32(shard.shard);
    shard.limits.encode(out);
    out.put_u64(shard.applied);
    out.put_u64(shard.now_ms);
    out.put_u64(shard.next_generation);
    out.put_u32(shard.outbox.next_epoch);
    chunks.count(shard.trash.len());
    for (index, count) in shard.trash.iter() {
        chunks.item(|out| {
            out.put_u64(index);
            out.put_u32(count);
        });
    }
    chunks.count(shard.outbox.iter().count());
    for (name, target) in shard.outbox.iter() {
        name.encode(&mut chunks.out);
        self::target(&mut chunks, target);
    }
    chunks.count(shard.destinations.len());
    for destination in shard.destinations.values() {
        self::destination(&mut chunks, destination);
    }
    let Chunks { mut done, out } = chunks;
    if !out.is_empty() {
        done.push(out.freeze());
    }
    done
}

fn target(chunks: &mut Chunks, target: &Target) {
    chunks.out.put_u32(target.epoch);
    chunks.out.put_u64(target.next);
    chunks.count(target.letters.len());
    for letter in &target.letters {
        chunks.item(|out| {
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

fn destination(chunks: &mut Chunks, destination: &Destination) {
    chunks.item(|out| {
        destination.name.encode(out);
        destination.settings.encode(out);
        let counted = &destination.counted;
        for number in [counted.stored, counted.duplicates, counted.refused, counted.dropped, counted.expired]
        {
            out.put_u64(number);
        }
        out.put_u64(destination.log.last());
    });
    chunks.count(usize::try_from(destination.log.messages()).unwrap_or(usize::MAX));
    for (sequence, stored) in destination.log.iter() {
        chunks.item(|out| message(out, sequence, stored));
    }
    chunks.count(destination.groups.len());
    for (name, group) in &destination.groups {
        name.encode(&mut chunks.out);
        self::group(chunks, group, &destination.log);
    }
    chunks.count(destination.sessions.len());
    for (id, session) in destination.sessions.iter() {
        chunks.item(|out| self::session(out, id, session));
    }
    let ids = if fault!(SnapshotLosesIds) { 0 } else { destination.ids.len() };
    chunks.count(ids);
    for remembered in destination.ids.iter().take(ids) {
        chunks.item(|out| {
            out.put_u64(remembered.stored_ms);
            out.put_u128(remembered.id);
            out.put_u64(remembered.sequence);
        });
    }
}

fn message(out: &mut BytesMut, sequence: u64, stored: &Stored) {
    out.put_u64(sequence);
    out.put_u64(stored.index);
    out.put_u32(stored.offset);
    out.put_u32(stored.length);
    out.put_u64(stored.stored_ms);
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

fn group(chunks: &mut Chunks, group: &Group, log: &Log) {
    let out = &mut chunks.out;
    group.settings.encode(out);
    out.put_u64(group.generation);
    out.put_u64(group.void_below);
    out.put_u8(u8::from(group.paused));
    for number in [group.floor, group.redelivered, group.acknowledged, group.dead] {
        out.put_u64(number);
    }
    // What is settled of messages that are gone says nothing, and may be swept out or not.
    chunks.count(group.settled.live_words(group.floor, log).count());
    for (page, word) in group.settled.live_words(group.floor, log) {
        chunks.item(|out| {
            out.put_u64(page);
            out.put_u64(word);
        });
    }
    let attempts = if fault!(SnapshotLosesAttempts) { 0 } else { group.attempts.len() };
    chunks.count(attempts);
    for (sequence, attempts) in group.attempts.iter().take(attempts) {
        chunks.item(|out| {
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
