//! One group: openraft with its log, its machine and its network put together.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::impls::BasicNode;
use openraft::raft::ClientWriteResult;
use openraft::{Config, Raft, SnapshotPolicy};
use swarmmq_journal::{GroupId, Journal};
use tokio::sync::watch;

use super::codec;
use super::log_store::LogStore;
use super::network::NoLinks;
use super::state_machine::StateMachine;
use super::type_config::{Callback, Commands, ReplicaId, Types};
use crate::consensus::{Committed, Consensus, Done, Leadership, ProposeError, SharedMachine};
use crate::runtime::Runtime;

/// How often a leader tells its followers that it is there, ms. An idle group costs one wake-up each.
const HEARTBEAT_MS: u64 = 250;
/// A follower that heard nothing for this long stands for election, ms; the longest such time is twice that.
const ELECTION_MS: u64 = 1_000;
/// A snapshot that takes longer is not waited for.
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(60);

/// What a group is made of.
pub(crate) struct GroupOptions {
    pub(crate) cluster: String,
    pub(crate) group: GroupId,
    pub(crate) replica: ReplicaId,
    pub(crate) address: String,
    pub(crate) journal: Journal,
    pub(crate) machine: SharedMachine,
    pub(crate) runtime: Runtime,
}

/// Why a group did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Its snapshot or log could not be read.
    #[error("shard {group} could not be read from the journal: {source}")]
    Storage {
        /// Which group.
        group: GroupId,
        /// Why.
        source: io::Error,
    },
    /// Consensus did not start.
    #[error("consensus of shard {group} did not start: {reason}")]
    Consensus {
        /// Which group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

/// A replica of a group.
pub(crate) struct Group {
    raft: Raft<Types, StateMachine>,
    leadership: watch::Receiver<Leadership>,
}

impl Group {
    /// Opens the group's log, restores its machine and takes part in it. A new group begins with this
    /// replica as its only voter.
    pub(crate) async fn start(options: GroupOptions) -> Result<Self, GroupError> {
        let group = options.group;
        let storage = |source| GroupError::Storage { group, source };
        let failed =
            |reason: &dyn std::fmt::Display| GroupError::Consensus { group, reason: reason.to_string() };
        let machine = StateMachine::open(group, options.journal.clone(), options.machine, options.runtime)
            .map_err(storage)?;
        let log = LogStore::new(options.journal, group);
        let config = config(format!("{}/{group}", options.cluster)).map_err(|error| failed(&error))?;
        let raft = Raft::new(options.replica, config, NoLinks, log, machine)
            .await
            .map_err(|error| failed(&error))?;
        if raft.is_initialized().await.map_err(|error| failed(&error))? {
            // Its followers, had it any, would take its term; alone it need not wait for a time-out.
            if raft.voter_ids().eq([options.replica]) {
                raft.trigger().elect(true).await.map_err(|error| failed(&error))?;
            }
        } else {
            let members = BTreeMap::from([(options.replica, BasicNode::new(options.address))]);
            raft.initialize(members).await.map_err(|error| failed(&error))?;
        }
        let leadership = follow_leadership(&raft, options.replica);
        Ok(Self { raft, leadership })
    }
}

fn config(name: String) -> Result<Arc<Config>, openraft::ConfigError> {
    let config = Config {
        cluster_name: name,
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS,
        election_timeout_max: 2 * ELECTION_MS,
        // Snapshots are taken by the shard, which knows how much log there is in bytes.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        enable_pre_vote: Some(true),
        // A leadership without a vote would have the same term, and lease tokens would repeat.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map(Arc::new)
}

fn follow_leadership(raft: &Raft<Types, StateMachine>, replica: ReplicaId) -> watch::Receiver<Leadership> {
    let mut metrics = raft.metrics();
    let look = move |metrics: &openraft::RaftMetrics<Types>| Leadership {
        term: metrics.current_term,
        here: metrics.current_leader == Some(replica) && metrics.state.is_leader(),
        elsewhere: metrics
            .current_leader
            .filter(|leader| *leader != replica)
            .and_then(|leader| metrics.membership_config.membership().get_node(&leader))
            .map(|node| node.addr.clone()),
        fatal: metrics.running_state.as_ref().err().map(ToString::to_string),
    };
    let (tx, rx) = watch::channel(look(&metrics.borrow_watched()));
    tokio::spawn(async move {
        while metrics.changed().await.is_ok() {
            let now = look(&metrics.borrow_watched());
            tx.send_if_modified(|was| {
                let changed = *was != now;
                *was = now;
                changed
            });
        }
        tx.send_modify(|last| {
            last.here = false;
            last.fatal.get_or_insert_with(|| "the group was taken out of service".into());
        });
    });
    rx
}

/// Makes sure that a proposal is answered, also where openraft drops it.
struct Answer(Option<Done>);

impl Answer {
    fn give(mut self, result: Result<Committed, ProposeError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(ProposeError::Stopped { reason: "the group has stopped".into() }));
        }
    }
}

fn committed(result: ClientWriteResult<Types>) -> Result<Committed, ProposeError> {
    match result {
        Ok(response) => {
            Ok(Committed { index: codec::journal_index(response.log_id.index), applied: response.data })
        }
        Err(ClientWriteError::ForwardToLeader(to)) => {
            Err(ProposeError::NotLeader { leader: to.leader_node.map(|node| node.addr) })
        }
        Err(ClientWriteError::LogEntryDiscarded(_)) => Err(ProposeError::Unknown),
        Err(other) => Err(ProposeError::Stopped { reason: other.to_string() }),
    }
}

impl Consensus for Group {
    async fn propose(&self, entry: Bytes, done: Done) {
        let answer = Answer(Some(done));
        let callback = Callback::new(move |result| answer.give(committed(result)));
        // A refusal drops the callback, and so answers.
        let _stopped = self.raft.client_write_ff(Commands(entry), Some(callback)).await;
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    async fn compact(&self) {
        let _stopped = self.raft.trigger().snapshot().await;
    }

    async fn compacted(&self, index: u64) {
        let is_reached = |metrics: &openraft::RaftMetrics<Types>| {
            metrics.running_state.is_err()
                || metrics.snapshot.is_some_and(|id| codec::journal_index(id.index) >= index)
        };
        let mut before = self.raft.metrics().borrow_watched().snapshot;
        loop {
            // One that is asked for while an older one is written is not taken: it is asked for again then.
            let changed =
                |metrics: &openraft::RaftMetrics<Types>| is_reached(metrics) || metrics.snapshot != before;
            let waited = self.raft.wait(Some(SNAPSHOT_WAIT_MAX)).metrics(changed, "a snapshot").await;
            match waited {
                Ok(metrics) if !is_reached(&metrics) => before = metrics.snapshot,
                _ => return,
            }
            self.compact().await;
        }
    }

    async fn shutdown(&self) {
        let _joined = self.raft.shutdown().await;
    }
}

impl From<RaftError<Types, ClientWriteError<Types>>> for ProposeError {
    fn from(error: RaftError<Types, ClientWriteError<Types>>) -> Self {
        Self::Stopped { reason: error.to_string() }
    }
}
