//! Bugs that are put in on purpose: the histories must find each, or they prove nothing.

use super::behaviour;
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
caught!(tokens_repeat, TokensRepeat);
caught!(abandoned_is_lost, AbandonedIsLost);

/// Bugs that only show with more messages, or a smaller budget, than histories have.
macro_rules! caught_by {
    ($name:ident, $fault:ident, $behaviour:path) => {
        #[test]
        fn $name() {
            let found = with(Fault::$fault, || std::panic::catch_unwind($behaviour));
            assert!(found.is_err(), "{:?} was not found", Fault::$fault);
        }
    };
}

caught_by!(
    id_outlives_its_window,
    IdOutlivesItsWindow,
    behaviour::an_id_whose_window_is_over_does_not_count_while_it_waits_to_be_forgotten
);
caught_by!(
    floor_stands_still,
    FloorStandsStill,
    behaviour::settled_messages_of_a_stream_leave_nothing_behind
);
