//! A line a round.

use std::time::Duration;

use crate::workload::Counts;

/// Tells how far a scenario is.
pub(super) fn round(number: u32, rounds: u32, counts: Counts, what: &str, restart: Duration) {
    println!(
        "   round {number:>3}/{rounds}  {what:<26} put {:>8}  stored {:>8}  delivered {:>8}  acked {:>8}  restart {:>5} ms",
        counts.attempted,
        counts.stored,
        counts.delivered,
        counts.acked,
        restart.as_millis()
    );
}

/// Tells what a scenario saw, once the rules were found kept.
pub(super) fn end(counts: Counts) {
    println!(
        "   stored {}, refused {}, unknown {}, delivered {}, acknowledged {}: every rule was kept",
        counts.stored, counts.refused, counts.unknown, counts.delivered, counts.acked
    );
}
