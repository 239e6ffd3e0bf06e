//! The cluster as a node's listeners use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use swarmmq_broker::AutoCreate;
use swarmmq_journal::Journal;
use swarmmq_protocol::limits::PAGE_MAX;
use swarmmq_protocol::response::Response;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::attachment::Attachment;
use crate::census::Census;
use crate::identity::{self, IdentityError};
use crate::observer::Observer;
use crate::peer::Peer;
use crate::placement::ShardCount;
use crate::raft::{Group, GroupError, GroupOptions};
use crate::runtime::{Runtime, World};
use crate::shard::{Running, Shard, ShardOptions};
use crate::shards::Shards;

/// What a node's part of a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The cluster's name.
    pub name: String,
    /// Where other nodes and clients reach this one, as `host:port`.
    pub address: String,
    /// How many shards there are. Fixed when the data directory is made.
    pub shards: ShardCount,
    /// With what settings a put or a consumer makes a destination that is not there; `None`: it does not.
    pub auto_create: Option<AutoCreate>,
    /// The settings of the one group of a queue that somebody creates, or that dead letters make.
    pub queue_group: GroupSettings,
    /// Most destinations of all shards together. Requests that would make another one are refused with
    /// `LIMIT-REACHED`. Those under way at the same time, and queues that dead letters make, can exceed it.
    pub destinations_max: u64,
}

/// Why the shards did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The journal belongs to something else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A shard did not start.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// How the shards are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// How many shards there are.
    pub shards: u32,
    /// The shards that serve no clients now, each with why.
    pub unavailable: Vec<(u32, String)>,
    /// Whether new messages are refused because the disk is full.
    pub disk_full: bool,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) shards: Arc<Shards>,
    running: Vec<Running<Group>>,
    journal: Journal,
    ids: AtomicU64,
}

impl Inner {
    /// An id no other attachment or subscription of this process has.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&DestinationName>, limit: u32) -> Response {
        let limit = (limit as usize).clamp(1, PAGE_MAX);
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            match shard.list(prefix, after, limit) {
                Ok(infos) => all.extend(infos),
                Err(error) => return error.into(),
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.truncate(limit);
        Response::Destinations(all)
    }
}

/// A handle on this node's shards. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

impl Cluster {
    /// Starts every shard over the journal, whose writer must be running.
    ///
    /// # Errors
    /// [`StartError`] where the journal was made for something else or cannot be read. Shards that were started before the
    /// one that was not are stopped then, and hold the journal no more.
    pub async fn start(
        options: ClusterOptions,
        journal: Journal,
        world: Arc<dyn World>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        let runtime = Runtime::new(world);
        identity::claim(&journal, options.shards).await?;
        let census = Arc::new(Census::new(options.destinations_max));
        let mut receivers = Vec::new();
        let mut shards = Vec::new();
        for number in 0..options.shards.get() {
            let (shard, receiver) = Shard::new(ShardOptions {
                number,
                group: identity::group_of(number),
                journal: journal.clone(),
                runtime: runtime.clone(),
                observer: observer.clone(),
                auto_create: options.auto_create.clone(),
                queue_group: options.queue_group.clone(),
                census: census.clone(),
            });
            shards.push(shard);
            receivers.push(receiver);
        }
        let shards = Arc::new(Shards::new(options.shards, shards));
        let mut running = Vec::new();
        for (shard, receiver) in shards.iter().zip(receivers) {
            let group = match start_group(&options, &journal, shard, &runtime).await {
                Ok(group) => group,
                Err(error) => {
                    stop(&running).await;
                    return Err(error);
                }
            };
            running.push(Running::start(shard.clone(), Arc::new(group), receiver, shards.clone()));
        }
        // Every shard's snapshot is restored, and what lies behind it is not purged: from now on what
        // no machine holds can go.
        journal.holds_restored();
        let inner = Inner { shards, running, journal, ids: AtomicU64::new(1) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ties a session to the shards.
    #[must_use]
    pub fn attach(&self, peer: Arc<dyn Peer>) -> Attachment {
        Attachment::new(self.inner.next_id(), peer, self.inner.clone())
    }

    /// How the shards are.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = Health { disk_full: !self.inner.journal.admits(0), ..Health::default() };
        for shard in self.inner.shards.iter() {
            health.shards += 1;
            if let Some(error) = shard.refusal() {
                health.unavailable.push((shard.number, error.explanation));
            }
        }
        health
    }

    /// Waits until every shard serves clients. Says which do not when the time is over.
    ///
    /// # Errors
    /// The health as it was then.
    pub async fn wait_until_available(&self, at_most: Duration) -> Result<(), Health> {
        let deadline = Instant::now() + at_most;
        for running in &self.inner.running {
            if !running.available(deadline).await {
                return Err(self.health());
            }
        }
        Ok(())
    }

    /// Every destination of this node with its numbers, in the order of their names.
    #[must_use]
    pub fn destinations(&self, limit: u32) -> Vec<swarmmq_protocol::info::DestinationInfo> {
        match self.inner.list("", None, limit) {
            Response::Destinations(infos) => infos,
            _ => Vec::new(),
        }
    }

    /// What each shard holds and has counted, by number; of single destinations at most
    /// `destinations_max` each.
    #[must_use]
    pub fn shard_stats(&self, destinations_max: usize) -> Vec<(u32, swarmmq_broker::ShardStats)> {
        self.inner.shards.iter().map(|shard| (shard.number, shard.stats(destinations_max))).collect()
    }

    /// Takes every shard out of service, and writes their snapshots so that starting again is quick.
    ///
    /// What was submitted before is answered; what comes later is told that the node is stopping.
    /// The journal stays open: close it afterwards.
    pub async fn shutdown(&self) {
        stop(&self.inner.running).await;
    }
}

async fn start_group(
    options: &ClusterOptions,
    journal: &Journal,
    shard: &Arc<Shard>,
    runtime: &Runtime,
) -> Result<Group, StartError> {
    let group = Group::start(GroupOptions {
        cluster: options.name.clone(),
        group: shard.group,
        replica: identity::replica(journal, shard.number, runtime).await?,
        address: options.address.clone(),
        journal: journal.clone(),
        machine: shard.clone(),
        runtime: runtime.clone(),
    });
    Ok(group.await?)
}

/// Stops the shards, all at the same time.
async fn stop(all: &[Running<Group>]) {
    let mut stopping: JoinSet<()> = all.iter().map(Running::stop).collect();
    while stopping.join_next().await.is_some() {}
}

/// What a client is told that comes while the node stops.
pub(crate) fn stopping() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the node is stopping: use another, or try again when it is back",
    )
}
