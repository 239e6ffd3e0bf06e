//! How many destinations there are on this node, and whether another one may be made.

use std::sync::atomic::{AtomicU64, Ordering};

use swarmmq_protocol::{ErrorCode, ErrorReply};

/// Counts the destinations of all shards, as they are applied.
///
/// It is asked before a command that would make a destination is put forward, and not where commands are
/// applied: those give the same on every replica, however each node is configured. So commands that are
/// under way at the same time can bring the number over the limit, each by at most one.
#[derive(Debug)]
pub(crate) struct Census {
    count: AtomicU64,
    max: u64,
}

impl Census {
    /// Nothing counted yet, and room for `max`.
    pub(crate) fn new(max: u64) -> Self {
        Self { count: AtomicU64::new(0), max }
    }

    /// A shard had `before` destinations and has `after` now.
    pub(crate) fn moved(&self, before: u64, after: u64) {
        if after >= before {
            self.count.fetch_add(after - before, Ordering::AcqRel);
        } else {
            self.count.fetch_sub(before - after, Ordering::AcqRel);
        }
    }

    /// Whether another destination may be made.
    ///
    /// # Errors
    /// `LIMIT-REACHED` where there are as many as there may be.
    pub(crate) fn admit(&self) -> Result<(), ErrorReply> {
        let count = self.count.load(Ordering::Acquire);
        if count < self.max {
            return Ok(());
        }
        Err(ErrorReply::new(
            ErrorCode::LimitReached,
            format!(
                "there are {count} destinations and limits.max_destinations is {}: delete some, or raise it",
                self.max
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_once_a_destination_has_gone() {
        let census = Census::new(2);
        census.moved(0, 1);
        assert!(census.admit().is_ok());
        census.moved(3, 4);
        assert_eq!(census.admit().unwrap_err().code, ErrorCode::LimitReached);
        census.moved(4, 3);
        assert!(census.admit().is_ok());
    }
}
