//! Messages through a real node.

use crate::node::Node;

#[test]
fn what_is_produced_is_consumed_and_gone() {
    let node = Node::start();
    let stored = node.run(&["produce", "-d", "greetings", "-m", "Hello SwarmMQ"]).with(0);
    assert_eq!(stored.stdout, "stored in greetings as 1\n");
    let received = node.run(&["consume", "-d", "greetings", "--count", "1"]).with(0);
    assert_eq!(received.stdout, "Hello SwarmMQ\n");
    assert!(received.stderr.contains("1 message of greetings acknowledged"), "{received:#?}");
    let group = node.group("greetings");
    assert_eq!((group["ready"].as_u64(), group["leased"].as_u64()), (Some(0), Some(0)), "{group}");
    assert_eq!(group["acknowledged"], 1);
}

#[test]
fn each_line_of_the_input_is_a_message() {
    let node = Node::start();
    let stored = node.run_with_input(&["produce", "-d", "lines", "--json"], "one\n\nthree").with(0);
    let sequences: Vec<_> =
        stored.objects().iter().map(|object| object["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let received = node.run(&["consume", "-d", "lines", "-n", "3", "--quiet"]).with(0);
    assert_eq!((received.stdout.as_str(), received.stderr.as_str()), ("one\n\nthree\n", ""));
    let few = node.run_with_input(&["produce", "-d", "few", "--count", "2"], "one\ntwo\nthree\n").with(0);
    assert!(few.stdout.starts_with("2 messages stored in few"), "{few:#?}");
    assert_eq!(node.run_with_input(&["produce", "-d", "few"], "").with(0).stderr, "");
}

#[test]
fn a_program_reads_every_part_of_a_message() {
    let node = Node::start();
    let file = node.directory.path().join("payload");
    std::fs::write(&file, [0xff, 0x00]).unwrap();
    let id = "01234567-89ab-cdef-0011-223344556677";
    let produce = [
        "produce",
        "-d",
        "orders",
        "--file",
        file.to_str().unwrap(),
        "--key",
        "eu",
        "--header",
        "source=shop",
        "--header",
        "source=again",
        "--priority",
        "7",
        "--ttl",
        "1h",
        "--correlation",
        "42",
        "--reply-to",
        "answers",
        "--id",
        id,
        "--json",
    ];
    assert_eq!(node.run(&produce).with(0).object()["duplicate"], false);
    let again = node.run(&produce).with(0).object();
    assert_eq!((again["duplicate"].as_bool(), again["sequence"].as_u64()), (Some(true), Some(1)));
    let message = node.run(&["consume", "-d", "orders", "--count", "1", "--json"]).with(0).object();
    for (field, value) in [
        ("destination", "orders"),
        ("group", "default"),
        ("payload_base64", "/wA="),
        ("key", "eu"),
        ("correlation", "42"),
        ("reply_to", "answers"),
        ("id", id),
    ] {
        assert_eq!(message[field], value, "{message}");
    }
    for (field, value) in [("sequence", 1), ("attempt", 1), ("priority", 7), ("ttl_ms", 3_600_000)] {
        assert_eq!(message[field], value, "{message}");
    }
    assert_eq!(message["headers"][1], serde_json::json!({ "name": "source", "value": "again" }));
    assert!(message["stored_ms"].is_u64() && message["timestamp_ms"].is_u64(), "{message}");
    assert!(message.get("payload").is_none() && message.get("delay_ms").is_none(), "{message}");
}

#[test]
fn nothing_received_exits_with_4() {
    let node = Node::start();
    node.run(&["queue", "create", "idle"]).with(0);
    let nothing = node.run(&["consume", "-d", "idle", "--timeout", "50ms"]).with(4);
    assert!(nothing.stderr.contains("no message came from idle"), "{nothing:#?}");
    node.run(&["produce", "-d", "idle", "-m", "one"]).with(0);
    let few = node.run(&["consume", "-d", "idle", "-n", "2", "--timeout", "50ms", "--json"]).with(4);
    assert_eq!(few.object()["payload"], "one");
    assert_eq!(few.error()["message"], "1 of 2 messages came from idle");
}

#[test]
fn no_more_is_taken_than_was_asked_for() {
    let node = Node::start();
    node.run(&["produce", "-d", "work", "--size", "10", "--count", "20"]).with(0);
    assert_eq!(node.run(&["consume", "-d", "work", "-n", "5"]).with(0).stdout.lines().count(), 5);
    let group = node.group("work");
    assert_eq!((group["ready"].as_u64(), group["redelivered"].as_u64()), (Some(15), Some(0)), "{group}");
    assert_eq!(node.run(&["consume", "-d", "work", "--timeout", "1s"]).with(0).stdout.lines().count(), 15);
}

#[test]
fn messages_that_are_put_back_come_again_and_rejected_ones_are_dead_letters() {
    let node = Node::start();
    node.run(&["queue", "create", "dead"]).with(0);
    node.run(&["queue", "create", "jobs", "--dead-letter", "dead"]).with(0);
    node.run(&["produce", "-d", "jobs", "-m", "poison"]).with(0);
    node.run(&["consume", "-d", "jobs", "-n", "1", "--nack"]).with(0);
    let again =
        node.run(&["consume", "-d", "jobs", "-n", "1", "--json", "--reject", "no job"]).with(0).object();
    assert_eq!(again["attempt"], 2);
    let dead = node.run(&["consume", "-d", "dead", "-n", "1", "--json"]).with(0).object();
    assert_eq!(dead["payload"], "poison");
    assert!(dead["headers"].to_string().contains("no job"), "{dead}");
}

#[test]
fn an_interrupted_consumer_has_acknowledged_what_it_wrote() {
    let node = Node::start();
    let consumer = node.go(&["consume", "-d", "feed", "--follow"]);
    for text in ["first", "second"] {
        node.run(&["produce", "-d", "feed", "-m", text]).with(0);
        consumer.line_with(text);
    }
    consumer.signal("INT");
    let (code, lines) = consumer.end();
    assert_eq!(code, 130, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("2 messages of feed acknowledged")), "{lines:#?}");
    let group = node.group("feed");
    let state = ["ready", "leased", "acknowledged", "consumers"].map(|field| group[field].as_u64().unwrap());
    assert_eq!(state, [0, 0, 2, 0], "{group}");
}

#[test]
fn a_consumer_that_asks_for_nothing_is_sent_what_the_node_says() {
    let node = Node::start_with("performance: { batch_size: 3 }\n");
    node.run_with_input(&["produce", "-d", "lines"], "1\n2\n3\n4\n5\n").with(0);
    let held = ["consume", "-d", "lines", "--no-ack", "--timeout", "1s"];
    assert_eq!(node.run(&held).with(0).stdout, "1\n2\n3\n");
    let more = [&held[..], &["--in-flight", "4"]].concat();
    assert_eq!(node.run(&more).with(0).stdout, "1\n2\n3\n4\n");
}

#[test]
fn a_full_destination_is_told_with_its_code() {
    let node = Node::start();
    node.run(&["queue", "create", "small", "--max-messages", "2"]).with(0);
    let refused = node.run(&["produce", "-d", "small", "-m", "x", "-n", "5", "--json"]).with(1);
    assert_eq!(refused.objects().len(), 2);
    let error = refused.error();
    assert_eq!((error["code"].as_str(), error["exit_code"].as_u64()), (Some("DESTINATION-FULL"), Some(1)));
}

#[test]
fn an_unknown_destination_is_told_with_its_code() {
    let node = Node::start_with("destinations: { auto_create: false }\n");
    for args in [
        vec!["produce", "-d", "nowhere", "-m", "x"],
        vec!["consume", "-d", "nowhere"],
        vec!["queue", "info", "nowhere"],
        vec!["queue", "purge", "nowhere"],
    ] {
        let refused = node.run(&args).with(1);
        assert!(refused.stderr.contains("UNKNOWN-DESTINATION"), "{args:?} {refused:#?}");
    }
}
