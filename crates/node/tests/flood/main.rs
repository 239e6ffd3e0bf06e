//! Many connections at once, over TCP: in a process of their own, whose memory is measured, and one test at
//! a time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../native/fake.rs"]
#[allow(dead_code, reason = "helpers of other tests")]
mod fake;
#[path = "../native/peer.rs"]
#[allow(dead_code, reason = "helpers of other tests")]
mod peer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use swarmmq_node::native::NativeOptions;
use swarmmq_protocol::native::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, encoded, hello, put};

const PATIENCE: Duration = Duration::from_secs(30);

static ALONE: Mutex<()> = Mutex::const_new(());

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The time of so many requests of an honest client, the longest but one in a hundred.
async fn p99_of_requests(client: &mut Client<TcpStream>, count: u64) -> Duration {
    let mut times = Vec::new();
    for correlation in 1..=count {
        let start = Instant::now();
        client.request(correlation, put(100)).await;
        assert_eq!(client.reply().await.0, correlation);
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

async fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let beginning = &encoded(0, &Frame::Hello(hello()))[..20];
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Half of them say nothing, the others begin and do not end.
        if number % 2 == 0 {
            stream.write_all(beginning).await.unwrap();
        }
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_half_open_connections_disturb_nobody_and_are_closed_in_time() {
    let _alone = ALONE.lock().await;
    // Client and node are one process here, whose file descriptors both ends share.
    let count = 9_000;
    let options = NativeOptions {
        connections_max: 12_000,
        connections_per_address_max: 12_000,
        handshakes_max: 10_000,
        ..NativeOptions::default()
    };
    let node = Node::new(options, FakeShards::answering());
    let address = node.listen();
    let (mut honest, _) = Client::welcome(TcpStream::connect(address).await.unwrap()).await;
    let calm = p99_of_requests(&mut honest, 2_000).await;
    let before = resident_bytes();
    let start = Instant::now();
    let streams = half_open(address, count).await;
    let opened = start.elapsed();
    let each = resident_bytes().saturating_sub(before) / count;
    let flooded = p99_of_requests(&mut honest, 2_000).await;
    let (_newcomer, _) =
        timeout(PATIENCE, Client::welcome(TcpStream::connect(address).await.unwrap())).await.unwrap();
    println!(
        "{count} half-open in {opened:?}: {each} bytes each, both ends; p99 {calm:?} before, {flooded:?} during"
    );
    assert!(each <= 4096, "{each} bytes for each half-open connection, both of its ends");
    for mut stream in streams {
        let closed = timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("closed in time");
        assert!(matches!(closed, Ok(0) | Err(_)));
    }
    assert!(
        start.elapsed() < opened + Duration::from_secs(10),
        "closed {:?} after the first",
        start.elapsed()
    );
    // A peer may see its connection closed just before the node has counted it.
    let counted = async {
        while node.shared.connections() != 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.expect("only the two that speak are left");
    // A ratio of small times is noise on a busy machine; a disturbed session is one of many milliseconds.
    assert!(flooded < calm * 2 + Duration::from_millis(20), "{calm:?} before, {flooded:?} during the flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_beyond_the_limit_keeps_out_nobody_who_speaks() {
    let _alone = ALONE.lock().await;
    let options = NativeOptions { handshakes_max: 100, ..NativeOptions::default() };
    let node = Node::new(options, FakeShards::answering());
    let address = node.listen();
    let streams = half_open(address, 1_000).await;
    let (mut client, _) =
        timeout(PATIENCE, Client::welcome(TcpStream::connect(address).await.unwrap())).await.unwrap();
    client.request(1, put(100)).await;
    assert_eq!(client.reply().await.0, 1);
    assert!(node.shared.connections() <= 101);
    assert!(node.shared.counters().refused_total("evicted") >= 800);
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_costs_little() {
    let _alone = ALONE.lock().await;
    let count = 2_000;
    let options = NativeOptions { handshakes_max: 4_000, ..NativeOptions::default() };
    let node = Node::new(options, FakeShards::answering());
    let address = node.listen();
    let before = resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::welcome(TcpStream::connect(address).await.unwrap()).await.0);
    }
    let each = resident_bytes().saturating_sub(before) / count;
    println!("{each} bytes for each idle connection, both ends");
    assert!(each <= 8 * 1024, "{each} bytes for each idle connection");
}
