//! Bytes that wait to be written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Frames of at least this many bytes are written from where they are, smaller ones are copied next to
/// each other: a copy of 4 KiB costs less than an entry in the list that the kernel walks.
pub(super) const COPIED_BYTES_MAX: usize = 4096;
/// A block of copied frames is closed at this size, so that its memory goes when it is written.
const BLOCK_BYTES: usize = 64 * 1024;
/// Slices in one write.
pub(super) const SLICES_MAX: usize = 64;

pub(super) const FLAG_MORE: u8 = 1;
pub(super) const FLAG_LONG: u8 = 2;

/// A queue of bytes, copied together where they are few and shared where they are many.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    closed: VecDeque<Bytes>,
    open: BytesMut,
    pending: usize,
}

impl Chunks {
    /// Bytes in the queue.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Appends the ZMTP frames of one message, unencrypted.
    pub(super) fn push_message(&mut self, frames: &[Bytes]) {
        for (nth, frame) in frames.iter().enumerate() {
            self.pending += put_header(&mut self.open, frame.len(), nth + 1 < frames.len());
            self.push(frame);
        }
    }

    /// Appends bytes, which are copied if they are few.
    pub(super) fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < COPIED_BYTES_MAX {
            return self.copy(bytes);
        }
        self.pending += bytes.len();
        self.close();
        self.closed.push_back(bytes.clone());
    }

    /// Appends a copy of a few bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.pending += bytes.len();
        self.open.put_slice(bytes);
        if self.open.len() >= BLOCK_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push_back(self.open.split().freeze());
        }
        // An idle peer keeps no block.
        self.open = BytesMut::new();
    }

    /// Fills `slices` from the front of the queue and says how many.
    pub(super) fn fill<'a>(&'a mut self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        if self.closed.len() < SLICES_MAX {
            self.close();
        }
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.closed) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// Takes what was written off the front.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.pending = self.pending.saturating_sub(written);
        while let Some(front) = self.closed.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.closed.pop_front();
        }
    }
}

/// Appends the ZMTP frames of a message.
pub(super) fn put_message(out: &mut BytesMut, frames: &[Bytes]) {
    for (nth, frame) in frames.iter().enumerate() {
        put_header(out, frame.len(), nth + 1 < frames.len());
        out.extend_from_slice(frame);
    }
}

/// Appends the header of a ZMTP frame and says how long it is.
pub(super) fn put_header(out: &mut BytesMut, length: usize, has_more: bool) -> usize {
    let more = if has_more { FLAG_MORE } else { 0 };
    match u8::try_from(length) {
        Ok(length) => {
            out.put_slice(&[more, length]);
            2
        }
        Err(_) => {
            out.put_u8(FLAG_LONG | more);
            out.put_u64(length as u64);
            9
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 37, one frame after the other.
    pub(in crate::zeromq) fn plain(frames: &[Bytes]) -> Vec<u8> {
        let mut out = Vec::new();
        for (nth, frame) in frames.iter().enumerate() {
            let more = u8::from(nth + 1 < frames.len());
            if frame.len() < 256 {
                out.extend([more, u8::try_from(frame.len()).unwrap()]);
            } else {
                out.push(2 | more);
                out.extend((frame.len() as u64).to_be_bytes());
            }
            out.extend_from_slice(frame);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_written_is_what_was_pushed_whatever_the_kernel_takes(
            sizes in proptest::collection::vec(prop_oneof![0..300_usize, 4000..9000_usize], 1..60),
            takes in proptest::collection::vec(1..20_000_usize, 1..40),
        ) {
            let messages: Vec<Vec<Bytes>> = sizes
                .chunks(3)
                .map(|sizes| sizes.iter().map(|size| Bytes::from(vec![*size as u8; *size])).collect())
                .collect();
            let expected: Vec<u8> = messages.iter().flat_map(|frames| plain(frames)).collect();
            let mut chunks = Chunks::default();
            for frames in &messages {
                chunks.push_message(frames);
            }
            prop_assert_eq!(chunks.pending(), expected.len());
            let mut written: Vec<u8> = Vec::new();
            let mut takes = takes.iter().cycle();
            while chunks.pending() > 0 {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let filled = chunks.fill(&mut slices);
                let ready: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                let take = ready.len().min(*takes.next().unwrap());
                prop_assert!(take > 0);
                written.extend(&ready[..take]);
                chunks.advance(take);
            }
            prop_assert_eq!(written, expected);
        }
    }
}
