//! The requests that are not answered yet.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::exchange::{Drop, Frames, PeerId, own};

/// What a frame costs beside its bytes.
const FRAME_OVERHEAD_BYTES: usize = 32;
/// What a request costs beside its frames.
const REQUEST_OVERHEAD_BYTES: usize = 256;

/// The memory that frames take.
pub(in crate::exchange) fn weigh(frames: &[Bytes]) -> usize {
    frames.iter().map(|frame| frame.len() + FRAME_OVERHEAD_BYTES).sum()
}

/// The memory that a request takes.
pub(super) fn weigh_request(body: &[Bytes]) -> usize {
    REQUEST_OVERHEAD_BYTES + weigh(body)
}

/// The number of a request. Numbers count up and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exchange) struct RequestId(pub(super) u64);

/// Who still waits for the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// The client.
    Waiting,
    /// The client is gone.
    Gone,
    /// The client does not read, or its reply grew too large: the rest is dropped. That has been counted.
    GivenUp,
    /// A client inside whose reply grew too large. It hears so when the worker has done, as it may ask again then.
    Overfull(Drop),
}

/// A request. `R` is what the reply needs to be written.
#[derive(Debug)]
pub(super) struct Request<R> {
    pub(super) client: PeerId,
    pub(super) service: Bytes,
    pub(super) back: R,
    /// Empty once it will certainly not be given to another worker.
    pub(super) body: Frames,
    /// Until when it may wait for a worker.
    pub(super) deadline_ms: u64,
    /// The worker that has it; none while it waits.
    pub(super) worker: Option<PeerId>,
    /// Since when that one has it.
    pub(super) started_ms: u64,
    /// To how many workers it was given.
    pub(super) attempts: u8,
    pub(super) audience: Audience,
    /// The client has a part of the reply, so that another worker must not begin anew.
    pub(super) parted: bool,
    /// Parts of the reply for a client that can take only a whole one.
    pub(super) joined: Frames,
    /// Since when the client has been seen not to read.
    pub(super) blocked_since_ms: Option<u64>,
    /// The memory of all of this.
    bytes: usize,
}

/// All requests, and the ways to find them.
#[derive(Debug)]
pub(super) struct Requests<R> {
    table: BTreeMap<RequestId, Request<R>>,
    of_client: BTreeMap<PeerId, BTreeSet<RequestId>>,
    /// Those that wait for a worker, by when they have to stop.
    deadlines: BTreeSet<(u64, RequestId)>,
    last: u64,
    bytes: usize,
}

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            of_client: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            last: 0,
            bytes: 0,
        }
    }
}

impl<R> Requests<R> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&Request<R>> {
        self.table.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request<R>> {
        self.table.get_mut(&id)
    }

    /// The memory that a request takes.
    pub(super) fn bytes_of(&self, id: RequestId) -> usize {
        self.table.get(&id).map_or(0, |request| request.bytes)
    }

    /// How many requests of a client are not answered.
    pub(super) fn count_of(&self, client: PeerId) -> usize {
        self.of_client.get(&client).map_or(0, BTreeSet::len)
    }

    /// The oldest request of a client that is not answered.
    pub(super) fn first_of(&self, client: PeerId) -> Option<&Request<R>> {
        let id = self.of_client.get(&client)?.first()?;
        self.table.get(id)
    }

    /// When the first of those that wait has to stop.
    pub(super) fn next_deadline(&self) -> Option<(u64, RequestId)> {
        self.deadlines.first().copied()
    }

    /// Adds a request that waits.
    pub(super) fn insert(
        &mut self,
        client: PeerId,
        service: Bytes,
        back: R,
        body: Frames,
        deadline_ms: u64,
    ) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        let bytes = weigh_request(&body);
        self.bytes += bytes;
        self.of_client.entry(client).or_default().insert(id);
        self.deadlines.insert((deadline_ms, id));
        let request = Request {
            client,
            service,
            back,
            body: own(&body),
            deadline_ms,
            worker: None,
            started_ms: 0,
            attempts: 0,
            audience: Audience::Waiting,
            parted: false,
            joined: Frames::new(),
            blocked_since_ms: None,
            bytes,
        };
        self.table.insert(id, request);
        id
    }

    /// A request is answered or dropped.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<Request<R>> {
        let request = self.table.remove(&id)?;
        self.bytes -= request.bytes;
        self.deadlines.remove(&(request.deadline_ms, id));
        if let Some(ids) = self.of_client.get_mut(&request.client) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_client.remove(&request.client);
            }
        }
        Some(request)
    }

    /// A worker gets a request.
    pub(super) fn start(&mut self, now_ms: u64, id: RequestId, worker: PeerId) {
        let Some(request) = self.table.get_mut(&id) else { return };
        self.deadlines.remove(&(request.deadline_ms, id));
        request.worker = Some(worker);
        request.started_ms = now_ms;
        request.attempts = request.attempts.saturating_add(1);
    }

    /// A request waits again.
    pub(super) fn put_back(&mut self, id: RequestId, deadline_ms: u64) {
        self.forget_parts(id);
        let Some(request) = self.table.get_mut(&id) else { return };
        request.worker = None;
        request.blocked_since_ms = None;
        request.deadline_ms = deadline_ms;
        self.deadlines.insert((deadline_ms, id));
    }

    /// It will not be given to another worker: its body is not needed.
    pub(super) fn forget_body(&mut self, id: RequestId) {
        let Some(request) = self.table.get_mut(&id) else { return };
        let body = std::mem::take(&mut request.body);
        let freed = weigh(&body);
        request.bytes -= freed;
        self.bytes -= freed;
    }

    /// The parts of its reply will not be given to anybody.
    pub(super) fn forget_parts(&mut self, id: RequestId) {
        let Some(request) = self.table.get_mut(&id) else { return };
        let parts = std::mem::take(&mut request.joined);
        let freed = weigh(&parts);
        request.bytes -= freed;
        self.bytes -= freed;
    }

    /// Keeps a part of the reply until the last has come.
    pub(super) fn join(&mut self, id: RequestId, part: Frames) {
        let Some(request) = self.table.get_mut(&id) else { return };
        let bytes = weigh(&part);
        request.joined.extend(own(&part));
        request.bytes += bytes;
        self.bytes += bytes;
    }

    /// The client reads.
    pub(super) fn unblock(&mut self, client: PeerId) {
        for id in self.of_client.get(&client).into_iter().flatten() {
            if let Some(request) = self.table.get_mut(id) {
                request.blocked_since_ms = None;
            }
        }
    }

    /// The client is gone: its requests, which count as its no longer.
    pub(super) fn orphan(&mut self, client: PeerId) -> BTreeSet<RequestId> {
        self.of_client.remove(&client).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn lost_len(&self) -> usize {
        self.table.values().filter(|request| request.worker.is_none() && request.attempts > 0).count()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.bytes, self.table.values().map(|request| request.bytes).sum::<usize>());
        for (id, request) in &self.table {
            let weight = weigh_request(&request.body) + weigh(&request.joined);
            assert_eq!(request.bytes, weight);
            assert_eq!(self.deadlines.contains(&(request.deadline_ms, *id)), request.worker.is_none());
            let counted = self.of_client.get(&request.client).is_some_and(|ids| ids.contains(id));
            assert!(!counted || request.audience != Audience::Gone);
        }
        let waiting = self.table.values().filter(|request| request.worker.is_none()).count();
        assert_eq!(self.deadlines.len(), waiting);
    }
}
