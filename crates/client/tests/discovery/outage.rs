//! A registry that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swarmmq::discovery::{Discovery, Registration, RegistrationOptions, RegistrationState, View, ViewState};

use super::node::TestNode;
use super::{instance, until_ids, view, within};

pub(crate) fn start(registry: &Arc<dyn Discovery>, key: &str) -> Registration {
    Registration::start(registry.clone(), instance(key), RegistrationOptions::default()).unwrap()
}

/// Whether the view has ever been seen without this instance.
pub(crate) fn has_missed(view: &View, id: &'static str) -> Arc<AtomicBool> {
    let missed = Arc::new(AtomicBool::new(false));
    let (mut snapshots, told) = (view.subscribe(), missed.clone());
    tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            let snapshot = snapshots.borrow_and_update().clone();
            if !snapshot.instances().keys().any(|key| key.id.as_str() == id) {
                told.store(true, Ordering::SeqCst);
            }
        }
    });
    missed
}

pub(crate) async fn until_stale(view: &View) {
    let is_stale =
        |snapshot: &swarmmq::discovery::Snapshot| matches!(snapshot.state(), ViewState::Stale { .. });
    within("the view says that it is stale", view.until(is_stale)).await;
}

pub(crate) async fn until_current(view: &View) {
    within("the view is current", view.until(|snapshot| *snapshot.state() == ViewState::Current)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_forgets_and_nobody_dies_of_it() {
    let mut node = TestNode::start().await;
    let (registry, other) = (node.registry().await, node.registry().await);
    let view = view(&other, "worker");
    let staying = start(&registry, "worker/staying");
    within("registered", staying.registered()).await;
    registry.announce(&instance("worker/leaving")).await.unwrap();
    until_ids(&view, &["leaving", "staying"]).await;
    let missed = has_missed(&view, "staying");

    node.stop().await;
    until_stale(&view).await;
    assert!(!view.snapshot().instances().is_empty(), "it goes on with what it knew last");
    let failing = |state: &RegistrationState| matches!(state, RegistrationState::Failing { .. });
    within("the registration says so too", staying.state().wait_for(failing)).await.unwrap();

    node.start_again().await;
    until_current(&view).await;
    within("it is registered again", staying.registered()).await;
    let news = other.list(None).await.unwrap();
    assert_eq!(news.len(), 1, "the node knows only who has announced itself since: {news:?}");
    // Who did not come back is gone once its lease would be.
    until_ids(&view, &["staying"]).await;
    assert!(!missed.load(Ordering::SeqCst), "whoever lived through it was there all the time");
    node.stop().await;
}
