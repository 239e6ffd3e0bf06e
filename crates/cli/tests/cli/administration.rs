//! Queues, streams and groups of a real node.

use crate::node::Node;

#[test]
fn a_queue_is_made_changed_emptied_and_removed() {
    let node = Node::start();
    assert_eq!(
        node.run(&["queue", "create", "orders", "--max-size", "1MB"]).with(0).stdout,
        "queue orders created\n"
    );
    node.run(&["queue", "create", "orders", "--max-size", "1MB"]).with(0);
    let other = node.run(&["queue", "create", "orders", "--max-size", "2MB"]).with(1);
    assert!(
        other.stderr.contains("ALREADY-EXISTS") && other.stderr.contains("queue update orders"),
        "{other:#?}"
    );
    node.run(&["queue", "update", "orders", "--overflow", "drop-oldest", "--ack-timeout", "2m"]).with(0);
    node.run(&["produce", "-d", "orders", "-m", "x"]).with(0);
    let info = node.run(&["queue", "info", "orders", "--json"]).with(0).object();
    assert_eq!((info["kind"].as_str(), info["messages"].as_u64()), (Some("queue"), Some(1)), "{info}");
    let settings = &info["settings"];
    assert_eq!(
        (settings["max_bytes"].as_u64(), settings["overflow"].as_str()),
        (Some(1_000_000), Some("drop-oldest"))
    );
    assert_eq!(info["groups"][0]["settings"]["ack_timeout_ms"], 120_000, "{info}");
    let purged = node.run(&["queue", "purge", "orders", "--json"]).with(0).object();
    assert_eq!(purged, serde_json::json!({ "done": "purged", "kind": "queue", "name": "orders" }));
    assert_eq!(node.run(&["queue", "info", "orders", "--json"]).with(0).object()["messages"], 0);
    node.run(&["queue", "delete", "orders"]).with(0);
    node.run(&["queue", "info", "orders"]).with(1);
}

#[test]
fn listings_are_by_kind_and_beginning() {
    let node = Node::start();
    assert_eq!(node.run(&["queue", "ls"]).with(0).stdout, "");
    for queue in ["b.2", "b.1", "a"] {
        node.run(&["queue", "create", queue]).with(0);
    }
    node.run(&["stream", "create", "b.events"]).with(0);
    let names = |args: &[&str]| -> Vec<String> {
        let listed = node.run(args).with(0);
        listed.objects().iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["queue", "ls", "--json"]), ["a", "b.1", "b.2"]);
    assert_eq!(names(&["queue", "ls", "b.", "--json"]), ["b.1", "b.2"]);
    assert_eq!(names(&["stream", "ls", "--json"]), ["b.events"]);
    let table = node.run(&["queue", "ls"]).with(0).stdout;
    assert!(table.starts_with("NAME  MESSAGES"), "{table}");
    assert_eq!(table.lines().count(), 4);
}

#[test]
fn a_queue_is_not_taken_for_a_stream() {
    let node = Node::start();
    node.run(&["stream", "create", "events"]).with(0);
    for verb in ["info", "purge", "delete"] {
        let refused = node.run(&["queue", verb, "events"]).with(1);
        assert!(refused.stderr.contains("events is a stream, not a queue"), "{refused:#?}");
    }
    node.run(&["stream", "info", "events"]).with(0);
}

#[test]
fn a_group_stands_where_it_is_set() {
    let node = Node::start();
    node.run(&["stream", "create", "events"]).with(0);
    node.run(&["group", "create", "events", "audit", "--filter", "priority>=1", "--key-ordered"]).with(0);
    node.run(&["produce", "-d", "events", "-n", "3", "-m", "x"]).with(0);
    let consume = ["consume", "-d", "events", "-g", "audit", "--timeout", "200ms"];
    assert_eq!(node.run(&consume).with(0).stdout, "x\nx\nx\n");
    node.run(&["group", "reset", "events", "audit", "--to", "3"]).with(0);
    assert_eq!(node.run(&consume).with(0).stdout, "x\n");
    node.run(&["group", "reset", "events", "audit", "--to", "earliest"]).with(0);
    node.run(&["group", "pause", "events", "audit"]).with(0);
    node.run(&consume).with(4);
    let info = node.run(&["group", "info", "events", "audit", "--json"]).with(0).object();
    assert_eq!((info["paused"].as_bool(), info["ready"].as_u64()), (Some(true), Some(3)), "{info}");
    assert_eq!(info["settings"]["filter"][0], "priority>=1");
    node.run(&["group", "update", "events", "audit", "--no-filter", "--key-ordered", "false"]).with(0);
    node.run(&["group", "resume", "events", "audit"]).with(0);
    assert_eq!(node.run(&consume).with(0).stdout.lines().count(), 3);
    let listed = node.run(&["group", "ls", "events", "--json"]).with(0).object();
    assert_eq!((listed["destination"].as_str(), listed["name"].as_str()), (Some("events"), Some("audit")));
    assert_eq!(listed["settings"]["key_ordered"], false);
    node.run(&["group", "delete", "events", "audit"]).with(0);
    let gone = node.run(&["group", "info", "events", "audit"]).with(1);
    assert!(gone.stderr.contains("UNKNOWN-GROUP"), "{gone:#?}");
}

#[test]
fn a_measurement_reports_and_leaves_nothing_behind() {
    let node = Node::start();
    for (args, bench) in [
        (vec!["bench", "put", "--count", "500", "--warm-up", "0"], "put"),
        (vec!["bench", "put", "--seconds", "200ms", "--warm-up", "0", "--rate", "500", "--stream"], "put"),
        (vec!["bench", "consume", "--count", "500"], "consume"),
        (vec!["bench", "end-to-end", "--count", "100", "--rate", "500", "--warm-up", "20ms"], "end-to-end"),
    ] {
        let report = node.run(&[args.as_slice(), &["--json"]].concat()).with(0).object();
        assert_eq!(report["bench"], bench);
        assert!(report["messages"].as_u64().unwrap() >= 100, "{report}");
        for field in ["messages_per_second", "megabytes_per_second", "elapsed_s"] {
            assert!(report[field].as_f64().unwrap() > 0.0, "{field} of {report}");
        }
        let latency =
            ["p50", "p90", "p99", "p999", "max"].map(|name| report["latency_us"][name].as_f64().unwrap());
        assert!(latency[0] > 0.0 && latency.is_sorted(), "{report}");
    }
    let text = node.run(&["bench", "put", "--count", "10", "--warm-up", "0"]).with(0).stdout;
    assert!(text.contains("throughput") && text.contains("p99.9"), "{text}");
    assert_eq!(node.run(&["queue", "ls"]).with(0).stdout, "");
    assert_eq!(node.run(&["stream", "ls"]).with(0).stdout, "");
}

#[test]
fn a_measurement_keeps_its_hands_off_what_is_there() {
    let node = Node::start();
    node.run(&["produce", "-d", "mine", "-m", "precious"]).with(0);
    let refused = node.run(&["bench", "consume", "-d", "mine", "--count", "1"]).with(1);
    assert!(refused.stderr.contains("mine exists already and holds 1 messages"), "{refused:#?}");
    node.run(&["bench", "put", "-d", "mine", "--existing", "--count", "5", "--warm-up", "0"]).with(0);
    assert_eq!(node.run(&["queue", "info", "mine", "--json"]).with(0).object()["messages"], 6);
}
