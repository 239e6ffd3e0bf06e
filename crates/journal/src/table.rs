//! Where each entry of a group is: dense and sparse ranges of indexes in 25 bytes an entry.

use std::collections::BTreeMap;

/// Indexes that share a chunk. One bit each tells which are present.
const CHUNK_INDEXES: u64 = 64;

/// The entry is referred to by a live message.
pub(crate) const HELD: u32 = 1;
/// The entry was stored for a snapshot, outside the log.
pub(crate) const ADOPTED: u32 = 2;

/// Where one entry is. While it is not durable, `segment` is 0 and `offset` numbers its submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) term: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) flags: u32,
}

impl Slot {
    pub(crate) fn is_held(&self) -> bool {
        self.flags & HELD != 0
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.flags & ADOPTED != 0
    }
}

#[derive(Debug, Default)]
struct Chunk {
    present: u64,
    slots: Vec<Slot>,
}

impl Chunk {
    fn rank(&self, bit: u64) -> usize {
        (self.present & ((1 << bit) - 1)).count_ones() as usize
    }
}

/// The entries of one group by index.
#[derive(Debug, Default)]
pub(crate) struct Table {
    chunks: BTreeMap<u64, Chunk>,
    count: usize,
}

impl Table {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Slot> {
        let chunk = self.chunks.get(&(index / CHUNK_INDEXES))?;
        let bit = index % CHUNK_INDEXES;
        if chunk.present & (1 << bit) == 0 {
            return None;
        }
        chunk.slots.get(chunk.rank(bit))
    }

    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut Slot> {
        let chunk = self.chunks.get_mut(&(index / CHUNK_INDEXES))?;
        let bit = index % CHUNK_INDEXES;
        if chunk.present & (1 << bit) == 0 {
            return None;
        }
        let rank = chunk.rank(bit);
        chunk.slots.get_mut(rank)
    }

    /// Puts a slot and returns the one it replaces.
    pub(crate) fn insert(&mut self, index: u64, slot: Slot) -> Option<Slot> {
        let chunk = self.chunks.entry(index / CHUNK_INDEXES).or_default();
        let bit = index % CHUNK_INDEXES;
        let rank = chunk.rank(bit);
        if chunk.present & (1 << bit) != 0 {
            return chunk.slots.get_mut(rank).map(|old| std::mem::replace(old, slot));
        }
        chunk.present |= 1 << bit;
        chunk.slots.insert(rank, slot);
        self.count += 1;
        None
    }

    pub(crate) fn remove(&mut self, index: u64) -> Option<Slot> {
        let mut removed = None;
        self.remove_where(index, index, |_, _| true, |_, slot| removed = Some(slot));
        removed
    }

    /// Removes the slots in `from..=to` that `dead` names, telling each to `removed`.
    pub(crate) fn remove_where(
        &mut self,
        from: u64,
        to: u64,
        dead: impl Fn(u64, &Slot) -> bool,
        mut removed: impl FnMut(u64, Slot),
    ) {
        if from > to {
            return;
        }
        let mut empty = Vec::new();
        for (&number, chunk) in self.chunks.range_mut(from / CHUNK_INDEXES..=to / CHUNK_INDEXES) {
            let base = number * CHUNK_INDEXES;
            let before = chunk.present;
            let mut kept = 0;
            let mut bits = chunk.present;
            for at in 0..chunk.slots.len() {
                let bit = u64::from(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
                let index = base + bit;
                let Some(slot) = chunk.slots.get(at).copied() else {
                    break;
                };
                if index >= from && index <= to && dead(index, &slot) {
                    chunk.present &= !(1 << bit);
                    removed(index, slot);
                } else {
                    if let Some(target) = chunk.slots.get_mut(kept) {
                        *target = slot;
                    }
                    kept += 1;
                }
            }
            if chunk.present != before {
                self.count -= chunk.slots.len() - kept;
                chunk.slots.truncate(kept);
                // A chunk that has thinned out for good gives its room back.
                if kept * 2 < chunk.slots.capacity() {
                    chunk.slots.shrink_to_fit();
                }
            }
            if chunk.present == 0 {
                empty.push(number);
            }
        }
        for number in empty {
            self.chunks.remove(&number);
        }
    }

    /// The slots in `from..=to`, in order.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Slot)> {
        let chunks = (from <= to).then(|| self.chunks.range(from / CHUNK_INDEXES..=to / CHUNK_INDEXES));
        chunks
            .into_iter()
            .flatten()
            .flat_map(|(number, chunk)| {
                let base = number * CHUNK_INDEXES;
                let mut bits = chunk.present;
                chunk.slots.iter().map(move |slot| {
                    let bit = u64::from(bits.trailing_zeros());
                    bits &= bits.wrapping_sub(1);
                    (base + bit, slot)
                })
            })
            .filter(move |(index, _)| *index >= from && *index <= to)
    }

    /// The last slot of the log itself, passing over adopted ones.
    pub(crate) fn last_of_log(&self) -> Option<(u64, &Slot)> {
        self.chunks.iter().rev().find_map(|(number, _)| {
            let base = number * CHUNK_INDEXES;
            self.range(base, base + (CHUNK_INDEXES - 1)).filter(|(_, slot)| !slot.is_adopted()).last()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(term: u64) -> Slot {
        Slot { term, segment: 1, offset: 2, length: 3, flags: 0 }
    }

    #[test]
    fn a_slot_takes_24_bytes() {
        assert_eq!(size_of::<Slot>(), 24);
    }

    proptest! {
        #[test]
        fn table_behaves_like_a_map(operations in prop::collection::vec((0u8..4, 0u64..300, 0u64..100), 0..200)) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (operation, index, other) in operations {
                match operation {
                    0 | 1 => prop_assert_eq!(table.insert(index, slot(other)).map(|s| s.term), model.insert(index, other)),
                    2 => prop_assert_eq!(table.remove(index).map(|s| s.term), model.remove(&index)),
                    _ => {
                        let mut gone = Vec::new();
                        table.remove_where(index, index + other, |_, s| s.term % 2 == 0, |i, _| gone.push(i));
                        let expected: Vec<u64> = model.range(index..=index + other).filter(|(_, t)| **t % 2 == 0).map(|(i, _)| *i).collect();
                        for i in &expected { model.remove(i); }
                        prop_assert_eq!(gone, expected);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let all: Vec<_> = table.range(0, u64::MAX).map(|(i, s)| (i, s.term)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
