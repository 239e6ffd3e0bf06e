//! A session's tie to the shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_protocol::request::{Request, Subscribe};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::time::Instant;

use crate::cluster::Inner;
use crate::peer::Peer;
use crate::shard::{Freed, SessionWindow, Subscription, Waiting};

/// Most subscriptions of one session.
const SUBSCRIPTIONS_MAX: usize = 1024;

/// A session's tie to the shards.
///
/// Dropping it ends its subscriptions, makes what they leased ready again, and stops its pulls.
/// Puts and settlements under way go on, and nobody hears of them.
pub struct Attachment {
    id: u64,
    peer: Arc<dyn Peer>,
    cluster: Arc<Inner>,
    subscriptions: Mutex<BTreeMap<u64, Arc<Subscription>>>,
    window: Arc<SessionWindow>,
}

impl Attachment {
    pub(crate) fn new(id: u64, peer: Arc<dyn Peer>, cluster: Arc<Inner>) -> Self {
        let subscriptions = Mutex::new(BTreeMap::new());
        Self { id, peer, cluster, subscriptions, window: Arc::default() }
    }

    /// Takes a request on. Never blocks; the answer comes by [`Peer::reply`], in any order, exactly once.
    ///
    /// Requests of one attachment to one destination take effect in the order they are submitted.
    pub fn submit(&self, correlation: u64, request: Request) {
        let waiting = Waiting { peer: self.peer.clone(), correlation, since: Instant::now() };
        match request {
            Request::Subscribe(subscribe) => {
                let response = match self.subscribe(correlation, subscribe) {
                    Ok(()) => Response::Subscribed,
                    Err(error) => Response::Error(error),
                };
                waiting.answer(response);
            }
            Request::Unsubscribe { subscription } => {
                let found = self.subscriptions.lock().remove(&subscription);
                let response = match found {
                    Some(found) => {
                        self.cluster.shards.of(&found.key.0).unsubscribe(&found);
                        let was_full = self.window.is_full();
                        drop(found);
                        if was_full {
                            // Its bytes in the window have gone with it.
                            self.look_at_all();
                        }
                        Response::Done { index: 0 }
                    }
                    None => unknown_subscription(subscription).into(),
                };
                waiting.answer(response);
            }
            Request::ListDestinations { prefix, after, limit } => {
                waiting.answer(self.cluster.list(&prefix, after.as_ref(), limit));
            }
            other => match other.destination() {
                Some(destination) => {
                    let shard = self.cluster.shards.of(destination).clone();
                    shard.submit(self.id, self.id, waiting, other);
                }
                None => {
                    let text = "this node does not know the request";
                    waiting.answer(ErrorReply::new(ErrorCode::Unsupported, text).into());
                }
            },
        }
    }

    fn subscribe(&self, id: u64, subscribe: Subscribe) -> Result<(), ErrorReply> {
        let was_full = self.window.is_full();
        let subscribed = self.take_on(id, subscribe);
        if was_full && !self.window.is_full() {
            // One that had ended has gone with its bytes.
            self.look_at_all();
        }
        subscribed
    }

    fn take_on(&self, id: u64, subscribe: Subscribe) -> Result<(), ErrorReply> {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.retain(|_, subscription| !subscription.is_ended());
        if subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let text = format!("a connection has at most {SUBSCRIPTIONS_MAX} subscriptions");
            return Err(ErrorReply::new(ErrorCode::LimitReached, text));
        }
        let shard = self.cluster.shards.of(&subscribe.destination).clone();
        let subscription = Arc::new(Subscription::new(
            self.peer.clone(),
            id,
            self.cluster.next_id(),
            (subscribe.destination, subscribe.group),
            u64::from(subscribe.lease_ms),
            subscribe.credit,
            self.window.clone(),
        ));
        shard.subscribe(&subscription)?;
        if let Some(earlier) = subscriptions.insert(id, subscription) {
            self.cluster.shards.of(&earlier.key.0).unsubscribe(&earlier);
        }
        Ok(())
    }

    /// Gives a subscription more credit. One that has ended needs none.
    pub fn credit(&self, subscription: u64, messages: u32) {
        let found = self.subscriptions.lock().get(&subscription).cloned();
        if let Some(found) = found {
            self.cluster.shards.of(&found.key.0).add_credit(&found, messages);
        }
    }

    /// Says that so many bytes of messages of a subscription have left the session's queue.
    ///
    /// Count the encoded messages, as [`Peer::deliver`] was given them.
    pub fn written(&self, subscription: u64, bytes: usize) {
        let found = self.subscriptions.lock().get(&subscription).cloned();
        let Some(found) = found else { return };
        match found.written(bytes) {
            Freed::Nobody => {}
            Freed::Subscription => self.look_at(&found),
            Freed::Session => self.look_at_all(),
        }
    }

    fn look_at(&self, subscription: &Subscription) {
        self.cluster.shards.of(&subscription.key.0).look_at(&subscription.key);
    }

    fn look_at_all(&self) {
        let subscriptions: Vec<_> = self.subscriptions.lock().values().cloned().collect();
        for subscription in subscriptions {
            self.look_at(&subscription);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        for subscription in std::mem::take(&mut *self.subscriptions.lock()).into_values() {
            self.cluster.shards.of(&subscription.key.0).unsubscribe(&subscription);
        }
        for shard in self.cluster.shards.iter() {
            shard.forget_pulls(self.id);
        }
    }
}

fn unknown_subscription(subscription: u64) -> ErrorReply {
    let text = format!("this connection has no subscription {subscription}");
    ErrorReply::new(ErrorCode::Unsupported, text)
}
