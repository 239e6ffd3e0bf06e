//! `swarmmq health`, beside something that answers as a node does, and something that does not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use crate::program::run;

/// Answers one connection with `answer`, once it has asked, and gives what it asked.
fn server(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 1024];
        while !asked.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, served)
}

const OK: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"status\":\"ok\",\"ready\":true}";
const NOT_READY: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"not ready\",\"reasons\":\
    [{\"code\":\"STARTING\",\"explanation\":\"the node reads its journal\"}]}";
const DISK_FULL: &str = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"degraded\",\"ready\":true,\"reasons\":[],\"degraded\":\
    [{\"code\":\"DISK-FULL\",\"explanation\":\"the disk is full: puts are refused\"}]}";

#[test]
fn a_healthy_node_exits_with_0() {
    let (address, served) = server(OK);
    let ended = run(&["health", "--http", &address]).with(0);
    assert_eq!(ended.stdout, format!("healthy {address}\n"));
    let asked = served.join().unwrap();
    assert!(asked.starts_with("GET /health HTTP/1.1\r\n") && asked.contains(&format!("Host: {address}")));
}

#[test]
fn a_healthy_node_is_an_object_for_a_program() {
    let (address, served) = server(OK);
    let object = run(&["health", "--json", "--http", &format!("http://{address}/")]).with(0).object();
    assert_eq!(object["healthy"], true);
    assert_eq!(object["report"]["status"], "ok");
    served.join().unwrap();
}

#[test]
fn a_node_that_is_not_ready_exits_with_1_and_says_why() {
    let (address, served) = server(NOT_READY);
    let ended = run(&["health", "--http", &address]).with(1);
    assert!(ended.stderr.contains("the node reads its journal"), "{ended:#?}");
    served.join().unwrap();
}

#[test]
fn a_node_with_a_full_disk_exits_with_0_and_says_so() {
    let (address, served) = server(DISK_FULL);
    let ended = run(&["health", "--http", &address]).with(0);
    assert_eq!(ended.stdout, format!("healthy {address}, but the disk is full: puts are refused\n"));
    served.join().unwrap();
}

#[test]
fn what_is_not_http_exits_with_1() {
    let (address, served) = server("SSH-2.0-OpenSSH_9.2\r\n");
    assert!(run(&["health", "--http", &address]).with(1).stderr.contains("not HTTP"));
    served.join().unwrap();
}

#[test]
fn no_node_exits_with_1() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = run(&["health", "--http", &address]).with(1);
    assert!(ended.stderr.contains("swarmmq node"), "{ended:#?}");
}

#[test]
fn a_node_over_tls_needs_somebody_who_vouches_for_it() {
    assert!(run(&["health", "--http", "https://127.0.0.1:1"]).with(2).stderr.contains("--tls-ca"));
}
