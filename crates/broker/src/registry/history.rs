//! The last changes of a registry.

use std::collections::VecDeque;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::service::ServiceChange;

/// Changes with consecutive revisions, of which the newest are kept.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<ServiceChange>,
    /// The revision of the newest; that of the oldest follows from it.
    revision: u64,
    changes_max: usize,
}

impl History {
    pub(super) fn new(changes_max: usize) -> Self {
        Self { changes: VecDeque::new(), revision: 0, changes_max }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn push(&mut self, change: ServiceChange) {
        self.changes.push_back(change);
        self.revision += 1;
        if self.changes.len() > self.changes_max {
            self.changes.pop_front();
        }
    }

    /// What came behind `revision` and is about `service`, or `None` where not all of it is kept.
    pub(super) fn since(&self, revision: u64, service: Option<&ServiceType>) -> Option<Vec<ServiceChange>> {
        let missing = self.revision.checked_sub(revision)?;
        let missing = usize::try_from(missing).ok()?;
        let skipped = self.changes.len().checked_sub(missing)?;
        let is_meant = |change: &&ServiceChange| service.is_none_or(|one| change.key().service == *one);
        Some(self.changes.iter().skip(skipped).filter(is_meant).cloned().collect())
    }
}
