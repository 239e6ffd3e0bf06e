//! Bugs put in on purpose, so that the tests can show that they would be found.
//!
//! `fault!(Name)` is `false` in a build that is not for tests, and in a test that has not switched the
//! fault on for its thread.

macro_rules! fault {
    ($name:ident) => {{
        #[cfg(test)]
        {
            crate::fault::is_on(crate::fault::Fault::$name)
        }
        #[cfg(not(test))]
        {
            false
        }
    }};
}
pub(crate) use fault;

#[cfg(test)]
pub(crate) use seeded::{Fault, is_on, with};

#[cfg(test)]
mod seeded {
    use std::cell::Cell;

    /// A bug.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// A lease that ran out is forgotten without the delivery being counted.
        ExpiryIsNotCounted,
        /// A nack of an earlier delivery counts for the present one.
        LateNackCounts,
        /// A message is leased while an acknowledgement of it is under way.
        SettlingIsLeased,
        /// A retried put of a session is stored again.
        RetryIsStored,
        /// Refused messages do not use their producer's sequence up.
        RefusalIsForgotten,
        /// A message id is remembered for ever.
        IdOutlivesItsWindow,
        /// Snapshots leave the message ids out.
        SnapshotLosesIds,
        /// Snapshots leave the counts of deliveries out.
        SnapshotLosesAttempts,
        /// A removed message keeps its entry held.
        RemovedIsHeld,
        /// A dead letter does not hold its entry.
        DeadLetterIsNotHeld,
        /// A message is delivered before its delay is over.
        DelayIsIgnored,
        /// Priority does not count.
        PriorityIsIgnored,
        /// Messages behind an unsettled one of their key are delivered.
        KeyIsIgnored,
        /// The one behind in its key is not woken when the one before is settled.
        KeyIsNotUnblocked,
        /// A reset leaves the leases of before valid.
        ResetKeepsLeases,
        /// Expired messages are still delivered.
        ExpiredIsDelivered,
        /// Time may run backwards.
        TimeRunsBack,
        /// Purging starts the sequences again.
        PurgeForgetsSequences,
        /// The oldest messages are not dropped when the destination is full.
        NothingIsDropped,
        /// A settled message of a stream is not taken out of the count of ready ones.
        FloorStandsStill,
        /// Tokens of two terms are the same.
        TokensRepeat,
        /// A message is not put back when its settlement is abandoned.
        AbandonedIsLost,
    }

    thread_local! {
        static ON: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    pub(crate) fn is_on(fault: Fault) -> bool {
        ON.get() == Some(fault)
    }

    /// Runs `body` with `fault` in the code.
    pub(crate) fn with<T>(fault: Fault, body: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ON.set(None);
            }
        }
        ON.set(Some(fault));
        let _off = Off;
        body()
    }
}
