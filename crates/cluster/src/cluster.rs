//! The cluster as a node's listeners use it.

use std::sync::Arc;

use swarmmq_protocol::response::Response;
use swarmmq_protocol::{ErrorCode, ErrorReply, Request};

use crate::peer::Peer;

/// A handle on this node's shards. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {}

impl Cluster {
    /// Ties a session to the shards. Dropping the attachment ends its subscriptions, makes what they
    /// leased ready again, and stops its pulls; puts and settlements under way go on without an answer.
    #[must_use]
    pub fn attach(&self, peer: Arc<dyn Peer>) -> Attachment {
        Attachment { peer }
    }
}

/// A session's tie to the shards.
pub struct Attachment {
    peer: Arc<dyn Peer>,
}

impl Attachment {
    /// Takes a request on. Never blocks; the answer comes by [`Peer::reply`], in any order, exactly once.
    ///
    /// Requests of one attachment to one destination take effect in the order they are submitted.
    pub fn submit(&self, correlation: u64, _request: Request) {
        self.peer.reply(correlation, Response::Error(ErrorReply::new(ErrorCode::Unavailable, "no shards")));
    }

    /// Gives a subscription more credit.
    pub fn credit(&self, _subscription: u64, _messages: u32) {}

    /// Says that so many bytes of deliveries of a subscription have left the session's queue.
    pub fn written(&self, _subscription: u64, _bytes: usize) {}
}
