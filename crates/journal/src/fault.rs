//! Bugs on purpose. The tests switch one on and have to notice; a release build contains none.

/// A law that a test can have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Batches complete without having been synced.
    SkipSync,
    /// The chain between records is not checked.
    IgnoreChain,
    /// Payload checksums are not checked.
    IgnorePayloadChecksum,
    /// Damage below the mark is cut like a torn tail.
    CutBelowMark,
    /// Valid records after an invalid one are not looked for.
    IgnoreEvidence,
    /// Purge records are ignored at recovery.
    ForgetPurge,
    /// Truncate records are ignored at recovery.
    ForgetTruncate,
    /// A file is removed before the list without it is durable.
    RemoveEarly,
    /// The directory is not synced after a rename.
    SkipDirectorySync,
    /// A failed sync is tried again.
    RetrySync,
    /// Moved records are not switched to, and the old file goes.
    MoveWithoutMeta,
    /// The recovered tail is not synced before it is trusted.
    TrustUnsyncedTail,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether the bug is switched on, in this thread.
#[cfg(test)]
pub(crate) fn active(fault: Fault) -> bool {
    ACTIVE.get() == Some(fault)
}

/// Never, outside tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn active(_: Fault) -> bool {
    false
}

/// Runs `body` with one bug switched on in this thread.
#[cfg(test)]
pub(crate) fn with<T>(fault: Fault, body: impl FnOnce() -> T) -> T {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ACTIVE.set(None);
        }
    }
    ACTIVE.set(Some(fault));
    let _off = Off;
    body()
}
