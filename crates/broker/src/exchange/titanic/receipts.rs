//! What of the queue is leased, and what is to be settled.

use std::collections::{BTreeMap, BTreeSet};

use swarmmq_protocol::Receipt;
use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::response::SettleOutcome;

/// The records of the queue, by sequence.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    leases: BTreeMap<u64, Receipt>,
    /// What is to be settled, and of which request it is.
    doomed: BTreeMap<u64, u128>,
    /// Those of them that are leased, with a receipt that is not in the settlement that is under way.
    due: BTreeSet<u64>,
    under_way: Vec<Receipt>,
}

impl Receipts {
    /// All receipts are void: the queue is read again.
    pub(super) fn reopen(&mut self) {
        self.leases.clear();
        self.due.clear();
        self.under_way.clear();
    }

    /// A record was delivered.
    pub(super) fn lease(&mut self, receipt: Receipt) {
        let sequence = receipt.sequence.0;
        self.leases.insert(sequence, receipt);
        if self.doomed.contains_key(&sequence) {
            self.due.insert(sequence);
        }
    }

    pub(super) fn is_leased(&self, sequence: u64) -> bool {
        self.leases.contains_key(&sequence)
    }

    /// Whether a record is not needed any more.
    pub(super) fn is_doomed(&self, sequence: u64) -> bool {
        self.doomed.contains_key(&sequence)
    }

    pub(super) fn leased(&self) -> usize {
        self.leases.len()
    }

    /// A record is not needed any more.
    pub(super) fn doom(&mut self, sequence: u64, id: u128) {
        if self.doomed.insert(sequence, id).is_none() && self.leases.contains_key(&sequence) {
            self.due.insert(sequence);
        }
    }

    /// Whether there is something to settle, and no settlement under way.
    pub(super) fn wants_settlement(&self) -> bool {
        self.under_way.is_empty() && !self.due.is_empty()
    }

    /// Begins a settlement; `None` if there is nothing to settle, or one is under way. The oldest records go first: a
    /// request never outlives its reply.
    pub(super) fn poll_settlement(&mut self) -> Option<Vec<Receipt>> {
        if !self.wants_settlement() {
            return None;
        }
        while self.under_way.len() < BATCH_MAX
            && let Some(sequence) = self.due.pop_first()
        {
            self.under_way.extend(self.leases.get(&sequence));
        }
        Some(self.under_way.clone())
    }

    /// What became of the settlement. Returns what is settled now, and of which request it was.
    pub(super) fn settled(&mut self, outcomes: &[SettleOutcome]) -> Vec<(u64, u128)> {
        let under_way = std::mem::take(&mut self.under_way);
        let mut settled = Vec::new();
        for (receipt, outcome) in under_way.into_iter().zip(outcomes) {
            let sequence = receipt.sequence.0;
            if *outcome == SettleOutcome::Stale {
                // It was leased again. The next receipt is there already, or on its way.
                self.wait_for_lease(receipt);
            } else {
                self.leases.remove(&sequence);
                self.due.remove(&sequence);
                settled.extend(self.doomed.remove(&sequence).map(|id| (sequence, id)));
            }
        }
        settled
    }

    fn wait_for_lease(&mut self, stale: Receipt) {
        let sequence = stale.sequence.0;
        if self.leases.get(&sequence) == Some(&stale) {
            self.leases.remove(&sequence);
        } else {
            self.due.insert(sequence);
        }
    }

    /// The settlement was not made: all of it is due again.
    pub(super) fn unsettled(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        self.due.extend(under_way.iter().map(|receipt| receipt.sequence.0));
    }

    /// All that is in the queue is leased: what is not, is settled. Returns that, and of which request it was.
    pub(super) fn forget_missing(&mut self) -> Vec<(u64, u128)> {
        self.doomed.extract_if(.., |sequence, _| !self.leases.contains_key(sequence)).collect()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        for sequence in &self.due {
            assert!(self.doomed.contains_key(sequence) && self.leases.contains_key(sequence));
            assert!(self.under_way.iter().all(|receipt| self.leases.get(sequence) != Some(receipt)));
        }
        let waits = |sequence: &u64| self.due.contains(sequence) || !self.leases.contains_key(sequence);
        let settles = |sequence: &u64| self.under_way.iter().any(|receipt| receipt.sequence.0 == *sequence);
        assert!(self.doomed.keys().all(|sequence| waits(sequence) || settles(sequence)));
    }
}
