//! How openraft's values stand in the journal.
//!
//! Raft counts log entries from 0, the journal from 1: the entry with raft index `i` is the journal's
//! record `i + 1`. Its payload is the broker's entry as it is, or begins with one of the tags below,
//! which no version of the broker's entries uses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry as _;
use openraft::impls::BasicNode;
use openraft::vote::{RaftLeaderId as _, RaftVote as _};
use openraft::{EntryPayload, alias};
use swarmmq_protocol::codec::{DecodeError, Reader, put_list, put_option, put_short_bytes};

use super::type_config::{Commands, Entry, LogId, Membership, StoredMembership, Types, Vote};

/// A leader's first entry, without commands.
const BLANK: u8 = 0xf0;
/// A change of members.
const MEMBERSHIP: u8 = 0xf1;
/// Most members of a group, learners included.
const MEMBERS_MAX: usize = 64;
/// Most bytes of a member's address.
const ADDRESS_BYTES_MAX: usize = 1024;

/// The journal's index of a raft index.
pub(super) fn journal_index(raft_index: u64) -> u64 {
    raft_index + 1
}

/// The raft index of a journal's index.
pub(super) fn raft_index(journal_index: u64) -> u64 {
    journal_index.saturating_sub(1)
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    type Leader = alias::LeaderIdOf<Types>;
    LogId::new(Leader::new(term, 0).to_committed(), index)
}

pub(super) fn term(id: &LogId) -> u64 {
    *id.leader_id
}

fn damaged(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

pub(super) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_u64(vote.leader_id().term);
    out.put_u64(vote.leader_id().voted_for);
    out.put_u8(u8::from(vote.is_committed()));
    out.freeze()
}

pub(super) fn decode_vote(bytes: Bytes) -> io::Result<Vote> {
    let read = |reader: &mut Reader| -> Result<Vote, DecodeError> {
        let leader = alias::LeaderIdOf::<Types>::new(reader.u64("term")?, reader.u64("replica")?);
        Ok(Vote::from_leader_id(leader, reader.bool("committed")?))
    };
    let mut reader = Reader::new(bytes);
    let vote = read(&mut reader).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    Ok(vote)
}

pub(super) fn encode_log_id(id: &LogId) -> Bytes {
    let mut out = BytesMut::with_capacity(16);
    put_log_id(&mut out, id);
    out.freeze()
}

fn put_log_id(out: &mut BytesMut, id: &LogId) {
    out.put_u64(term(id));
    out.put_u64(id.index);
}

fn read_log_id(reader: &mut Reader) -> Result<LogId, DecodeError> {
    Ok(log_id(reader.u64("term")?, reader.u64("index")?))
}

pub(super) fn decode_log_id(bytes: Bytes) -> io::Result<LogId> {
    let mut reader = Reader::new(bytes);
    let id = read_log_id(&mut reader).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    Ok(id)
}

fn put_membership(out: &mut BytesMut, membership: &Membership) {
    put_list(out, membership.get_joint_config(), |out, voters| {
        let voters: Vec<u64> = voters.iter().copied().collect();
        put_list(out, &voters, |out, voter| out.put_u64(*voter));
    });
    let nodes: Vec<_> = membership.nodes().collect();
    put_list(out, &nodes, |out, (id, node)| {
        out.put_u64(**id);
        put_short_bytes(out, node.addr.as_bytes());
    });
}

fn read_membership(reader: &mut Reader) -> Result<Membership, DecodeError> {
    let configs = reader.list("voter sets", 2, 4, |reader| {
        let voters = reader.list("voters", MEMBERS_MAX, 8, |reader| reader.u64("voter"))?;
        Ok(voters.into_iter().collect::<BTreeSet<_>>())
    })?;
    let nodes = reader.list("members", MEMBERS_MAX, 10, |reader| {
        Ok((reader.u64("member")?, BasicNode::new(reader.string("address", ADDRESS_BYTES_MAX)?)))
    })?;
    let nodes: BTreeMap<_, _> = nodes.into_iter().collect();
    Membership::new(configs, nodes)
        .map_err(|error| DecodeError::Invalid { field: "membership", reason: error.to_string() })
}

/// The members as of a snapshot, and the log index of its last entry.
fn encode_snapshot_prefix(last: Option<&LogId>, membership: &StoredMembership) -> Bytes {
    let mut out = BytesMut::new();
    put_option(&mut out, last, put_log_id);
    put_option(&mut out, membership.log_id().as_ref(), put_log_id);
    put_membership(&mut out, membership.membership());
    let mut framed = BytesMut::with_capacity(out.len() + 4);
    framed.put_u32(u32::try_from(out.len()).unwrap_or(u32::MAX));
    framed.put_slice(&out);
    framed.freeze()
}

/// A snapshot as it stands in its file and crosses the wire: the prefix, then each chunk behind its
/// length of four bytes.
pub(super) fn frame_snapshot(
    last: Option<&LogId>,
    membership: &StoredMembership,
    chunks: Vec<Bytes>,
) -> Vec<Bytes> {
    let mut framed = Vec::with_capacity(1 + 2 * chunks.len());
    framed.push(encode_snapshot_prefix(last, membership));
    for chunk in chunks {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        framed.push(Bytes::copy_from_slice(&length.to_be_bytes()));
        framed.push(chunk);
    }
    framed
}

/// The chunks behind the prefix.
pub(super) fn snapshot_chunks(framed: Bytes) -> io::Result<Vec<Bytes>> {
    let mut reader = Reader::new(framed);
    let mut chunks = Vec::new();
    while reader.left() > 0 {
        chunks.push(reader.long_bytes("snapshot chunk", usize::MAX).map_err(damaged)?);
    }
    Ok(chunks)
}

/// Splits what [`encode_snapshot_prefix`] wrote off the front of a snapshot.
pub(super) fn decode_snapshot_prefix(
    snapshot: Bytes,
) -> io::Result<(Option<LogId>, StoredMembership, Bytes)> {
    let mut reader = Reader::new(snapshot);
    let prefix = reader.long_bytes("snapshot prefix", 1 << 20).map_err(damaged)?;
    let rest = reader.rest();
    let mut reader = Reader::new(prefix);
    let last = reader.option("last log id", read_log_id).map_err(damaged)?;
    let at = reader.option("membership log id", read_log_id).map_err(damaged)?;
    let membership = if reader.clone().rest() == [0; 8].as_slice() {
        // No members at all: a snapshot from before the group had any.
        Membership::default()
    } else {
        let membership = read_membership(&mut reader).map_err(damaged)?;
        reader.finish().map_err(damaged)?;
        membership
    };
    Ok((last, StoredMembership::new(at, membership), rest))
}

pub(super) fn encode_payload(entry: &Entry) -> Bytes {
    match &entry.payload {
        EntryPayload::Blank => Bytes::from_static(&[BLANK]),
        EntryPayload::Normal(Commands(bytes)) => bytes.clone(),
        EntryPayload::Membership(membership) => {
            let mut out = BytesMut::new();
            out.put_u8(MEMBERSHIP);
            put_membership(&mut out, membership);
            out.freeze()
        }
    }
}

pub(super) fn decode_entry(record: swarmmq_journal::Entry) -> io::Result<Entry> {
    let id = log_id(record.term, raft_index(record.index));
    let payload = match record.payload.first() {
        Some(&BLANK) if record.payload.len() == 1 => EntryPayload::Blank,
        Some(&BLANK) => return Err(damaged("a blank entry has bytes behind its tag")),
        Some(&MEMBERSHIP) => {
            let mut reader = Reader::new(record.payload.slice(1..));
            let membership = read_membership(&mut reader).map_err(damaged)?;
            reader.finish().map_err(damaged)?;
            EntryPayload::Membership(membership)
        }
        _ => EntryPayload::Normal(Commands(record.payload)),
    };
    Ok(Entry::new(id, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Membership {
        let nodes = BTreeMap::from([(7, BasicNode::new("a:1")), (9, BasicNode::new("b:2"))]);
        Membership::new(vec![BTreeSet::from([7]), BTreeSet::from([7, 9])], nodes).unwrap()
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Commands(Bytes::from_static(&[1, 2, 3]))),
            EntryPayload::Membership(members()),
        ];
        for (index, payload) in (0..).zip(payloads) {
            let entry = Entry::new(log_id(3, index), payload);
            let record =
                swarmmq_journal::Entry { index: index + 1, term: 3, payload: encode_payload(&entry) };
            assert_eq!(decode_entry(record).unwrap(), entry);
        }
    }

    #[test]
    fn votes_and_log_ids_read_back_as_they_were_written() {
        for committed in [false, true] {
            let vote = Vote::from_leader_id(alias::LeaderIdOf::<Types>::new(5, 6), committed);
            assert_eq!(decode_vote(encode_vote(&vote)).unwrap(), vote);
        }
        assert_eq!(decode_log_id(encode_log_id(&log_id(8, 9))).unwrap(), log_id(8, 9));
        assert!(decode_vote(Bytes::from_static(b"short")).is_err());
    }

    #[test]
    fn a_value_with_bytes_behind_it_is_damage() {
        let record = |payload: &'static [u8]| {
            let payload = Bytes::from_static(payload);
            decode_entry(swarmmq_journal::Entry { index: 1, term: 1, payload })
        };
        assert!(record(&[BLANK]).is_ok());
        assert!(record(&[BLANK, 0]).is_err());

        let whole = encode_snapshot_prefix(Some(&log_id(1, 2)), &StoredMembership::new(None, members()));
        let mut longer = BytesMut::from(&whole[..]);
        longer.put_u8(0);
        longer[..4].copy_from_slice(&u32::try_from(whole.len() - 3).unwrap().to_be_bytes());
        assert!(decode_snapshot_prefix(whole).is_ok());
        assert!(decode_snapshot_prefix(longer.freeze()).is_err());

        let none = encode_snapshot_prefix(None, &StoredMembership::default());
        let mut other = BytesMut::from(&none[..]);
        *other.last_mut().unwrap() = 1;
        assert!(decode_snapshot_prefix(none).is_ok());
        assert!(decode_snapshot_prefix(other.freeze()).is_err());
    }

    #[test]
    fn a_snapshot_reads_back_in_its_chunks() {
        for (last, membership) in [
            (None, StoredMembership::default()),
            (Some(log_id(2, 11)), StoredMembership::new(Some(log_id(1, 0)), members())),
        ] {
            let chunks = vec![Bytes::from_static(b"state"), Bytes::new(), Bytes::from_static(b"more")];
            let framed = frame_snapshot(last.as_ref(), &membership, chunks.clone()).concat();
            let (last_read, membership_read, rest) = decode_snapshot_prefix(framed.into()).unwrap();
            assert_eq!((last_read, membership_read), (last, membership));
            assert_eq!(snapshot_chunks(rest).unwrap(), chunks);
        }
    }
}
