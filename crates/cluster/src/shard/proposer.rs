//! Makes entries of commands: what comes while earlier entries are synced goes into the next one.

use std::sync::Arc;

use swarmmq_broker::EntryBuilder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::proposal::{Origin, Proposal, error_reply};
use super::state::Shard;
use crate::consensus::{Committed, Consensus, ProposeError};

/// Most commands of one entry.
const ENTRY_COMMANDS_MAX: usize = 4096;
/// An entry takes no further command once it has this many bytes. A large put alone may have more.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Most entries under way at once. One is being synced while the next is applied and answered; more
/// would only make entries smaller.
const ENTRIES_UNDER_WAY_MAX: usize = 2;

/// Runs until the shard stops and its queue is empty.
pub(super) async fn run<C: Consensus>(
    shard: Arc<Shard>,
    consensus: Arc<C>,
    mut proposals: mpsc::Receiver<Proposal>,
) {
    let places = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY_MAX));
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => tokio::select! {
                biased;
                first = proposals.recv() => match first {
                    Some(first) => first,
                    None => return,
                },
                () = shard.stop.cancelled() => {
                    proposals.close();
                    continue;
                }
            },
        };
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let token_bound = shard.core.lock().broker.token_bound();
        let mut entry = EntryBuilder::new(shard.runtime.now_ms(), token_bound);
        let mut origins = Vec::new();
        let mut bytes = 0;
        let mut take = |proposal: Proposal, bytes: &mut usize| {
            *bytes += proposal.bytes;
            entry.push(&proposal.command);
            origins.push(proposal.origin);
        };
        take(first, &mut bytes);
        let mut commands = 1;
        while commands < ENTRY_COMMANDS_MAX && bytes < ENTRY_BYTES_MAX {
            let Ok(proposal) = proposals.try_recv() else { break };
            if bytes + proposal.bytes > ENTRY_BYTES_MAX {
                next = Some(proposal);
                break;
            }
            take(proposal, &mut bytes);
            commands += 1;
        }
        shard.unqueue(bytes);
        let entry = entry.finish();
        shard.observer.proposed(commands as u64, entry.len() as u64);
        let answering = shard.clone();
        let done = move |result| {
            drop(place);
            answer(&answering, origins, result);
        };
        consensus.propose(entry, Box::new(done)).await;
    }
}

fn answer(shard: &Shard, origins: Vec<Origin>, result: Result<Committed, ProposeError>) {
    match result {
        Ok(Committed { index, applied }) => {
            let now = Instant::now();
            debug_assert_eq!(origins.len(), applied.outcomes.len(), "one outcome for each command");
            for (origin, outcome) in origins.into_iter().zip(applied.outcomes) {
                origin.complete(index, outcome, &*shard.observer, now);
            }
        }
        Err(error) => {
            let error = error_reply(&error);
            for origin in origins {
                origin.fail(error.clone());
            }
        }
    }
}
