//! Sixty-four sequences of a log, and what is stored at those that are live.

use std::sync::Arc;

use swarmmq_protocol::limits::{PRIORITY_DEFAULT, PRIORITY_MAX};

use crate::location::Location;

/// How many sequences a page covers: as many as a word has bits.
pub(crate) const PAGE_SEQUENCES: u64 = 64;

/// The rank of a message without a priority of its own.
pub(crate) const RANK_DEFAULT: u8 = PRIORITY_MAX - PRIORITY_DEFAULT;

/// A stored message: where it stands, and what delivery needs to know. 40 bytes.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) index: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) stored_ms: u64,
    /// What most messages do not have.
    pub(crate) extra: Option<Box<Extra>>,
    /// 0 is delivered first: the highest priority less the message's own.
    pub(crate) rank: u8,
}

/// What a message has beside its place: a key, a time to live, a delay.
#[derive(Debug, Clone)]
pub(crate) struct Extra {
    /// When it is not worth delivering any more; `u64::MAX` for never.
    pub(crate) expires_ms: u64,
    /// Not to be delivered before; 0 for at once.
    pub(crate) available_ms: u64,
    pub(crate) key: Option<Arc<[u8]>>,
    /// The live message of the same key before this one; 0 for none.
    pub(crate) previous_of_key: u64,
    /// The live message of the same key behind this one; 0 for none.
    pub(crate) next_of_key: u64,
}

impl Stored {
    pub(crate) fn location(&self) -> Location {
        Location { index: self.index, offset: self.offset, length: self.length }
    }

    pub(crate) fn expires_ms(&self) -> u64 {
        self.extra.as_ref().map_or(u64::MAX, |extra| extra.expires_ms)
    }

    pub(crate) fn available_ms(&self) -> u64 {
        self.extra.as_ref().map_or(0, |extra| extra.available_ms)
    }

    pub(crate) fn key(&self) -> Option<&Arc<[u8]>> {
        self.extra.as_ref().and_then(|extra| extra.key.as_ref())
    }

    pub(crate) fn previous_of_key(&self) -> u64 {
        self.extra.as_ref().map_or(0, |extra| extra.previous_of_key)
    }

    pub(crate) fn next_of_key(&self) -> u64 {
        self.extra.as_ref().map_or(0, |extra| extra.next_of_key)
    }
}

/// Bit `n` stands for the `n`-th sequence of the page. A slot's place is the number of present
/// sequences before it, so that a page of few live messages is small: it is packed when half its
/// slots are dead, and the log drops it when all are.
#[derive(Debug, Default, Clone)]
pub(crate) struct Page {
    /// Sequences that have a slot.
    present: u64,
    /// Sequences whose message is live.
    live: u64,
    /// Live sequences of the default priority.
    plain: u64,
    slots: Vec<Stored>,
}

/// The bits of `from` and of all behind it.
pub(crate) fn bits_from(from: u64) -> u64 {
    u64::MAX << (from % PAGE_SEQUENCES)
}

impl Page {
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    pub(crate) fn plain(&self) -> u64 {
        self.plain
    }

    fn place(&self, bit: u64) -> usize {
        (self.present & (bit - 1)).count_ones() as usize
    }

    /// The message of the sequence whose bit is `bit`, if it is live.
    pub(crate) fn get(&self, bit: u64) -> Option<&Stored> {
        if self.live & bit == 0 { None } else { self.slots.get(self.place(bit)) }
    }

    pub(crate) fn get_mut(&mut self, bit: u64) -> Option<&mut Stored> {
        if self.live & bit == 0 {
            return None;
        }
        let place = self.place(bit);
        self.slots.get_mut(place)
    }

    /// Adds a message; `bit` is behind all that are present.
    pub(crate) fn push(&mut self, bit: u64, stored: Stored) {
        debug_assert_eq!(self.present & !(bit - 1), 0, "sequences are given in order");
        self.present |= bit;
        self.live |= bit;
        if stored.rank == RANK_DEFAULT {
            self.plain |= bit;
        }
        self.slots.push(stored);
    }

    /// Takes a live message out.
    pub(crate) fn remove(&mut self, bit: u64) -> Option<Stored> {
        let slot = self.get_mut(bit)?;
        let removed = Stored { extra: slot.extra.take(), ..*slot };
        self.live &= !bit;
        self.plain &= !bit;
        let live = self.live.count_ones() as usize;
        if live > 0 && live * 2 <= self.slots.len() && self.slots.len() > 4 {
            self.pack();
        }
        Some(removed)
    }

    fn pack(&mut self) {
        let (mut rest, live) = (self.present, self.live);
        self.slots.retain(|_| {
            let bit = rest & rest.wrapping_neg();
            rest &= !bit;
            live & bit != 0
        });
        self.slots.shrink_to_fit();
        self.present = live;
    }

    /// The live messages with the bit numbers of their sequences, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Stored)> + '_ {
        let mut live = self.live;
        std::iter::from_fn(move || {
            if live == 0 {
                return None;
            }
            let number = u64::from(live.trailing_zeros());
            live &= live - 1;
            self.get(1 << number).map(|stored| (number, stored))
        })
    }
}
