//! A group's log and vote, as records of the journal.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use swarmmq_journal::{GroupId, Journal, JournalError, MetaKey};
use tokio::sync::oneshot;

use super::codec;
use super::type_config::{Entry, LogId, Types, Vote};

/// Under which key of the group's small values the vote stands.
const VOTE: MetaKey = MetaKey(1);
/// Under which key the committed log id stands.
const COMMITTED: MetaKey = MetaKey(2);
/// Most bytes read for one request of entries; openraft asks again for the rest.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The log of one group. Clones are readers of the same log.
#[derive(Clone)]
pub(super) struct LogStore {
    journal: Journal,
    group: GroupId,
}

impl LogStore {
    pub(super) fn new(journal: Journal, group: GroupId) -> Self {
        Self { journal, group }
    }

    fn entries(&self, range: impl RangeBounds<u64>, bytes_max: usize, all: bool) -> io::Result<Vec<Entry>> {
        let state = self.journal.state(self.group);
        let Some((last, _)) = state.last else { return Ok(Vec::new()) };
        let from = match range.start_bound() {
            Bound::Included(index) => codec::journal_index(*index),
            Bound::Excluded(index) => codec::journal_index(*index) + 1,
            Bound::Unbounded => 1,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => codec::journal_index(*index) + 1,
            Bound::Excluded(index) => codec::journal_index(*index),
            Bound::Unbounded => u64::MAX,
        };
        let mut from = from.max(state.purged.map_or(1, |(index, _)| index + 1));
        let to = to.min(last + 1);
        let mut entries = Vec::new();
        while from < to {
            let records =
                self.journal.read_range(self.group, from, to, bytes_max).map_err(io::Error::other)?;
            if records.is_empty() {
                break;
            }
            from += records.len() as u64;
            for record in records {
                entries.push(codec::decode_entry(record)?);
            }
            if !all {
                break;
            }
        }
        Ok(entries)
    }

    /// Waits until what `submit` puts into the journal is synced.
    async fn synced(&self, submit: impl FnOnce(&Journal, swarmmq_journal::Completion)) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        submit(
            &self.journal,
            Box::new(move |result: Result<(), JournalError>| {
                let _gone = tx.send(result);
            }),
        );
        rx.await.map_err(|_| io::Error::other("the journal's writer has ended"))?.map_err(io::Error::other)
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.entries(range, READ_BYTES_MAX, true)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.journal.meta(self.group, VOTE).map(codec::decode_vote).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start..end, READ_BYTES_MAX, false)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.journal.state(self.group);
        let id = |(index, term): (u64, u64)| codec::log_id(term, codec::raft_index(index));
        let purged = state.purged.map(id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: state.last.map(id).or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let value = codec::encode_vote(vote);
        self.synced(|journal, done| journal.put_meta(self.group, VOTE, value, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(id) = committed {
            self.journal.put_meta_lazy(self.group, COMMITTED, codec::encode_log_id(&id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.journal.meta(self.group, COMMITTED).map(codec::decode_log_id).transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries
            .into_iter()
            .map(|entry| swarmmq_journal::Entry {
                index: codec::journal_index(entry.log_id.index),
                term: codec::term(&entry.log_id),
                payload: codec::encode_payload(&entry),
            })
            .collect();
        let done =
            move |result: Result<(), JournalError>| callback.io_completed(result.map_err(io::Error::other));
        self.journal.append(self.group, records, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let keep = last.map_or(0, |id| codec::journal_index(id.index));
        self.synced(|journal, done| journal.truncate_after(self.group, keep, done)).await
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        let index = codec::journal_index(id.index);
        self.synced(|journal, done| journal.purge(self.group, index, done)).await
    }
}
