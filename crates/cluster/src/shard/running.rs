//! A shard with its tasks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::proposal::Proposal;
use super::state::Shard;
use super::{dispatcher, forwarder, keeper, proposer};
use crate::consensus::Consensus;
use crate::shards::Shards;

/// How often a wait looks again. Waits are for starts and stops, which nothing hurries.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A shard, its consensus and its tasks.
pub(crate) struct Running<C> {
    shard: Arc<Shard>,
    consensus: Arc<C>,
    proposer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl<C: Consensus> Running<C> {
    pub(crate) fn start(
        shard: Arc<Shard>,
        consensus: Arc<C>,
        proposals: mpsc::Receiver<Proposal>,
        shards: Arc<Shards>,
    ) -> Self {
        let proposer = tokio::spawn(proposer::run(shard.clone(), consensus.clone(), proposals));
        tokio::spawn(dispatcher::run(shard.clone()));
        tokio::spawn(forwarder::run(shard.clone(), shards));
        tokio::spawn(keeper::run(shard.clone(), consensus.clone()));
        Self { shard, consensus, proposer: Arc::new(Mutex::new(Some(proposer))) }
    }

    /// Waits until the shard serves clients; says whether it does by then.
    pub(crate) async fn available(&self, deadline: Instant) -> bool {
        while self.shard.refusal().is_some() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Ends the shard: answers what was submitted, writes a snapshot, leaves consensus.
    pub(crate) fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let (shard, consensus) = (self.shard.clone(), self.consensus.clone());
        let proposer = self.proposer.lock().take();
        async move {
            shard.stop.cancel();
            shard.dismiss_all();
            if let Some(proposer) = proposer {
                let _ended = proposer.await;
            }
            // On a full disk the snapshot would wait for room; the next start applies the log instead.
            if shard.has_log_to_compact() && shard.journal.admits(0) {
                consensus.compact().await;
                consensus.compacted(shard.applied_index()).await;
            }
            consensus.shutdown().await;
        }
    }
}
