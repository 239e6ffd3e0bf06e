//! The patterns against a node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swarmmq::zeromq::{
    MdpClient, MdpVersion, OmqConnector, RequestOptions, ServiceName, Worker, WorkerOptions,
};
use swarmmq_node::config::{Listen, parse};
use swarmmq_node::node::{Node, NodeOptions};
use swarmmq_node::zeromq::Listening;

use crate::peer::frames;
use crate::{PATIENCE, soon};

/// Waits until so many connections of others than `known` have sent something.
async fn heard(endpoint: &Listening, known: &BTreeSet<String>, connections: usize) {
    let mut heard = known.clone();
    soon("the requests", async {
        while heard.len() < known.len() + connections {
            heard.extend(senders(endpoint));
            // sleep: between two looks at the condition, with a deadline.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn senders(endpoint: &Listening) -> impl Iterator<Item = String> {
    let peers = endpoint.peers.first(usize::MAX).into_iter().filter(|peer| peer.received() > 0);
    peers.map(|peer| peer.address.map(|address| address.to_string()).unwrap_or_default())
}

/// The worker takes longer than the client waits, so that the client asks again and again, each time on a fresh socket.
#[tokio::test]
async fn a_request_that_its_client_repeats_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = parse(&format!(
        "node: {{ data_dir: {:?} }}\ncluster: {{ shards: 1 }}\njournal: {{ segment_size: 4MiB, reserve_size: 1MiB }}\n\
         zeromq: {{ endpoints: [{{ name: services, kind: service, bind: \"tcp://127.0.0.1:0\", deduplicate: 1m }}] }}",
        folder.path()
    ))
    .unwrap();
    (config.listen.native, config.listen.http) = (None, Listen::loopback(0));
    let running = Node::start(NodeOptions::new(config)).await.unwrap();
    let endpoint: Arc<Listening> = running.zeromq().remove(0);
    let address = endpoint.addr.as_ref().unwrap().to_string();
    let connector = || OmqConnector::dealer([&address]).unwrap();
    let service = ServiceName::new("echo").unwrap();
    for version in [MdpVersion::V01, MdpVersion::V02] {
        let mut known: BTreeSet<String> = senders(&endpoint).collect();
        let mut worker =
            Worker::mdp(connector(), version, service.clone(), WorkerOptions::default()).unwrap();
        heard(&endpoint, &known, 1).await;
        known.extend(senders(&endpoint));
        let options = RequestOptions::default()
            .timeout(Duration::from_millis(200))
            .attempts(1000)
            .pauses(Duration::from_millis(1), Duration::from_millis(20))
            .deduplicated(true);
        let mut client = MdpClient::new(connector(), version, options).unwrap();
        let asked = service.clone();
        let asking = tokio::spawn(async move {
            let slow = client.request(&asked, ["slow"]).await;
            (slow, client.request(&asked, ["quick"]).await)
        });
        let slow = soon("a request", worker.next_request()).await.unwrap();
        assert_eq!(slow.body(), frames(&[b"slow"]));
        heard(&endpoint, &known, 3).await;
        slow.reply(["done"]).await.unwrap();
        let quick = soon("the next request", worker.next_request()).await.unwrap();
        assert_eq!(quick.body(), frames(&[b"quick"]), "the repeats are not requests");
        quick.reply(["done too"]).await.unwrap();
        let (slow, quick) = soon("the replies", asking).await.unwrap();
        assert_eq!((slow.unwrap().last, quick.unwrap().last), (frames(&[b"done"]), frames(&[b"done too"])));
        soon("the worker's end", worker.stop()).await;
    }
    let _stopped = tokio::time::timeout(PATIENCE, running.shutdown()).await.unwrap();
}
