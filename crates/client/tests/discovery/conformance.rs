//! What every registry promises.

use std::sync::Arc;
use std::time::Duration;

use swarmmq::discovery::{
    Balancer, Discovery, Health, Instance, Registration, RegistrationOptions, RegistrationState,
    ServiceChange, ServiceNews, View, Watching,
};

use super::node::TestNode;
use super::{instance, lasting, until_ids, view, within};

/// The next change that is told.
async fn changes(watching: &mut Box<dyn Watching>) -> Vec<ServiceChange> {
    loop {
        match within("a change", watching.next()).await.unwrap().news {
            ServiceNews::Changes(changes) if changes.is_empty() => {}
            ServiceNews::Changes(changes) => return changes,
            other => panic!("not changes: {other:?}"),
        }
    }
}

pub(crate) async fn keeps_what_it_promises(registry: Arc<dyn Discovery>, other: Arc<dyn Discovery>) {
    what_is_announced_is_listed(&*registry, &*other).await;
    a_watch_resumes_where_it_was(&*registry, &*other).await;
    a_watch_without_news_shows_a_sign_of_life(&*registry, &*other).await;
    a_lease_that_is_not_renewed_runs_out(&*registry, &other).await;
    a_registration_stays_and_leaves(&registry, &other).await;
    a_health_check_decides(&registry, &other).await;
    work_goes_to_the_healthy(&registry, &other).await;
}

async fn what_is_announced_is_listed(registry: &dyn Discovery, other: &dyn Discovery) {
    let service = "listed".parse().unwrap();
    let mut one = lasting("listed/b").with("zone", "eu");
    (one.heartbeat_ms, one.health) = (1_700_000_000_123, Health::Unhealthy);
    let two = lasting("listed/a");
    for instance in [&one, &two, &lasting("listed2/a")] {
        registry.announce(instance).await.unwrap();
    }
    assert_eq!(other.list(Some(&service)).await.unwrap(), [two.clone(), one.clone()]);
    assert_eq!(other.list(None).await.unwrap().len(), 3);
    one.health = Health::Healthy;
    registry.announce(&one).await.unwrap();
    registry.withdraw(&two.key).await.unwrap();
    registry.withdraw(&two.key).await.unwrap();
    assert_eq!(other.list(Some(&service)).await.unwrap(), [one]);
}

async fn a_watch_resumes_where_it_was(registry: &dyn Discovery, other: &dyn Discovery) {
    let service = "resumed".parse().unwrap();
    let mut watching = other.watch(Some(&service), None).await.unwrap();
    let first = within("all there is", watching.next()).await.unwrap();
    assert_eq!(first.news, ServiceNews::All(Vec::new()));
    let (one, two) = (lasting("resumed/a"), lasting("resumed/b"));
    registry.announce(&one).await.unwrap();
    assert_eq!(changes(&mut watching).await, [ServiceChange::Registered(one.clone())]);
    drop(watching);
    // What happens while nobody watches is told to whoever resumes.
    registry.withdraw(&one.key).await.unwrap();
    registry.announce(&two).await.unwrap();
    let mut watching = other.watch(Some(&service), Some(first.at)).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(changes(&mut watching).await);
    }
    let all = [
        ServiceChange::Registered(one.clone()),
        ServiceChange::Gone(one.key),
        ServiceChange::Registered(two),
    ];
    assert_eq!(told, all);
}

/// A view that resumes must not wait for the next change to know that the registry is there.
async fn a_watch_without_news_shows_a_sign_of_life(registry: &dyn Discovery, other: &dyn Discovery) {
    let service = "quiet".parse().unwrap();
    registry.announce(&lasting("quiet/a")).await.unwrap();
    let mut watching = other.watch(Some(&service), None).await.unwrap();
    let all = within("all there is", watching.next()).await.unwrap();
    // Somebody else's change.
    registry.announce(&lasting("loud/a")).await.unwrap();
    let mut watching = other.watch(Some(&service), Some(all.at)).await.unwrap();
    let soon = tokio::time::timeout(Duration::from_secs(20), watching.next());
    assert_eq!(soon.await.expect("soon").unwrap().news, ServiceNews::Changes(Vec::new()));
}

async fn a_lease_that_is_not_renewed_runs_out(registry: &dyn Discovery, other: &Arc<dyn Discovery>) {
    let view = view(other, "dying");
    registry.announce(&instance("dying/a")).await.unwrap();
    until_ids(&view, &["a"]).await;
    until_ids(&view, &[]).await;
}

fn start(registry: &Arc<dyn Discovery>, instance: Instance) -> Registration {
    Registration::start(registry.clone(), instance, RegistrationOptions::default()).unwrap()
}

async fn a_registration_stays_and_leaves(registry: &Arc<dyn Discovery>, other: &Arc<dyn Discovery>) {
    let view = view(other, "staying");
    let (staying, leaving) = (instance("staying/a"), instance("staying/b"));
    let registration = start(registry, staying);
    let second = start(registry, leaving);
    within("registered", async { tokio::join!(registration.registered(), second.registered()) }).await;
    until_ids(&view, &["a", "b"]).await;
    // Somebody whose lease is as long and who does not renew it is gone, and those who renew are there.
    registry.announce(&instance("staying/c")).await.unwrap();
    until_ids(&view, &["a", "b", "c"]).await;
    until_ids(&view, &["a", "b"]).await;
    second.deregister().await;
    until_ids(&view, &["a"]).await;
    registration.set_health(Health::Unhealthy);
    within("it is told at once", view.until(|snapshot| snapshot.healthy().count() == 0)).await;
    assert_eq!(*registration.state().borrow(), RegistrationState::Registered);
    drop(registration);
    until_ids(&view, &[]).await;
}

async fn a_health_check_decides(registry: &Arc<dyn Discovery>, other: &Arc<dyn Discovery>) {
    let view = view(other, "checked");
    let (says, said) = tokio::sync::watch::channel(Some(Health::Healthy));
    let options =
        RegistrationOptions::default().health_interval(Duration::from_millis(50)).health_check(move || {
            let health = *said.borrow();
            async move { health.expect("this check is meant to panic") }
        });
    let registration = Registration::start(registry.clone(), instance("checked/a"), options).unwrap();
    let snapshot = within("healthy", view.until(|snapshot| snapshot.healthy().count() == 1)).await;
    let heartbeat = |snapshot: &swarmmq::discovery::Snapshot| {
        snapshot.instances().values().map(|one| one.heartbeat_ms).max()
    };
    let before = heartbeat(&snapshot);
    says.send_replace(Some(Health::Unhealthy));
    let after =
        within("ill", view.until(|now| now.instances().len() == 1 && now.healthy().count() == 0)).await;
    assert!(heartbeat(&after) > before, "who looks after its health says when");
    says.send_replace(Some(Health::Healthy));
    within("well again", view.until(|snapshot| snapshot.healthy().count() == 1)).await;
    // A check that panics is no sign of health, and does not end the registration.
    says.send_replace(None);
    within("ill", view.until(|now| now.instances().len() == 1 && now.healthy().count() == 0)).await;
    says.send_replace(Some(Health::Healthy));
    within("well again", view.until(|snapshot| snapshot.healthy().count() == 1)).await;
    registration.deregister().await;
}

async fn work_goes_to_the_healthy(registry: &Arc<dyn Discovery>, other: &Arc<dyn Discovery>) {
    let view = view(other, "working");
    let balancer = Balancer::new(&view);
    assert!(balancer.pick().is_none());
    let workers: Vec<Registration> =
        ["working/a", "working/b", "working/c"].map(|key| start(registry, instance(key))).into();
    until_ids(&view, &["a", "b", "c"]).await;
    let picks: Vec<_> = (0..6).map(|_| balancer.pick().unwrap()).collect();
    let of = |id: &str| picks.iter().filter(|pick| pick.instance().key.id.as_str() == id).count();
    assert_eq!([of("a"), of("b"), of("c")], [2, 2, 2]);
    workers[1].set_health(Health::Unhealthy);
    within("b is not healthy", view.until(|snapshot| snapshot.healthy().count() == 2)).await;
    let picks: Vec<_> = (0..6).map(|_| balancer.pick().unwrap()).collect();
    assert!(picks.iter().all(|pick| pick.instance().key.id.as_str() != "b"));
    // Nobody is left, until somebody is back.
    workers[0].set_health(Health::Unhealthy);
    workers[2].set_health(Health::Unhealthy);
    within("nobody is healthy", view.until(|snapshot| snapshot.healthy().count() == 0)).await;
    assert!(balancer.pick().is_none());
    let (pick, ()) = within("somebody is back", async {
        tokio::join!(balancer.ready(), async { workers[1].set_health(Health::Healthy) })
    })
    .await;
    assert_eq!(pick.instance().key.id.as_str(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_what_a_registry_promises() {
    let mut node = TestNode::start().await;
    keeps_what_it_promises(node.registry().await, node.registry().await).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_can_be_started_before_there_is_anybody() {
    let mut node = TestNode::start().await;
    let registry = node.registry().await;
    let view = View::start(registry, "nobody".parse().unwrap());
    within(
        "it is current",
        view.until(|snapshot| *snapshot.state() == swarmmq::discovery::ViewState::Current),
    )
    .await;
    node.stop().await;
}
