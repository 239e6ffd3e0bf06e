//! Follows leadership, and has snapshots taken.

use std::sync::Arc;

use swarmmq_broker::Command;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::{oneshot, watch};

use super::proposal::Origin;
use super::state::Shard;
use super::submit::SMALL_COMMAND_BYTES;
use crate::consensus::{Consensus, Leadership};

/// Runs until the shard stops.
pub(super) async fn run<C: Consensus>(shard: Arc<Shard>, consensus: Arc<C>) {
    let mut leadership = consensus.leadership();
    leadership.mark_changed();
    loop {
        tokio::select! {
            biased;
            () = shard.stop.cancelled() => return,
            changed = leadership.changed() => {
                if changed.is_err() {
                    step_down(&shard, &Leadership { fatal: Some("consensus has ended".into()), ..Leadership::default() });
                    return;
                }
                let now = leadership.borrow_and_update().clone();
                if now.here {
                    take_over(&shard, now.term, &leadership).await;
                } else {
                    step_down(&shard, &now);
                }
            }
            () = shard.upkeep.notified() => {
                if shard.wants_snapshot() {
                    consensus.compact().await;
                }
            }
        }
    }
}

/// Begins to serve a term: once an entry of it is applied, so is everything that was acknowledged before.
async fn take_over(shard: &Arc<Shard>, term: u64, leadership: &watch::Receiver<Leadership>) {
    if shard.core.lock().leading == Some(term) {
        return;
    }
    let (tx, rx) = oneshot::channel();
    shard.propose(Command::Tick { destinations: Vec::new() }, SMALL_COMMAND_BYTES, Origin::Task(tx));
    if !matches!(rx.await, Ok(Ok(_))) {
        return;
    }
    if !(leadership.borrow().here && leadership.borrow().term == term) {
        return;
    }
    let mut core = shard.core.lock();
    if let Some(index) = shard.missing(&core) {
        let reason = format!("the journal has no record {index}, which holds live messages: it is damaged");
        tracing::error!(shard = shard.number, %reason, "the shard serves nobody");
        core.fatal = Some(reason);
        return;
    }
    core.broker.reset_volatile(term);
    core.leading = Some(term);
    core.leader = None;
    core.takers.mark_all();
    drop(core);
    tracing::debug!(shard = shard.number, term, "this node leads the shard");
    shard.work.notify_one();
    shard.outbox.notify_one();
}

/// Ends serving: whoever waits is told where to go.
fn step_down(shard: &Shard, now: &Leadership) {
    let mut core = shard.core.lock();
    let led = core.leading.take().is_some();
    core.leader.clone_from(&now.elsewhere);
    core.fatal.clone_from(&now.fatal);
    let code = if now.elsewhere.is_some() { ErrorCode::NotLeader } else { ErrorCode::Unavailable };
    let error = ErrorReply {
        leader: now.elsewhere.clone(),
        ..ErrorReply::new(code, format!("this node does not lead shard {} any more", shard.number))
    };
    core.takers.dismiss_all(&error);
    drop(core);
    if let Some(reason) = &now.fatal {
        tracing::error!(shard = shard.number, %reason, "the shard has stopped");
    } else if led {
        tracing::info!(
            shard = shard.number,
            leader = now.elsewhere,
            "this node does not lead the shard any more"
        );
    }
}
