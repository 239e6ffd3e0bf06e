//! Message ids, remembered for a while.

use std::collections::{BTreeMap, VecDeque};

use crate::fault::fault;

/// The ids of messages that were stored, oldest first. About 70 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// The place of each id in `order`, counted from the first ever remembered.
    places: BTreeMap<u128, u64>,
    order: VecDeque<Remembered>,
    /// How many have left `order` at its front.
    gone: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered {
    pub(crate) stored_ms: u64,
    pub(crate) id: u128,
    pub(crate) sequence: u64,
}

impl Ids {
    /// The sequence under which a message with this id was stored less than `window_ms` ago.
    pub(crate) fn find(&self, id: u128, now_ms: u64, window_ms: u64) -> Option<u64> {
        let place = self.places.get(&id)?.checked_sub(self.gone)?;
        let found = self.order.get(usize::try_from(place).ok()?)?;
        let inside = found.stored_ms.saturating_add(window_ms) > now_ms || fault!(IdOutlivesItsWindow);
        inside.then_some(found.sequence)
    }

    /// Remembers an id. The oldest goes where there would be more than `ids_max`.
    pub(crate) fn remember(&mut self, remembered: Remembered, ids_max: u64) {
        self.places.insert(remembered.id, self.gone + self.order.len() as u64);
        self.order.push_back(remembered);
        // Two at most, so that a limit that was lowered is reached without one put paying for it all.
        for _ in 0..2 {
            if self.order.len() as u64 > ids_max {
                self.forget_oldest();
            }
        }
    }

    /// When the oldest is to be forgotten: now (0) if there are too many.
    pub(crate) fn next_due(&self, window_ms: u64, ids_max: u64) -> Option<u64> {
        let oldest = self.order.front()?;
        if self.order.len() as u64 > ids_max {
            return Some(0);
        }
        Some(oldest.stored_ms.saturating_add(window_ms))
    }

    pub(crate) fn forget_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else { return };
        // The id may have been used again since, once its window was over.
        if self.places.get(&oldest.id) == Some(&self.gone) {
            self.places.remove(&oldest.id);
        }
        self.gone += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Remembered> + '_ {
        self.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stored_ms: u64, id: u128, sequence: u64) -> Remembered {
        Remembered { stored_ms, id, sequence }
    }

    #[test]
    fn an_id_used_again_after_its_window_is_found_under_its_new_sequence() {
        let mut ids = Ids::default();
        ids.remember(at(100, 7, 1), 10);
        assert_eq!(ids.find(7, 149, 50), Some(1));
        assert_eq!(ids.find(7, 150, 50), None);
        ids.remember(at(150, 7, 2), 10);
        ids.forget_oldest();
        assert_eq!(ids.find(7, 151, 50), Some(2));
        ids.forget_oldest();
        assert_eq!((ids.find(7, 151, 50), ids.places.len(), ids.len()), (None, 0, 0));
    }

    #[test]
    fn the_oldest_id_goes_first() {
        let mut ids = Ids::default();
        for id in 1..=5 {
            ids.remember(at(0, id, id as u64), 3);
        }
        assert_eq!([1, 2, 3, 4, 5].map(|id| ids.find(id, 0, 9).is_some()), [false, false, true, true, true]);
    }
}
