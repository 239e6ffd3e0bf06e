//! Makes entries of commands: what comes while earlier entries are synced goes into the next one.

use std::sync::Arc;

use swarmmq_broker::EntryBuilder;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::proposal::{Origin, Proposal, error_reply};
use super::state::Shard;
use crate::consensus::{Committed, Consensus, ProposeError};

/// Most commands of one entry.
const ENTRY_COMMANDS_MAX: usize = 4096;
/// An entry takes no further command once it has this many bytes. A large put alone may have more.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// What consensus adds to an entry before it is in the journal, at most.
const ENTRY_FRAME_BYTES: usize = 1024;
/// Most entries under way at once. One is being synced while the next is applied and answered; more
/// would only make entries smaller.
const ENTRIES_UNDER_WAY_MAX: usize = 2;

/// Runs until the shard stops and its queue is empty.
pub(super) async fn run<C: Consensus>(
    shard: Arc<Shard>,
    consensus: Arc<C>,
    mut proposals: mpsc::Receiver<Proposal>,
) {
    let limit = shard.journal.payload_bytes_max().saturating_sub(ENTRY_FRAME_BYTES);
    // A command may add more than it was estimated at: half of what the journal takes is left for that.
    let enough = ENTRY_BYTES_MAX.min(limit / 2);
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
        let mut take = |proposal: Proposal, entry: &mut EntryBuilder, bytes: &mut usize| {
            *bytes += proposal.bytes;
            entry.push(&proposal.command);
            origins.push(proposal.origin);
        };
        take(first, &mut entry, &mut bytes);
        let mut commands = 1;
        while commands < ENTRY_COMMANDS_MAX && entry.len() < enough {
            let Ok(proposal) = proposals.try_recv() else { break };
            if entry.len() + proposal.bytes > enough {
                next = Some(proposal);
                break;
            }
            take(proposal, &mut entry, &mut bytes);
            commands += 1;
        }
        shard.unqueue(bytes);
        let entry = entry.finish();
        if entry.len() > limit {
            // One command alone: the journal would refuse it, and a replica whose journal refuses stops.
            let error = too_large(entry.len(), limit);
            for origin in origins {
                origin.fail(error.clone());
            }
            continue;
        }
        shard.observer.proposed(commands as u64, entry.len() as u64);
        let answering = shard.clone();
        let done = move |result| {
            drop(place);
            answer(&answering, origins, result);
        };
        consensus.propose(entry, Box::new(done)).await;
    }
}

fn too_large(bytes: usize, limit: usize) -> ErrorReply {
    let text = format!(
        "{bytes} bytes in one request, and the journal takes {limit} at once: send less, or give the node larger segments"
    );
    ErrorReply::new(ErrorCode::TooLarge, text)
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
