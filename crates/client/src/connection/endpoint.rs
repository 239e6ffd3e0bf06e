//! What speaks through a connection, and how it writes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use swarmmq_protocol::native::{FrameKind, encode_frame_with};
use swarmmq_protocol::response::Delivery;
use swarmmq_protocol::{Encode, ErrorReply, Request, Response};

use crate::connection::link::Link;
use crate::error::Error;

/// What an endpoint recognises an answer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Which of its requests.
    pub(crate) number: u64,
    /// Which try of it.
    pub(crate) attempt: u32,
}

/// Something at this end of a connection that sends requests and is sent answers.
///
/// A session calls these from its task; none may block or wait.
pub(crate) trait Endpoint: Send + Sync + 'static {
    /// Writes what there is to send, for as long as there is room. Says whether something is left.
    fn poll_frames(self: Arc<Self>, out: &mut Frames<'_>) -> bool;

    /// Takes the answer to a request, or why there will be none.
    fn handle_reply(self: Arc<Self>, token: Token, reply: Result<Response, Error>);

    /// Takes messages of a subscription.
    fn handle_delivery(self: Arc<Self>, _subscription: u64, _deliveries: Vec<Delivery>) {}

    /// Takes the end of a subscription: by the node, or with the connection.
    fn handle_ended(self: Arc<Self>, _subscription: u64, _why: Result<ErrorReply, Error>) {}

    /// The link is closed for good while the endpoint waited to write.
    fn handle_closed(self: Arc<Self>);
}

/// A request that waits for its answer.
pub(super) struct Pending {
    pub(super) endpoint: Arc<dyn Endpoint>,
    pub(super) token: Token,
}

/// What of a session an endpoint writes to.
pub(crate) struct Frames<'a> {
    pub(super) link: &'a Link,
    pub(super) buffer: &'a mut BytesMut,
    pub(super) next_correlation: &'a mut u64,
    pub(super) pending: &'a mut HashMap<u64, Pending>,
    pub(super) subscriptions: &'a mut HashMap<u64, Arc<dyn Endpoint>>,
    /// Most requests under way.
    pub(super) in_flight_max: usize,
    /// Nothing more is begun when the buffer holds so many bytes.
    pub(super) bytes_max: usize,
}

impl Frames<'_> {
    /// Whether these go to the node of `link`.
    pub(crate) fn is_of(&self, link: &Arc<Link>) -> bool {
        std::ptr::eq(Arc::as_ptr(link), self.link)
    }

    /// Whether another request may be written now.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < self.in_flight_max && self.buffer.len() < self.bytes_max
    }

    /// Writes a request whose body is what `body` appends.
    pub(crate) fn request_with(
        &mut self,
        endpoint: Arc<dyn Endpoint>,
        token: Token,
        body: impl FnOnce(&mut BytesMut),
    ) -> u64 {
        let correlation = *self.next_correlation;
        *self.next_correlation += 1;
        encode_frame_with(FrameKind::Request, correlation, self.buffer, body);
        self.pending.insert(correlation, Pending { endpoint, token });
        correlation
    }

    /// Writes a request.
    pub(crate) fn request(&mut self, endpoint: Arc<dyn Endpoint>, token: Token, request: &Request) -> u64 {
        self.request_with(endpoint, token, |out| request.encode(out))
    }

    /// Writes a subscription; its deliveries come to the same endpoint.
    pub(crate) fn subscribe(&mut self, endpoint: Arc<dyn Endpoint>, token: Token, request: &Request) -> u64 {
        let subscription = self.request(endpoint.clone(), token, request);
        self.subscriptions.insert(subscription, endpoint);
        subscription
    }

    /// Gives credit to a subscription.
    pub(crate) fn credit(&mut self, subscription: u64, credit: u32) {
        encode_frame_with(FrameKind::Credit, subscription, self.buffer, |out| out.put_u32(credit));
    }

    /// Takes no more deliveries of a subscription.
    pub(crate) fn forget(&mut self, subscription: u64) {
        self.subscriptions.remove(&subscription);
    }
}
