//! The shards as a session uses them.
//!
//! The one implementation that serves is [`swarmmq_cluster::Cluster`]. The traits exist so that a
//! session can be tested beside shards whose answers a test decides.

use std::sync::Arc;

use swarmmq_cluster::{Attachment, Cluster, Peer};
use swarmmq_protocol::Request;

/// Something that takes requests on: see [`Cluster`].
pub trait Shards: Send + Sync + 'static {
    /// Ties a session to the shards until the tie is dropped. See [`Cluster::attach`].
    fn attach(&self, peer: Arc<dyn Peer>) -> Box<dyn Tie>;
}

/// A session's tie to the shards: see [`Attachment`].
pub trait Tie: Send + Sync {
    /// See [`Attachment::submit`].
    fn submit(&self, correlation: u64, request: Request);

    /// See [`Attachment::credit`].
    fn credit(&self, subscription: u64, messages: u32);

    /// See [`Attachment::written`].
    fn written(&self, subscription: u64, bytes: usize);
}

impl Shards for Cluster {
    fn attach(&self, peer: Arc<dyn Peer>) -> Box<dyn Tie> {
        Box::new(Cluster::attach(self, peer))
    }
}

impl Tie for Attachment {
    fn submit(&self, correlation: u64, request: Request) {
        Attachment::submit(self, correlation, request);
    }

    fn credit(&self, subscription: u64, messages: u32) {
        Attachment::credit(self, subscription, messages);
    }

    fn written(&self, subscription: u64, bytes: usize) {
        Attachment::written(self, subscription, bytes);
    }
}
