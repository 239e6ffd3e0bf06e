//! The task of a tap: from its queue to those who watch.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use swarmmq_broker::exchange::{PeerId, Side};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::mirror::Mirrored;
use super::point::Tapped;
use crate::security::{Method, Principal};
use crate::zeromq::drops::{Drops, Reason};
use crate::zeromq::hub::{Hub, Outbox};
use crate::zeromq::ingest::Ingest;
use crate::zeromq::options::Limits;
use crate::zeromq::session::Service as _;

/// Messages passed on before others run.
const BATCH_MAX: usize = 256;

/// Where a tap's messages go.
pub(in crate::zeromq) enum Sink {
    /// To the subscribers at this hub.
    Subscribers(Arc<Hub>),
    /// Into a destination.
    Destination(Box<Ingest>),
}

/// Runs a tap until `stop` is cancelled, and what it has is passed on.
pub(in crate::zeromq) async fn run(
    mirrored: Mirrored,
    tapped: Tapped,
    sink: Sink,
    limits: Limits,
    drops: Drops,
    stop: CancellationToken,
) {
    match sink {
        Sink::Subscribers(hub) => publish(&hub, mirrored, tapped, &limits, &stop).await,
        Sink::Destination(ingest) => store(*ingest, mirrored, tapped, &limits, &drops, &stop).await,
    }
}

/// A publisher of the hub, though without a connection.
async fn publish(
    hub: &Hub,
    mut mirrored: Mirrored,
    tapped: Tapped,
    limits: &Limits,
    stop: &CancellationToken,
) {
    let outbox = Arc::new(Outbox::new(limits.peer_queue_messages_max, limits.send_queue_bytes, false));
    let wakeup = outbox.wakeup().clone();
    let everything = Principal::unrestricted("tap", Method::Open);
    let publisher = hub.attach(Side::Front, "PUB", Bytes::new(), everything, outbox.clone());
    let mut inbox = VecDeque::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // What subscribers want is of no interest: all of it is published.
            () = wakeup.woken() => forget(hub, publisher, &outbox),
            Some(frames) = mirrored.next() => {
                inbox.push_back(frames);
                while inbox.len() < BATCH_MAX && let Some(frames) = mirrored.poll() {
                    inbox.push_back(frames);
                }
                while !inbox.is_empty() {
                    hub.handle(publisher, &outbox, &mut inbox, true);
                    // Subscribers whose queue it has filled come first.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    drop(tapped);
    // What was mirrored before goes out: to the queues of subscribers, who still get those.
    while let Some(frames) = mirrored.poll() {
        inbox.push_back(frames);
        hub.handle(publisher, &outbox, &mut inbox, true);
    }
    hub.detach(publisher);
}

fn forget(hub: &Hub, publisher: PeerId, outbox: &Outbox) {
    if outbox.take(&mut VecDeque::new()) {
        hub.drained(publisher);
    }
}

/// What an ingest endpoint does with a peer's messages, with those of the tap. At the end it gets the time to store
/// what it has.
async fn store(
    mut ingest: Ingest,
    mut mirrored: Mirrored,
    tapped: Tapped,
    limits: &Limits,
    drops: &Drops,
    stop: &CancellationToken,
) {
    let wakeup = ingest.wakeup();
    loop {
        while ingest.wants_input()
            && let Some(frames) = mirrored.poll()
        {
            ingest.handle_message(frames);
        }
        ingest.handle_round(Instant::now());
        let retry = ingest.poll_timeout();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(frames) = mirrored.next(), if ingest.wants_input() => ingest.handle_message(frames),
            () = wakeup.woken() => {}
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
        }
    }
    drop(tapped);
    let end = Instant::now() + limits.drain_timeout;
    loop {
        while ingest.wants_input()
            && let Some(frames) = mirrored.poll()
        {
            ingest.handle_message(frames);
        }
        ingest.handle_round(Instant::now());
        if ingest.is_done() {
            break;
        }
        let next = ingest.poll_timeout().map_or(end, |retry| retry.min(end));
        let _ = timeout_at(next, wakeup.woken()).await;
        if Instant::now() >= end {
            break;
        }
    }
    let mut unconfirmed = ingest.unconfirmed();
    while mirrored.poll().is_some() {
        unconfirmed += 1;
    }
    if unconfirmed > 0 {
        drops.count_many(Reason::Unconfirmed, unconfirmed as u64);
    }
}
