//! How fast the shards of one node take puts, without listeners and clients: what the layers above
//! cannot be faster than.
//!
//! `cargo run --release -p swarmmq-cluster --example put_rate -- DIRECTORY IN_FLIGHT SECONDS BYTES`
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swarmmq_cluster::{Cluster, ClusterOptions, Peer, ShardCount, SystemWorld, Unobserved};
use swarmmq_journal::{FileDisk, Journal, Options};
use swarmmq_protocol::request::{Put, Request};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{DestinationName, ErrorReply, Message};
use tokio::sync::mpsc;

struct Inbox(mpsc::UnboundedSender<u64>);

impl Peer for Inbox {
    fn reply(&self, correlation: u64, response: Response) {
        assert!(matches!(response, Response::Put(_)), "{response:?}");
        let _ended = self.0.send(correlation);
    }
    fn deliver(&self, _subscription: u64, _deliveries: Vec<Delivery>) {}
    fn ended(&self, _subscription: u64, _error: ErrorReply) {}
}

static DONE: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "target/put_rate".into());
    let mut number = |default: u64| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (in_flight, seconds, bytes) = (number(64), number(5), number(128));
    std::fs::create_dir_all(&directory).unwrap();
    let (journal, writer) =
        Journal::open(Arc::new(FileDisk::new(&directory).unwrap()), Options::default()).unwrap();
    let thread = std::thread::spawn(move || writer.run());
    let options = ClusterOptions {
        name: "rate".into(),
        address: "127.0.0.1:0".into(),
        shards: ShardCount::new(16).unwrap(),
        auto_create: Some(DestinationSettings::stream().into()),
        queue_group: GroupSettings::default(),
        destinations_max: 100_000,
    };
    let cluster =
        Cluster::start(options, journal.clone(), Arc::new(SystemWorld), Arc::new(Unobserved)).await.unwrap();
    cluster.wait_until_available(Duration::from_secs(10)).await.unwrap();

    let client = tokio::spawn(load(cluster.clone(), in_flight, seconds, bytes));
    let mut latencies = client.await.unwrap();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{in_flight} in flight, {bytes} B: {:.0}/s, p50 {:?}, p99 {:?}, max {:?}",
        DONE.load(Ordering::Relaxed) as f64 / seconds as f64,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!("{:?}", journal.stats());
    cluster.shutdown().await;
    journal.close();
    thread.join().unwrap();
}

async fn load(cluster: Cluster, in_flight: u64, seconds: u64, bytes: u64) -> Vec<Duration> {
    let (tx, mut rx) = mpsc::unbounded_channel();
    let attachment = cluster.attach(Arc::new(Inbox(tx)));
    let destination = DestinationName::new("rate").unwrap();
    let message = Message::new(vec![0; bytes as usize]).encode().unwrap();
    let put = |correlation| {
        let put = Put {
            destination: destination.clone(),
            stamp: None,
            expected_last: None,
            messages: vec![message.clone()],
        };
        attachment.submit(correlation, Request::Put(put));
    };
    let mut sent = vec![Instant::now(); in_flight as usize];
    let end = Instant::now() + Duration::from_secs(seconds);
    (0..in_flight).for_each(put);
    let (mut latencies, mut answered) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        rx.recv_many(&mut answered, 1024).await;
        let now = Instant::now();
        for correlation in answered.drain(..) {
            latencies.push(now - sent[correlation as usize]);
            sent[correlation as usize] = now;
            put(correlation);
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    }
    latencies
}
