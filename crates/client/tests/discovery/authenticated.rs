//! A node that asks who one is.

use swarmmq::discovery::{Discovery, DiscoveryError, NodeDiscovery};

use super::instance;
use super::node::TestNode;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_lets_register_who_may_serve_and_look_who_may_request() {
    // The digests of "key" and "other".
    let security = "security:\n  api_keys:\n\
        \x20   - { name: ada, sha256: 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683 }\n\
        \x20   - { name: bob, sha256: d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa }\n\
        \x20 permissions:\n\
        \x20   - { who: ada, services: worker, allow: [serve] }\n\
        \x20   - { who: bob, services: '*', allow: [request] }\n";
    let mut node = TestNode::start_with(security).await;
    let as_user = |key: &'static str| {
        let options = node.options().api_key(key);
        async move { NodeDiscovery::new(options.connect().await.unwrap()) }
    };
    let (ada, bob) = (as_user("key").await, as_user("other").await);
    let (worker, other) = (instance("worker/a"), instance("other/a"));
    let (service, elsewhere) = ("worker".parse().unwrap(), "elsewhere".parse().unwrap());
    let is_refused = |result: Result<(), DiscoveryError>| {
        assert!(matches!(&result, Err(DiscoveryError::Refused(_))), "{result:?}");
    };
    ada.announce(&worker).await.unwrap();
    is_refused(ada.announce(&other).await);
    is_refused(ada.withdraw(&other.key).await);
    is_refused(ada.list(Some(&service)).await.map(drop));
    is_refused(bob.announce(&worker).await);
    is_refused(bob.withdraw(&worker.key).await);
    is_refused(ada.list(None).await.map(drop));
    assert_eq!(bob.list(Some(&service)).await.unwrap().len(), 1);
    assert_eq!(bob.list(Some(&elsewhere)).await.unwrap().len(), 0);
    assert_eq!(bob.list(None).await.unwrap().len(), 1);
    node.stop().await;
}
