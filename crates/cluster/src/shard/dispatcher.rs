//! Leases messages to those who wait for them, and keeps the shard's time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use swarmmq_broker::{Due, LeaseRequest, Leased, filter};
use swarmmq_protocol::request::{Settle, Verdict};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::proposal::Origin;
use super::state::{Core, Shard};
use super::submit;
use super::takers::{Key, Taker};

/// Most messages leased in one go.
const BATCH_MESSAGES_MAX: u32 = 512;
/// A batch takes no further message once it has this many bytes.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How long the dispatcher sleeps at most, so that a clock that jumped is noticed.
const NAP_MAX: Duration = Duration::from_secs(1);

/// Runs until the shard stops.
pub(super) async fn run(shard: Arc<Shard>) {
    loop {
        let mut served = false;
        let next = {
            let mut core = shard.core.lock();
            if core.leading.is_some() { core.takers.next_key() } else { None }
        };
        if let Some(key) = next {
            served = true;
            serve(&shard, key).await;
        }
        let nap = keep_time(&shard);
        if served {
            // Others must come by between two groups, however many there are.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = shard.stop.cancelled() => return,
            () = shard.work.notified() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// Does what is due, and says how long nothing will be.
fn keep_time(shard: &Arc<Shard>) -> Duration {
    let now = Instant::now();
    let now_ms = shard.runtime.now_ms();
    let mut core = shard.core.lock();
    core.takers.expire_pulls(now);
    let mut nap = NAP_MAX;
    if let Some(deadline) = core.takers.next_deadline() {
        nap = nap.min(deadline.saturating_duration_since(now));
    }
    if core.leading.is_none() {
        return nap;
    }
    let mut commands = Vec::new();
    if let Some(due_ms) = core.broker.next_due() {
        if due_ms > now_ms {
            nap = nap.min(Duration::from_millis(due_ms - now_ms));
        } else if !shard.tick_under_way.swap(true, Ordering::AcqRel) {
            let due: Due = core.broker.due(now_ms);
            for wakeup in due.ready {
                core.takers.mark((wakeup.destination, wakeup.group));
            }
            commands = due.commands;
            if commands.is_empty() {
                shard.tick_under_way.store(false, Ordering::Release);
            }
            // What is ready now is looked at before the next nap.
            nap = Duration::ZERO;
        }
    }
    drop(core);
    propose_timed(shard, commands);
    nap
}

/// Puts the commands that time asked for forward; there will be no others until they are applied.
fn propose_timed(shard: &Arc<Shard>, commands: Vec<swarmmq_broker::Command>) {
    let mut commands = commands.into_iter().peekable();
    while let Some(command) = commands.next() {
        if commands.peek().is_some() {
            submit::propose_internal(shard, command);
            continue;
        }
        let (tx, rx) = oneshot::channel();
        shard.propose(command, submit::SMALL_COMMAND_BYTES, Origin::Task(tx));
        let shard = shard.clone();
        tokio::spawn(async move {
            let _applied = rx.await;
            shard.tick_under_way.store(false, Ordering::Release);
            shard.work.notify_one();
        });
    }
}

/// Gives the next in a group's line what there is for it. Where it took something the group comes up
/// again, behind the others.
async fn serve(shard: &Arc<Shard>, key: Key) {
    if let Some((key, taker, leased)) = lease(shard, key) {
        deliver(shard, key, taker, leased).await;
    }
}

/// Leases what the next in a group's line can take, if there is any.
fn lease(shard: &Arc<Shard>, key: Key) -> Option<(Key, Taker, Vec<Leased>)> {
    let now_ms = shard.runtime.now_ms();
    // One lock from the line to the lease and back to the line: who goes, or becomes ready, meanwhile waits.
    let mut core = shard.core.lock();
    let taker = core.takers.next_taker(&key)?;
    let (consumer, messages_max, lease_ms) = match &taker {
        Taker::Subscription(subscription) => {
            (subscription.consumer, subscription.room().min(BATCH_MESSAGES_MAX), subscription.lease_ms)
        }
        Taker::Pull(pull) => (pull.consumer, pull.messages_max, pull.lease_ms),
    };
    let request = LeaseRequest {
        destination: key.0.clone(),
        group: key.1.clone(),
        consumer,
        messages_max: messages_max as usize,
        bytes_max: BATCH_BYTES_MAX,
        lease_ms,
    };
    match core.broker.lease(now_ms, &request) {
        Err(error) => refuse(shard, core, key, taker, error),
        Ok(leases) if leases.leased.is_empty() => put_back(core, key, taker, leases.more),
        Ok(leases) => return Some((key, taker, leases.leased)),
    }
    None
}

/// There was nothing to lease, or the search for it has `more` to look through.
fn put_back(mut core: MutexGuard<'_, Core>, key: Key, taker: Taker, more: bool) {
    if let Taker::Pull(pull) = taker {
        if pull.deadline <= Instant::now() && !more {
            drop(core);
            return pull.waiting.answer(Response::Messages(Vec::new()));
        }
        core.takers.pull_again(key.clone(), pull);
    }
    if more {
        core.takers.mark(key);
    }
}

/// The group cannot be leased from: makes the queue where that is asked for, or says why not.
fn refuse(shard: &Arc<Shard>, mut core: MutexGuard<'_, Core>, key: Key, taker: Taker, error: ErrorReply) {
    if let Taker::Pull(pull) = taker {
        core.takers.pull_again(key.clone(), pull);
    }
    drop(core);
    match (&shard.auto_create, error.code) {
        (Some(auto_create), ErrorCode::UnknownDestination) => {
            submit::create_then_serve(shard, key, auto_create);
        }
        _ => shard.core.lock().takers.dismiss(&key, &error),
    }
}

/// Reads leased messages and hands them over.
async fn deliver(shard: &Arc<Shard>, key: Key, taker: Taker, leased: Vec<Leased>) {
    let locations = leased.iter().map(|leased| leased.location).collect();
    let messages = match shard.read(locations).await {
        Ok(messages) => messages,
        Err(error) => {
            // The leases run out by themselves. Acknowledged messages that cannot be read are damage:
            // it is said loudly and to those who wait, and nothing is thrown away.
            tracing::error!(shard = shard.number, destination = %key.0, group = %key.1, %error,
                "a stored message cannot be read");
            let error =
                ErrorReply::new(ErrorCode::Internal, format!("a stored message cannot be read: {error}"));
            if let Taker::Pull(pull) = taker {
                pull.waiting.answer(error.clone().into());
            }
            shard.core.lock().takers.dismiss(&key, &error);
            return;
        }
    };
    let conditions = if leased.iter().any(|leased| leased.check_filter) {
        let core = shard.core.lock();
        core.broker.group_settings(&key.0, &key.1).map(|settings| settings.filter.clone()).unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut deliveries = Vec::with_capacity(messages.len());
    let mut unwanted = Vec::new();
    for (leased, message) in leased.into_iter().zip(messages) {
        if leased.check_filter
            && !message.decode().is_ok_and(|message| filter::matches(&conditions, &message))
        {
            unwanted.push(leased.receipt);
            continue;
        }
        deliveries.push(Delivery {
            receipt: leased.receipt,
            attempt: leased.attempt,
            stored_ms: leased.stored_ms,
            message,
        });
    }
    if !unwanted.is_empty() {
        let settle = Settle {
            destination: key.0.clone(),
            group: key.1.clone(),
            verdict: Verdict::Ack,
            receipts: unwanted,
        };
        submit::settle_internal(shard, &settle);
    }
    hand_over(shard, &key, taker, deliveries);
    shard.core.lock().takers.mark(key);
}

fn hand_over(shard: &Shard, key: &Key, taker: Taker, deliveries: Vec<Delivery>) {
    let bytes: usize = deliveries.iter().map(|delivery| delivery.message.len()).sum();
    let again = deliveries.iter().filter(|delivery| delivery.attempt > 1).count();
    if !deliveries.is_empty() {
        shard.observer.delivered(deliveries.len() as u64, bytes as u64, again as u64);
    }
    match taker {
        Taker::Pull(pull) if deliveries.is_empty() => {
            shard.core.lock().takers.pull_again(key.clone(), pull);
        }
        Taker::Pull(pull) => pull.waiting.answer(Response::Messages(deliveries)),
        Taker::Subscription(_) if deliveries.is_empty() => {}
        Taker::Subscription(subscription) => {
            let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
            subscription.sent(count, bytes);
            subscription.peer.deliver(subscription.id, deliveries);
        }
    }
}
