//! An etcd that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use swarmmq::discovery::{
    Discovery, EtcdDiscovery, EtcdOptions, Health, Registration, RegistrationOptions, RegistrationState,
};

use super::Etcd;
use crate::line::Line;
use crate::outage::{has_missed, start, until_current, until_stale};
use crate::{instance, until_ids, view, within};

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_killed_and_the_view_goes_on() {
    let mut etcd = Etcd::start().await;
    let (registry, other) = (etcd.registry(), etcd.registry());
    let view = view(&other, "worker");
    let staying = start(&registry, "worker/staying");
    within("registered", staying.registered()).await;
    registry.announce(&instance("worker/leaving")).await.unwrap();
    until_ids(&view, &["leaving", "staying"]).await;
    let missed = has_missed(&view, "staying");

    etcd.kill();
    until_stale(&view).await;
    until_ids(&view, &["leaving", "staying"]).await;
    etcd.start_again().await;
    until_current(&view).await;
    within("it is registered again", staying.registered()).await;
    let coming = start(&registry, "worker/coming");
    until_ids(&view, &["coming", "staying"]).await;
    coming.deregister().await;
    until_ids(&view, &["staying"]).await;
    assert!(!missed.load(Ordering::SeqCst), "whoever lived through it was there all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_was_cut_off_while_etcd_compacted_lists_again() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry();
    let mut line = Line::to(([127, 0, 0, 1], etcd.port()).into()).await;
    let over_line = EtcdOptions::default().endpoint(format!("http://{}", line.address()));
    let over_line: Arc<dyn Discovery> = Arc::new(EtcdDiscovery::new(&over_line).unwrap());
    let view = view(&over_line, "worker");
    let (staying, leaving) = (start(&registry, "worker/staying"), start(&registry, "worker/leaving"));
    until_ids(&view, &["leaving", "staying"]).await;
    let missed = has_missed(&view, "staying");

    line.cut().await;
    until_stale(&view).await;
    leaving.deregister().await;
    let coming = start(&registry, "worker/coming");
    within("registered", coming.registered()).await;
    staying.set_health(Health::Unhealthy);
    etcd.compact().await;
    assert_eq!(view.snapshot().healthy().count(), 2, "it goes on with what it knew last");
    line.mend().await;
    until_ids(&view, &["coming", "staying"]).await;
    within("health is current", view.until(|snapshot| snapshot.healthy().count() == 1)).await;
    until_current(&view).await;
    assert!(!missed.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_before_a_compaction_lists_again() {
    let mut etcd = Etcd::start().await;
    let registry = etcd.registry();
    let service = "worker".parse().unwrap();
    let mut watching = registry.watch(Some(&service), None).await.unwrap();
    let before = within("all there is", watching.next()).await.unwrap();
    drop(watching);
    let (one, two) = (instance("worker/a"), instance("worker/b"));
    registry.announce(&one).await.unwrap();
    registry.announce(&two).await.unwrap();
    registry.withdraw(&one.key).await.unwrap();
    etcd.compact().await;
    // The history is gone for good, also for an etcd that starts again.
    etcd.kill();
    etcd.start_again().await;
    let mut watching = registry.watch(Some(&service), Some(before.at)).await.unwrap();
    let after = within("all there is", watching.next()).await.unwrap();
    assert_eq!(after.news, swarmmq::discovery::ServiceNews::All(vec![two]));
    assert!(after.at.revision > before.at.revision && after.at.epoch == before.at.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_lost_its_data_is_noticed() {
    let mut etcd = Etcd::start().await;
    let registry = etcd.registry();
    let view = view(&registry, "worker");
    let staying = start(&registry, "worker/staying");
    until_ids(&view, &["staying"]).await;
    for _ in 0..5 {
        staying.set_health(Health::Healthy);
        registry.announce(&instance("worker/other")).await.unwrap();
    }
    let missed = has_missed(&view, "staying");
    etcd.kill();
    std::fs::remove_dir_all(etcd.folder().join("data")).unwrap();
    etcd.start_again().await;
    until_current(&view).await;
    // It counts its revisions from the beginning: a watch from where it was would wait for ever.
    registry.announce(&instance("worker/new")).await.unwrap();
    let has_new = |snapshot: &swarmmq::discovery::Snapshot| {
        snapshot.instances().keys().any(|key| key.id.as_str() == "new")
    };
    within("the view sees what is new", view.until(has_new)).await;
    within("it is registered again", staying.registered()).await;
    until_ids(&view, &["staying"]).await;
    assert!(!missed.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_is_asked_when_one_does_not_answer() {
    let etcd = Etcd::start().await;
    // A port that takes connections and never answers, and one that takes none.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = EtcdOptions::default()
        .endpoint(format!("http://{closed}"))
        .endpoint(format!("http://{}", silent.local_addr().unwrap()))
        .endpoint(format!("http://127.0.0.1:{}", etcd.port()))
        .request_timeout(std::time::Duration::from_millis(500));
    let registry: Arc<dyn Discovery> = Arc::new(EtcdDiscovery::new(&options).unwrap());
    let view = view(&registry, "worker");
    registry.announce(&instance("worker/a")).await.unwrap();
    until_ids(&view, &["a"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_etcd_die_in_turn_and_then_most_of_them() {
    let mut members = Etcd::start_cluster().await;
    let options = members.iter().fold(EtcdOptions::default(), |options, member| {
        options.endpoint(format!("http://127.0.0.1:{}", member.port()))
    });
    let registry: Arc<dyn Discovery> = Arc::new(EtcdDiscovery::new(&options).unwrap());
    let view = view(&registry, "worker");
    let mut staying = instance("worker/staying");
    staying.ttl_ms = 10_000;
    let staying = Registration::start(registry.clone(), staying, RegistrationOptions::default()).unwrap();
    until_ids(&view, &["staying"]).await;
    let missed = has_missed(&view, "staying");
    // One of them is the one that is watched.
    let health = [(Health::Unhealthy, 0), (Health::Healthy, 1), (Health::Unhealthy, 0)];
    for (member, (health, count)) in members.iter_mut().zip(health) {
        member.kill();
        staying.set_health(health);
        within("the view is told by another", view.until(|now| now.healthy().count() == count)).await;
        member.start_again().await;
    }
    // What is left of two dead ones is alive and has no leader: it must not pass for a silent registry.
    members[0].kill();
    members[1].kill();
    until_stale(&view).await;
    let mut state = staying.state();
    let failing = |state: &RegistrationState| matches!(state, RegistrationState::Failing { .. });
    within("the registration says so", state.wait_for(failing)).await.unwrap();
    members[0].spawn("http", &[]);
    members[1].start_again().await;
    until_current(&view).await;
    within("it is registered", staying.registered()).await;
    assert!(!missed.load(Ordering::SeqCst), "whoever lived through it was there all the time");
}
