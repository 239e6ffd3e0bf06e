//! What the program says without a node.

use std::net::TcpListener;
use std::process::Stdio;

use crate::program::{command, run, run_with_input};

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn without_arguments_it_shows_help() {
    let shown = run(&[]).with(2);
    assert!(shown.stderr.contains("Usage: swarmmq"), "{shown:#?}");
}

#[test]
fn help_tells_exit_codes_and_examples() {
    let help = run(&["--help"]).with(0).stdout;
    for part in
        ["EXIT CODES:", "130  interrupted", "EXAMPLES:", "produce", "consume", "queue", "bench", "health"]
    {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    let help = run(&["produce", "--help"]).with(0).stdout;
    for part in ["EXAMPLES:", "--destination", "SWARMMQ_NODE", "localhost:9001", "--in-flight"] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
}

#[test]
fn the_version_is_told() {
    assert_eq!(run(&["--version"]).with(0).stdout.trim(), concat!("swarmmq ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn names_of_earlier_programs_are_understood() {
    for name in ["producer-client", "consumer-client"] {
        assert!(run(&[name, "--help"]).with(0).stdout.contains("--destination"));
    }
}

#[test]
fn what_cannot_be_is_a_usage_error_that_says_why() {
    for (args, part) in [
        (vec!["prodice"], "produce"),
        (vec!["produce", "--message", "x"], "--destination"),
        (vec!["produce", "-d", "orders/eu", "-m", "x"], "'/' at position 6"),
        (vec!["produce", "-d", "q", "-m", "x", "--priority", "11"], "11"),
        (vec!["produce", "-d", "q", "-m", "x", "--header", "novalue"], "NAME=VALUE"),
        (vec!["produce", "-d", "q", "-m", "x", "--ttl", "5"], "unit"),
        (vec!["produce", "-d", "q", "-m", "x", "--size", "5"], "--size"),
        (vec!["produce", "-d", "q", "--file", "/nonexistent"], "/nonexistent"),
        (vec!["consume", "-d", "q", "--no-ack", "--reject", "x"], "--reject"),
        (vec!["consume", "-d", "q", "--count", "0"], "at least 1"),
        (vec!["group", "reset", "q", "g", "--to", "soon"], "earliest, latest"),
        (vec!["queue", "update", "q"], "nothing to change"),
        (vec!["queue", "ls", "--node", "localhost"], "host:port"),
        (vec!["queue", "ls", "--tls-cert", "cert.pem"], "--tls-ca"),
        (vec!["queue", "ls", "--api-key-file", "/nonexistent"], "/nonexistent"),
        (vec!["queue", "ls", "--tls-ca", "/nonexistent"], "/nonexistent"),
        (vec!["bench", "end-to-end", "--size", "4"], "at least 8"),
        (vec!["journal", "verify", "/nonexistent"], "no journal in /nonexistent"),
    ] {
        let ended = run(&args).with(2);
        assert!(ended.stderr.contains(part), "{args:?} {ended:#?}");
    }
}

#[test]
fn where_nobody_listens_it_says_how_to_start_a_node() {
    let node = nobody();
    for args in [
        vec!["queue", "ls", "--node", &node],
        vec!["produce", "--node", &node, "-d", "q", "-m", "x"],
        vec!["consume", "--node", &node, "-d", "q"],
        vec!["bench", "put", "--node", &node],
    ] {
        let ended = run(&args).with(3);
        assert!(ended.stderr.contains(&node) && ended.stderr.contains("swarmmq node"), "{ended:#?}");
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn an_error_for_a_program_is_an_object() {
    let node = nobody();
    let error = run(&["queue", "ls", "--json", "--node", &node]).with(3).error();
    assert_eq!(error["exit_code"], 3);
    assert!(error["message"].as_str().unwrap().contains(&node), "{error}");
    assert!(error["hint"].is_string(), "{error}");
    assert!(error["code"].is_null(), "{error}");
}

#[test]
fn the_node_is_also_taken_from_the_environment() {
    let node = nobody();
    let ended: crate::program::Ended =
        command(&["queue", "ls"]).env("SWARMMQ_NODE", &node).output().unwrap().into();
    assert!(ended.with(3).stderr.contains(&node));
}

#[test]
fn an_api_key_is_not_shown() {
    let shown = command(&["queue", "ls", "--help"]).env("SWARMMQ_API_KEY", "s3cret").output().unwrap();
    let help = String::from_utf8(shown.stdout).unwrap();
    assert!(help.contains("SWARMMQ_API_KEY") && !help.contains("s3cret"), "{help}");
}

#[test]
fn input_is_not_read_before_there_is_a_node() {
    let ended = run_with_input(&["produce", "--node", &nobody(), "-d", "q"], "one\ntwo\n").with(3);
    assert_eq!(ended.stdout, "");
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).with(0).stdout;
        for word in ["produce", "consume", "destination", "completions"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    run(&["completions", "powershell"]).with(2);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = command(&["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: crate::program::Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.with(0).stderr, "");
}
