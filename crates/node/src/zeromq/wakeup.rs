//! Waking the session of a peer.

use tokio::sync::Notify;

/// Wakes one session. What is told while it does not wait is not lost: it then does not wait.
#[derive(Debug, Default)]
pub(super) struct Wakeup(Notify);

impl Wakeup {
    /// Wakes the session, now or when it waits next.
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits to be woken.
    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
