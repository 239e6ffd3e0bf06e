//! Small messages to one peer, encoded next to each other where they are sent.
//!
//! A message that is routed in memory is cheapest while it is still in the cache of the processor that read it, and its
//! memory where the same thread lets go of it. So what is small is encoded at once, and its receiver's session has bytes to
//! write and not messages to take apart. They are a copy: what waits for a slow peer keeps alive nothing that was read
//! together with it. But nothing is shared either, which is why only so much of a queue is packed.

use bytes::{Bytes, BytesMut};

/// A message to one peer is packed up to this size: to copy it costs less than to pass it on.
pub(super) const PACKED_BYTES_MAX: usize = 1024;
/// A message to several is packed up to this size: for each of them it is hardly more than a place in a queue.
pub(super) const FANNED_BYTES_MAX: usize = 128;
/// What comes to a queue that holds this much is not packed: it may wait long, and shares memory where it can.
pub(super) const PACKED_QUEUE_BYTES_MAX: usize = 256 * 1024;
/// A packing is closed at this size, so that its memory goes when it is written.
pub(super) const PACKING_BYTES: usize = 64 * 1024;
/// Memory that is kept for the next packings of an endpoint.
pub(super) const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// The ZMTP frames of several messages, unencrypted.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) bytes: Bytes,
    pub(super) messages: usize,
}

/// Messages that are being packed.
#[derive(Debug, Default)]
pub(super) struct Packing {
    out: BytesMut,
    messages: usize,
}

/// Memory for those that come next.
#[derive(Debug, Default)]
pub(super) struct Spare {
    free: Vec<BytesMut>,
    bytes: usize,
}

impl Packing {
    /// Adds a message, which `put` encodes. True if no more should be added.
    pub(super) fn add(&mut self, spare: &mut Spare, put: impl FnOnce(&mut BytesMut)) -> bool {
        if self.messages == 0 {
            self.out = spare.take();
        }
        self.messages += 1;
        put(&mut self.out);
        self.out.len() >= PACKING_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// What was added, in memory of its own, if there is something.
    pub(super) fn finish(&mut self, spare: &mut Spare) -> Option<Packed> {
        let Self { out, messages } = std::mem::take(self);
        if messages == 0 {
            return None;
        }
        let packed = Packed { bytes: Bytes::copy_from_slice(&out), messages };
        spare.keep(out);
        Some(packed)
    }
}

impl Spare {
    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.free.iter().map(BytesMut::capacity).sum()
    }

    fn take(&mut self) -> BytesMut {
        let memory = self.free.pop().unwrap_or_default();
        self.bytes -= memory.capacity();
        memory
    }

    fn keep(&mut self, mut memory: BytesMut) {
        memory.clear();
        if self.bytes + memory.capacity() <= SPARE_BYTES_MAX {
            self.bytes += memory.capacity();
            self.free.push(memory);
        }
    }
}
