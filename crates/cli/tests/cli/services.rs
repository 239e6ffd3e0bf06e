//! Services that are registered at a real node.

use swarmmq::Client;
use swarmmq::discovery::{Discovery, Health, Instance, NodeDiscovery};

use crate::node::Node;

#[test]
fn who_is_registered_is_listed_and_who_comes_and_goes_is_told() {
    let node = Node::start();
    assert_eq!(node.run(&["services", "ls"]).with(0).stdout, "");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = NodeDiscovery::new(runtime.block_on(Client::connect(&node.native)).unwrap());
    let mut one = Instance::new("producer/one".parse().unwrap(), "tcp://one:5555").with("zone", "eu");
    one.health = Health::Unhealthy;
    let two = Instance::new("consumer/two".parse().unwrap(), "tcp://two:5556");
    for instance in [&one, &two] {
        runtime.block_on(registry.announce(instance)).unwrap();
    }
    let listed = node.run(&["services", "ls", "--json"]).with(0).objects();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let listed = node.run(&["services", "ls", "producer", "--json"]).with(0).object();
    assert_eq!((listed["id"].as_str(), listed["health"].as_str()), (Some("one"), Some("unhealthy")));
    assert_eq!((listed["ttl_ms"].as_u64(), listed["metadata"]["zone"].as_str()), (Some(60_000), Some("eu")));
    let table = node.run(&["services", "ls"]).with(0).stdout;
    assert!(table.starts_with("SERVICE") && table.contains("tcp://two:5556"), "{table}");

    let watching = node.go(&["services", "watch", "producer", "--json"]);
    watching.line_with("\"id\":\"one\"");
    runtime.block_on(registry.withdraw(&two.key)).unwrap();
    runtime.block_on(registry.withdraw(&one.key)).unwrap();
    assert!(watching.line_with("\"gone\"").contains("one"), "and nothing is said of another service");
    watching.signal("INT");
    assert_eq!(watching.end().0, 130);
    node.run(&["services", "ls", "no/name"]).with(2);
}
