//! Work spread over the healthy instances of a view.

use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_protocol::service::{Health, Instance};
use tokio::sync::watch;

use super::shares::{Shares, Turn};
use super::view::{Snapshot, View};

/// Spreads work over the healthy instances of a [`View`]: each piece goes to the one that has the fewest under way, and
/// among equals they take turns. Cheap to clone; all clones count together.
///
/// An instance that says it is not healthy gets nothing, and neither does one whose lease has ended.
#[derive(Clone)]
pub struct Balancer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    takes_part: Arc<dyn Fn(&Instance) -> bool + Send + Sync>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balancer").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    shares: Shares,
    /// Which snapshot the members are from.
    version: Option<u64>,
}

/// A piece of work for one instance. It is under way until this is dropped.
#[derive(Debug)]
#[must_use = "the work counts as done once this is dropped"]
pub struct Pick {
    instance: Instance,
    turn: Turn,
    state: Arc<Mutex<State>>,
}

impl Pick {
    /// Whose turn it is.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.state.lock().shares.finish(&self.turn);
    }
}

impl Balancer {
    /// Spreads over the instances of `view`.
    #[must_use]
    pub fn new(view: &View) -> Self {
        Self::among(view, |_| true)
    }

    /// Spreads over those instances of `view` that take part, as by their metadata.
    #[must_use]
    pub fn among(view: &View, takes_part: impl Fn(&Instance) -> bool + Send + Sync + 'static) -> Self {
        Self { snapshots: view.subscribe(), takes_part: Arc::new(takes_part), state: Arc::default() }
    }

    /// Whether an instance is given work.
    fn takes_work(&self, instance: &Instance) -> bool {
        instance.health == Health::Healthy && (self.takes_part)(instance)
    }

    /// Whose turn it is, or `None` where no instance is healthy.
    pub fn pick(&self) -> Option<Pick> {
        let snapshot = self.snapshots.borrow().clone();
        let mut state = self.state.lock();
        // A clone of this balancer may have seen a later one.
        if state.version.is_none_or(|version| version < snapshot.version()) {
            let members = snapshot.instances().values().filter(|one| self.takes_work(one));
            state.shares.set_members(members.map(|one| &one.key));
            state.version = Some(snapshot.version());
        }
        let turn = state.shares.pick()?;
        match snapshot.instances().get(&turn.key) {
            Some(instance) => Some(Pick { instance: instance.clone(), turn, state: self.state.clone() }),
            None => {
                state.shares.finish(&turn);
                None
            }
        }
    }

    /// Waits until an instance is healthy, and says whose turn it is.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Pick {
        let mut snapshots = self.snapshots.clone();
        loop {
            snapshots.mark_unchanged();
            if let Some(pick) = self.pick() {
                return pick;
            }
            if snapshots.changed().await.is_err() {
                // The view is gone: nothing will change any more.
                std::future::pending::<()>().await;
            }
        }
    }
}
