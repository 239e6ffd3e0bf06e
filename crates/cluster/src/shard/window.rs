//! How many bytes of deliveries may lie in a session's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of deliveries for one subscription.
///
/// A consumer that stops reading costs this much and no more, beside one batch of deliveries.
const SUBSCRIPTION_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of deliveries for all subscriptions of one session, beside one batch of each that had room at the time.
const SESSION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The bytes in the queue of a session, over all its subscriptions.
#[derive(Debug, Default)]
pub(crate) struct SessionWindow(AtomicUsize);

/// The bytes of one subscription in the queue of its session. They leave the session's window with it.
#[derive(Debug)]
pub(crate) struct Window {
    session: Arc<SessionWindow>,
    bytes: AtomicUsize,
}

/// Whom bytes that were written made room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freed {
    /// Nobody who had none.
    Nobody,
    /// The subscription they were of.
    Subscription,
    /// All subscriptions of the session.
    Session,
}

impl SessionWindow {
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Acquire) >= SESSION_BYTES_MAX
    }
}

impl Window {
    pub(crate) fn new(session: Arc<SessionWindow>) -> Self {
        Self { session, bytes: AtomicUsize::new(0) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) >= SUBSCRIPTION_BYTES_MAX || self.session.is_full()
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.session.0.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn remove(&self, bytes: usize) -> Freed {
        let was = take(&self.bytes, bytes);
        let of_session = take(&self.session.0, bytes.min(was));
        if of_session >= SESSION_BYTES_MAX {
            Freed::Session
        } else if was >= SUBSCRIPTION_BYTES_MAX {
            Freed::Subscription
        } else {
            Freed::Nobody
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        take(&self.session.0, *self.bytes.get_mut());
    }
}

/// Subtracts, not below 0, and says what was there.
fn take(bytes: &AtomicUsize, taken: usize) -> usize {
    let less = |bytes: usize| Some(bytes.saturating_sub(taken));
    bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).unwrap_or_else(|was| was)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_subscriptions_of_a_session_share_its_window() {
        let session = Arc::new(SessionWindow::default());
        let mut windows: Vec<Window> = (0..1024).map(|_| Window::new(session.clone())).collect();
        let mut sent = 0;
        for window in &windows {
            while !window.is_full() {
                window.add(64 << 10);
                sent += 64 << 10;
            }
        }
        assert_eq!(sent, SESSION_BYTES_MAX);
        assert_eq!(windows[0].remove(64 << 10), Freed::Session);
        assert!(!windows[0].is_full() && !windows[1000].is_full());
        assert_eq!(windows[1].remove(64 << 10), Freed::Subscription);
        assert_eq!(windows[1].remove(64 << 10), Freed::Nobody);
        windows.clear();
        assert_eq!(session.0.load(Ordering::Acquire), 0, "what was under way goes with its subscription");
    }
}
