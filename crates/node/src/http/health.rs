//! Whether the node lives and takes requests, and why not.

use serde::Serialize;

/// Most shards that an explanation names.
const SHARDS_NAMED_MAX: usize = 10;

/// Something that knows how the node is. It is asked for each probe and must not block.
pub trait HealthSource: Send + Sync + 'static {
    /// How the node is now.
    fn health(&self) -> Health;
}

/// How a node is. The default is a node that is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Recovery is still under way.
    pub is_starting: bool,
    /// The node is stopping: it finishes what is under way and takes nothing new.
    pub is_stopping: bool,
    /// Why the journal can never write again. The process ends; until it has, it is not live.
    pub journal_failure: Option<String>,
    /// The last allocation found the disk full. Puts are refused; reads and acknowledgements go on.
    pub is_disk_full: bool,
    /// Number of shards.
    pub shards: u32,
    /// Those that nobody leads.
    pub shards_without_leader: Vec<u32>,
    /// Those that stopped by a fault.
    pub shards_failed: Vec<u32>,
}

impl Health {
    /// Whether going on makes sense: if not, a supervisor must restart the process.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.journal_failure.is_none()
    }

    /// Whether the node takes requests. A node with a full disk does: what it does not take then are puts, and the
    /// consumers that free the disk must reach it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// What the node does not do although it is ready; empty if it does everything.
    #[must_use]
    pub fn degraded(&self) -> Vec<Reason> {
        let disk_full = Reason {
            code: "DISK-FULL",
            explanation: "the disk is full: puts are refused, reads and acknowledgements go on".into(),
        };
        if self.is_disk_full { vec![disk_full] } else { Vec::new() }
    }

    /// Why the node takes no requests, or not those of some shards; empty if it does.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let mut add = |applies: bool, code, explanation: String| {
            if applies {
                reasons.push(Reason { code, explanation });
            }
        };
        let failure = self.journal_failure.as_deref().unwrap_or_default();
        add(
            self.journal_failure.is_some(),
            "JOURNAL-FAILED",
            format!("the journal cannot write any more, and the process ends: {failure}"),
        );
        add(self.is_starting, "STARTING", "the node reads its journal".into());
        add(self.is_stopping, "SHUTTING-DOWN", "the node is stopping and takes nothing new".into());
        let (leaderless, failed) = (&self.shards_without_leader, &self.shards_failed);
        add(
            !leaderless.is_empty(),
            "SHARDS-WITHOUT-LEADER",
            format!("{} of {} shards have no leader: {}", leaderless.len(), self.shards, list(leaderless)),
        );
        add(
            !failed.is_empty(),
            "SHARDS-FAILED",
            format!(
                "{} of {} shards stopped by a fault, see the log: {}",
                failed.len(),
                self.shards,
                list(failed)
            ),
        );
        reasons
    }
}

fn list(shards: &[u32]) -> String {
    let named: Vec<String> = shards.iter().take(SHARDS_NAMED_MAX).map(ToString::to_string).collect();
    let rest = if shards.len() > SHARDS_NAMED_MAX { ", …" } else { "" };
    format!("{}{rest}", named.join(", "))
}

/// One reason why the node is not ready, or is degraded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// What kind it is; never changes its meaning. `docs/errors.md` says what to do.
    pub code: &'static str,
    /// A sentence for a person.
    pub explanation: String,
}
