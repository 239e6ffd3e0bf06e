//! What the cluster needs of a session.

use swarmmq_protocol::ErrorReply;
use swarmmq_protocol::response::{Delivery, Response};

/// A session as the cluster sees it: where answers and deliveries go.
///
/// The methods are called from the cluster's tasks and must not block: a session appends to a queue
/// of its own. That queue is bounded by what the session asked for: a reply for each request under
/// way, and deliveries within the credit and the byte window of its subscriptions.
pub trait Peer: Send + Sync + 'static {
    /// The answer to the request with this correlation id. Called exactly once for each request.
    fn reply(&self, correlation: u64, response: Response);

    /// Messages for a subscription. The session reports each delivery's bytes back with
    /// [`Attachment::written`](crate::Attachment::written) once they have left its queue.
    fn deliver(&self, subscription: u64, deliveries: Vec<Delivery>);

    /// A subscription has ended, and not because the session ended it.
    fn ended(&self, subscription: u64, error: ErrorReply);
}
