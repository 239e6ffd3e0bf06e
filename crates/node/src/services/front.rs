//! The registry in front of the shards: it answers what is about services, and hands on all else.

use std::sync::Arc;

use swarmmq_cluster::Peer;
use swarmmq_protocol::Request;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::desk::Services;
use crate::shards::{Shards, Tie};

/// Shards that know about services as well.
pub struct WithServices {
    shards: Arc<dyn Shards>,
    services: Arc<Services>,
}

impl WithServices {
    /// Puts `services` in front of `shards`.
    #[must_use]
    pub fn new(shards: Arc<dyn Shards>, services: Arc<Services>) -> Self {
        Self { shards, services }
    }
}

impl Shards for WithServices {
    fn attach(&self, peer: Arc<dyn Peer>) -> Box<dyn Tie> {
        Box::new(ServiceTie {
            inner: self.shards.attach(peer.clone()),
            peer,
            services: self.services.clone(),
            watches: CancellationToken::new().drop_guard(),
        })
    }
}

struct ServiceTie {
    inner: Box<dyn Tie>,
    peer: Arc<dyn Peer>,
    services: Arc<Services>,
    /// Ends the watches that wait when the session is gone.
    watches: DropGuard,
}

impl Tie for ServiceTie {
    fn submit(&self, correlation: u64, request: Request) {
        match request {
            Request::Announce(instance) => self.peer.reply(correlation, self.services.announce(instance)),
            Request::Withdraw(key) => self.peer.reply(correlation, self.services.withdraw(&key)),
            Request::Watch(watch) => {
                if let Some(response) = self.services.look(&watch) {
                    self.peer.reply(correlation, response);
                    return;
                }
                let (services, peer) = (self.services.clone(), self.peer.clone());
                let gone = self.watches.token().child_token();
                tokio::spawn(async move {
                    tokio::select! {
                        response = services.wait(watch) => peer.reply(correlation, response),
                        () = gone.cancelled() => {}
                    }
                });
            }
            other => self.inner.submit(correlation, other),
        }
    }

    fn credit(&self, subscription: u64, messages: u32) {
        self.inner.credit(subscription, messages);
    }

    fn written(&self, subscription: u64, bytes: usize) {
        self.inner.written(subscription, bytes);
    }
}
