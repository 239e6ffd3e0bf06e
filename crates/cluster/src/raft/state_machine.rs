//! A [`Machine`](crate::consensus::Machine) as openraft drives it, and its snapshots in the journal.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use parking_lot::Mutex;
use swarmmq_broker::Applied;
use swarmmq_journal::{GroupId, Journal, SnapshotError};

use super::codec;
use super::type_config::{Commands, LogId, SnapshotMeta, StoredMembership, Types};
use crate::consensus::{SharedMachine, WriteSnapshot};
use crate::runtime::Runtime;

/// How long a snapshot waits for room before it is tried again.
const NO_SPACE_RETRY: Duration = Duration::from_secs(5);

/// What was applied last.
#[derive(Clone, Default)]
struct Position {
    last: Option<LogId>,
    membership: StoredMembership,
}

/// The machine of one group with the position it stands at.
pub(super) struct StateMachine {
    group: GroupId,
    journal: Journal,
    machine: SharedMachine,
    runtime: Runtime,
    position: Arc<Mutex<Position>>,
}

impl StateMachine {
    /// Restores the machine from the group's last snapshot, if there is one.
    pub(super) fn open(
        group: GroupId,
        journal: Journal,
        machine: SharedMachine,
        runtime: Runtime,
    ) -> io::Result<Self> {
        let mut position = Position::default();
        if let Some((_, snapshot)) = journal.read_snapshot(group).map_err(io::Error::other)? {
            let (last, membership, state) = codec::decode_snapshot_prefix(snapshot)?;
            machine.restore(&codec::snapshot_chunks(state)?).map_err(io::Error::other)?;
            position = Position { last, membership };
        }
        Ok(Self { group, journal, machine, runtime, position: Arc::new(Mutex::new(position)) })
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = self.position.lock().clone();
        Ok((position.last, position.membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = match entry.payload {
                EntryPayload::Normal(Commands(bytes)) => self
                    .machine
                    .apply(codec::journal_index(entry.log_id.index), bytes)
                    .map_err(io::Error::other)?,
                EntryPayload::Blank => nothing(),
                EntryPayload::Membership(membership) => {
                    self.position.lock().membership = StoredMembership::new(Some(entry.log_id), membership);
                    nothing()
                }
            };
            self.position.lock().last = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // Applying and this call come from one task, so position and state belong together.
        let position = self.position.lock().clone();
        let meta = SnapshotMeta { last_log_id: position.last, last_membership: position.membership.clone() };
        Builder {
            group: self.group,
            journal: self.journal.clone(),
            runtime: self.runtime.clone(),
            meta,
            state: Some(self.machine.snapshot()),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let (last, membership, state) = codec::decode_snapshot_prefix(snapshot.clone())?;
        if last != meta.last_log_id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a snapshot says it ends at {last:?}, its sender says {:?}", meta.last_log_id),
            ));
        }
        if self.position.lock().last == last {
            return Ok(());
        }
        let index = last.map_or(0, |id| codec::journal_index(id.index));
        let (journal, group) = (self.journal.clone(), self.group);
        self.runtime
            .blocking(move || journal.write_snapshot(group, index, &[snapshot]))
            .await
            .map_err(io::Error::other)?;
        self.machine.restore(&codec::snapshot_chunks(state)?).map_err(io::Error::other)?;
        *self.position.lock() = Position { last, membership };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Taken>, io::Error> {
        let (journal, group) = (self.journal.clone(), self.group);
        let stored = self.runtime.blocking(move || journal.read_snapshot(group)).await;
        let Some((_, snapshot)) = stored.map_err(io::Error::other)? else { return Ok(None) };
        let (last_log_id, last_membership, _) = codec::decode_snapshot_prefix(snapshot.clone())?;
        Ok(Some(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot }))
    }
}

/// What comes of an entry without commands.
fn nothing() -> Applied {
    Applied { outcomes: Vec::new(), effects: Vec::new() }
}

type Taken = openraft::alias::SnapshotOf<Types, Bytes>;

/// Writes a snapshot taken at one moment while the machine goes on.
pub(super) struct Builder {
    group: GroupId,
    journal: Journal,
    runtime: Runtime,
    meta: SnapshotMeta,
    state: Option<WriteSnapshot>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Taken, io::Error> {
        let (journal, group) = (self.journal.clone(), self.group);
        let state = self.state.take().ok_or_else(|| io::Error::other("this snapshot was written already"))?;
        let meta = self.meta.clone();
        let write = move || codec::frame_snapshot(meta.last_log_id.as_ref(), &meta.last_membership, state());
        let chunks = self.runtime.blocking(write).await;
        let index = self.meta.last_log_id.map_or(0, |id| codec::journal_index(id.index));
        loop {
            let (journal, written) = (journal.clone(), chunks.clone());
            match self.runtime.blocking(move || journal.write_snapshot(group, index, &written)).await {
                Ok(()) => break,
                // A full disk is no reason to stop: the log stays longer, and what is acknowledged
                // meanwhile makes room.
                Err(error @ SnapshotError::NoSpace { .. }) => {
                    tracing::warn!(%group, %error, "a snapshot waits for room on the disk");
                    tokio::time::sleep(NO_SPACE_RETRY).await;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let snapshot = self.runtime.blocking(move || Bytes::from(chunks.concat())).await;
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}
