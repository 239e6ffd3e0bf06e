//! Bugs that are put in on purpose: the histories must find each, or they prove nothing.

use super::history::play_many;
use crate::fault::{Fault, with};

/// The histories that are played before a bug counts as missed.
const HISTORIES: u32 = 3000;

macro_rules! caught {
    ($name:ident, $fault:ident) => {
        #[test]
        fn $name() {
            let found = with(Fault::$fault, || play_many(HISTORIES, 0));
            let Err(found) = found else { panic!("{:?} was not found", Fault::$fault) };
            // What it was found by; `--nocapture` shows it.
            println!("{:?}: {}", Fault::$fault, found.lines().next().unwrap_or_default());
        }
    };
}

caught!(expiry_is_not_counted, ExpiryIsNotCounted);
caught!(late_nack_counts, LateNackCounts);
caught!(settling_is_leased, SettlingIsLeased);
caught!(retry_is_stored, RetryIsStored);
caught!(refusal_is_forgotten, RefusalIsForgotten);
caught!(id_outlives_its_window, IdOutlivesItsWindow);
caught!(snapshot_loses_ids, SnapshotLosesIds);
caught!(snapshot_loses_attempts, SnapshotLosesAttempts);
caught!(removed_is_held, RemovedIsHeld);
caught!(dead_letter_is_not_held, DeadLetterIsNotHeld);
caught!(delay_is_ignored, DelayIsIgnored);
caught!(priority_is_ignored, PriorityIsIgnored);
caught!(key_is_ignored, KeyIsIgnored);
caught!(key_is_not_unblocked, KeyIsNotUnblocked);
caught!(reset_keeps_leases, ResetKeepsLeases);
caught!(expired_is_delivered, ExpiredIsDelivered);
caught!(time_runs_back, TimeRunsBack);
caught!(purge_forgets_sequences, PurgeForgetsSequences);
caught!(nothing_is_dropped, NothingIsDropped);
caught!(floor_stands_still, FloorStandsStill);
caught!(tokens_repeat, TokensRepeat);
caught!(abandoned_is_lost, AbandonedIsLost);
