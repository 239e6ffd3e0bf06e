//! How a node starts, does not start, and stops.

use crate::node::{Node, arguments};
use crate::program::{Going, run};

/// A node that must not start.
fn refused(args: &[String; 9]) -> crate::program::Ended {
    run(&args.each_ref().map(String::as_str))
}

#[test]
fn what_was_stored_is_there_after_a_stop_and_the_journal_is_intact() {
    let node = Node::start();
    node.run(&["produce", "-d", "durable", "-m", "still here"]).with(0);
    let data = node.directory.path().join("data");
    let data = data.to_str().unwrap();
    let running = run(&["journal", "verify", data]).with(1);
    assert!(running.stderr.contains("stop the node first"), "{running:#?}");
    let directory = node.stop();
    let report = run(&["journal", "verify", data, "--json"]).with(0).object();
    assert_eq!(
        (report["intact"].as_bool(), &report["damages"]),
        (Some(true), &serde_json::json!([])),
        "{report}"
    );
    assert!(run(&["journal", "verify", data]).with(0).stdout.contains("intact"));
    let records = run(&["journal", "dump", data, "--kind", "entry", "--json"]).with(0).objects();
    assert!(records.iter().all(|record| record["kind"] == "entry" && record["index"].is_u64()));
    let node = Node::start_in(directory, "");
    assert_eq!(node.run(&["consume", "-d", "durable", "-n", "1"]).with(0).stdout, "still here\n");
}

#[test]
fn a_person_is_told_what_listens_where() {
    let directory = tempfile::tempdir().unwrap();
    let args = arguments(directory.path(), "", "0");
    let args: Vec<_> = args.iter().map(String::as_str).filter(|arg| *arg != "--json").collect();
    let node = Going::start(&args);
    node.line_with("SwarmMQ");
    node.line_with("native  swarmmq://127.0.0.1:");
    node.line_with("http    http://127.0.0.1:");
    node.line_with("data    ");
    node.signal("INT");
    let (code, lines) = node.end();
    assert_eq!(code, 0, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("stopped in ")), "{lines:#?}");
}

#[test]
fn a_node_is_healthy_when_it_serves() {
    let node = Node::start();
    let health = run(&["health", "--http", &node.http, "--json"]).with(0).object();
    assert_eq!(
        (health["healthy"].as_bool(), health["report"]["status"].as_str()),
        (Some(true), Some("ok")),
        "{health}"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let node = Node::start();
    let directory = tempfile::tempdir().unwrap();
    let (_, port) = node.native.rsplit_once(':').unwrap();
    let error = refused(&arguments(directory.path(), "", port)).with(1).error();
    assert_eq!(error["code"], "SWMQ0001");
    assert!(error["message"].as_str().unwrap().contains(&node.native), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--port"), "{error}");
}

#[test]
fn a_data_directory_in_use_is_named() {
    let node = Node::start();
    let error = refused(&arguments(node.directory.path(), "", "0")).with(1).error();
    assert_eq!(error["code"], "SWMQ0003");
    assert!(error["message"].as_str().unwrap().contains("used by another node"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let error =
        refused(&arguments(directory.path(), "performance: { batch_sise: 7 }\n", "0")).with(2).error();
    assert_eq!(error["code"], "SWMQ0101");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("node.yaml:3:") && message.contains("batch_size"), "{message}");
    run(&["node", "--config", "/nonexistent.yaml"]).with(2);
}
