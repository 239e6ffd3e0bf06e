//! Titanic behind real sockets, with the shards that a node has, and beside some that fail.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits, TitanicLimits};
use swarmmq_cluster::Peer;
use swarmmq_node::config::{Config, Listen, parse};
use swarmmq_node::node::{Node, NodeOptions, Running};
use swarmmq_node::zeromq::{Bind, Bound, EndpointKind, EndpointOptions, Limits, Listening, Reason};
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::settings::DestinationSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, Request};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::raw::{Endpoint, Item, PATIENCE, Raw, message, until};

fn config(folder: &Path, keys: &str, more: &str) -> Config {
    let text = format!(
        "node: {{ data_dir: {folder:?} }}\n\
         cluster: {{ shards: 2 }}\n\
         journal: {{ segment_size: 4MiB, reserve_size: 1MiB }}\n\
         zeromq: {{ endpoints: [{{ name: jobs, kind: titanic, bind: 'tcp://127.0.0.1:0'{keys} }}] }}\n\
         {more}"
    );
    let mut config = parse(&text).unwrap();
    config.validate().unwrap();
    config.listen.native = Some(Listen::loopback(0));
    config.listen.http = Listen::loopback(0);
    config
}

async fn start(folder: &Path) -> Running {
    Node::start(NodeOptions::new(config(folder, "", ""))).await.unwrap()
}

fn endpoint(node: &Running) -> Arc<Listening> {
    node.zeromq().into_iter().find(|endpoint| endpoint.kind == "titanic").unwrap()
}

fn address(node: &Running) -> SocketAddr {
    match endpoint(node).addr {
        Some(Bound::Tcp(address)) => address,
        _ => panic!("not TCP"),
    }
}

async fn peer(node: &Running, socket_type: &str) -> Raw {
    Raw::connect(TcpStream::connect(address(node)).await.unwrap(), socket_type, b"").await
}

/// The body of the answer.
async fn ask(client: &mut Raw, service: &str, body: &[&str]) -> Vec<String> {
    let mut answer = client.ask(&[&["", "MDPC01", service], body].concat()).await;
    assert_eq!(answer[..3], ["", "MDPC01", service]);
    answer.split_off(3)
}

/// Asks until a reply is there, or there is certainly none.
async fn reply_to(client: &mut Raw, id: &str) -> Vec<String> {
    let asking = async {
        loop {
            let answer = ask(client, "titanic.reply", &[id]).await;
            if !matches!(answer[0].as_str(), "300" | "500") {
                return answer;
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("there is no reply")
}

async fn store(client: &mut Raw, body: &str) -> String {
    let answer = ask(client, "titanic.request", &["echo", body]).await;
    assert_eq!(answer[0], "200");
    assert!(answer[1].len() == 32 && answer[1].bytes().all(|digit| digit.is_ascii_hexdigit()));
    answer[1].clone()
}

async fn worker(node: &Running) -> Raw {
    let mut worker = peer(node, "DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    worker
}

/// The next request that a worker gets.
async fn request(worker: &mut Raw) -> Vec<Vec<u8>> {
    loop {
        let Some(item) = worker.item().await else { panic!("the connection is closed") };
        if let Item::Message(frames) = item
            && frames.get(2).is_some_and(|command| command == b"\x02")
        {
            return frames;
        }
    }
}

async fn answer(worker: &mut Raw, request: &[Vec<u8>], body: &[u8]) {
    use tokio::io::AsyncWriteExt;
    let frames = [b"", &b"MDPW01"[..], b"\x03", &request[3], b"", body];
    worker.stream.write_all(&message(&frames)).await.unwrap();
}

/// Answers of the shards.
struct Answers(mpsc::UnboundedSender<Response>);

impl Peer for Answers {
    fn reply(&self, _correlation: u64, response: Response) {
        let _ = self.0.send(response);
    }

    fn deliver(&self, _subscription: u64, _deliveries: Vec<Delivery>) {}

    fn ended(&self, _subscription: u64, _error: ErrorReply) {}
}

async fn submit(node: &Running, request: Request) -> Response {
    let (sender, mut answers) = mpsc::unbounded_channel();
    let tie = node.cluster().attach(Arc::new(Answers(sender)));
    tie.submit(1, request);
    timeout(PATIENCE, answers.recv()).await.unwrap().unwrap()
}

async fn describe(node: &Running) -> DestinationInfo {
    let destination = DestinationName::new("titanic.jobs").unwrap();
    match submit(node, Request::DescribeDestination { destination }).await {
        Response::Destination(info) => *info,
        other => panic!("{other:?}"),
    }
}

/// Waits until the queue holds so many records.
async fn holds(node: &Running, records: u64) {
    let wait = async {
        while describe(node).await.messages != records {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the queue never holds {records}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_stored_worked_on_answered_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let mut client = peer(&node, "REQ").await;
    let id = store(&mut client, "hello").await;
    assert_eq!(ask(&mut client, "titanic.reply", &[&id]).await, ["300"]);
    holds(&node, 1).await;
    let mut worker = worker(&node).await;
    let asked = request(&mut worker).await;
    assert_eq!(asked[4..], [b"".to_vec(), b"hello".to_vec()]);
    answer(&mut worker, &asked, b"hi").await;
    assert_eq!(reply_to(&mut client, &id).await, ["200", "hi"]);
    assert_eq!(reply_to(&mut client, &id).await, ["200", "hi"]);
    holds(&node, 1).await;
    assert_eq!(ask(&mut client, "titanic.close", &[&id]).await, ["200"]);
    assert_eq!(describe(&node).await.messages, 0, "it is gone before that is said");
    assert_eq!(ask(&mut client, "titanic.reply", &[&id]).await, ["400"]);
    for bad in ["../../etc/passwd", "", &id[1..]] {
        assert_eq!(ask(&mut client, "titanic.reply", &[bad]).await, ["400"]);
    }
    assert_eq!(endpoint(&node).drops.snapshot(), [(Reason::Malformed, 3)]);
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_when_the_node_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    let mut client = peer(&node, "DEALER").await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(store(&mut client, &number.to_string()).await);
    }
    let mut worker = worker(&node).await;
    for id in &ids[..10] {
        let asked = request(&mut worker).await;
        answer(&mut worker, &asked, &asked[5]).await;
        reply_to(&mut client, id).await;
    }
    for id in &ids[5..15] {
        assert_eq!(ask(&mut client, "titanic.close", &[id]).await, ["200"]);
    }
    let _ = node.shutdown().await;

    let node = start(folder.path()).await;
    assert_eq!(describe(&node).await.messages, 10);
    let (mut client, mut worker) = (peer(&node, "DEALER").await, self::worker(&node).await);
    for (number, id) in ids.iter().enumerate() {
        let expected = match number {
            0..5 => vec!["200".to_owned(), number.to_string()],
            5..15 => vec!["400".to_owned()],
            _ => {
                let asked = request(&mut worker).await;
                assert_eq!(
                    asked[5],
                    number.to_string().as_bytes(),
                    "the oldest first, and none that is closed"
                );
                answer(&mut worker, &asked, b"late").await;
                vec!["200".to_owned(), "late".to_owned()]
            }
        };
        assert_eq!(reply_to(&mut client, id).await, expected);
    }
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_changed_reads_its_queue_again() {
    let folder = tempfile::tempdir().unwrap();
    let current = Arc::new(Mutex::new(config(folder.path(), "", "")));
    let source = current.clone();
    let options = NodeOptions::new(current.lock().unwrap().clone())
        .config_source(Arc::new(move || Ok(source.lock().unwrap().clone())));
    let node = Node::start(options).await.unwrap();
    let id = store(&mut peer(&node, "REQ").await, "hello").await;
    current.lock().unwrap().zeromq.endpoints[0].titanic.max_stored_requests = 1;
    assert_eq!(node.reload().await.unwrap().endpoints.started, ["jobs"]);
    let mut client = peer(&node, "REQ").await;
    assert_eq!(ask(&mut client, "titanic.request", &["echo", "another"]).await, ["500"]);
    assert_eq!(endpoint(&node).drops.of(Reason::LimitReached), 1);
    let mut worker = worker(&node).await;
    let asked = request(&mut worker).await;
    answer(&mut worker, &asked, b"hi").await;
    assert_eq!(reply_to(&mut client, &id).await, ["200", "hi"]);
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_use_a_service_cannot_have_it_used_later() {
    let folder = tempfile::tempdir().unwrap();
    let more = "security: { permissions: [\
                { who: anybody, services: 'titanic.request', allow: [request] }, \
                { who: anybody, services: 'echo', allow: [request, serve] }] }";
    let node = Node::start(NodeOptions::new(config(folder.path(), "", more))).await.unwrap();
    let mut client = peer(&node, "DEALER").await;
    assert_eq!(ask(&mut client, "titanic.request", &["secret", "x"]).await, ["400"]);
    let id = store(&mut client, "hello").await;
    client.send(&["", "MDPC01", "titanic.reply", &id]).await;
    let refused = || endpoint(&node).drops.of(Reason::Forbidden) == 2;
    until("both are counted", refused).await;
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_the_limits_of_others_gives_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    // New queues give up what was delivered once, which all records are at each start.
    let more = "destinations: { max_deliveries: 1 }\nperformance: { ack_timeout: 50ms }";
    let start = async || Node::start(NodeOptions::new(config(folder.path(), "", more))).await.unwrap();
    let node = start().await;
    let id = store(&mut peer(&node, "REQ").await, "hello").await;
    let _ = node.shutdown().await;
    for _ in 0..3 {
        let _ = start().await.shutdown().await;
    }
    let node = start().await;
    assert_eq!(ask(&mut peer(&node, "REQ").await, "titanic.reply", &[&id]).await, ["300"]);
    let group = describe(&node).await.groups.remove(0);
    assert_eq!((group.dead, group.settings.deliveries_max), (0, 0));
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_that_name_is_not_taken_for_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let with_none = "zeromq: { endpoints: [] }";
    let mut none = config(folder.path(), "", "");
    none.zeromq = parse(with_none).unwrap().zeromq;
    let node = Node::start(NodeOptions::new(none)).await.unwrap();
    let destination = DestinationName::new("titanic.jobs").unwrap();
    let create = Request::CreateDestination { destination, settings: DestinationSettings::stream() };
    assert!(matches!(submit(&node, create).await, Response::Done { .. }));
    let _ = node.shutdown().await;
    let node = start(folder.path()).await;
    let mut client = peer(&node, "REQ").await;
    assert_eq!(ask(&mut client, "titanic.request", &["echo", "x"]).await, ["500"]);
    assert_eq!(endpoint(&node).drops.of(Reason::Unavailable), 1);
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_reads_it_can_store_also_in_a_queue_that_took_less() {
    let folder = tempfile::tempdir().unwrap();
    let mut none = config(folder.path(), "", "");
    none.zeromq = parse("zeromq: { endpoints: [] }").unwrap().zeromq;
    let node = Node::start(NodeOptions::new(none)).await.unwrap();
    let destination = DestinationName::new("titanic.jobs").unwrap();
    let mut settings = DestinationSettings::queue();
    settings.message_bytes_max = 1000;
    let create = Request::CreateDestination { destination, settings };
    assert!(matches!(submit(&node, create).await, Response::Done { .. }));
    let _ = node.shutdown().await;
    let node = start(folder.path()).await;
    // With what stands before them in the protocol they are as large as a message may be.
    let (request_body, reply) = ("x".repeat((1 << 20) - 25), "y".repeat((1 << 20) - 50));
    let mut client = peer(&node, "REQ").await;
    let id = store(&mut client, &request_body).await;
    let mut worker = worker(&node).await;
    let asked = request(&mut worker).await;
    assert_eq!(asked[5].len(), request_body.len());
    answer(&mut worker, &asked, reply.as_bytes()).await;
    assert_eq!(reply_to(&mut client, &id).await, ["200", &reply]);
    assert_eq!(endpoint(&node).drops.snapshot(), []);
    let _ = node.shutdown().await;
}

/// An endpoint beside shards whose answers the test decides.
async fn beside_a_model() -> (Endpoint, Raw) {
    beside_a_model_with(Limits::default()).await
}

async fn beside_a_model_with(endpoint_limits: Limits) -> (Endpoint, Raw) {
    let queue = DestinationName::new("titanic.test").unwrap();
    let (pool, limits) = (PoolLimits::default(), TitanicLimits::default());
    let bind = Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let kind = EndpointKind::Titanic { pool, repeats: RepeatLimits::default(), limits, queue };
    let options = EndpointOptions::new("test", kind, bind).limits(endpoint_limits);
    let endpoint = Endpoint::with_model(options, |state| state.delivers = true);
    let client = endpoint.peer("REQ").await;
    (endpoint, client)
}

#[tokio::test]
async fn the_end_of_the_subscription_has_everything_read_again() {
    let (endpoint, mut client) = beside_a_model().await;
    let id = store(&mut client, "hello").await;
    let (peer, subscription) = endpoint.model.with(|state| state.subscribers.last().unwrap().clone());
    peer.ended(subscription, ErrorReply::new(ErrorCode::NotLeader, "the test says so"));
    until("it subscribes again", || endpoint.model.with(|state| state.subscribers.len()) == 2).await;
    let opened = async { while ask(&mut client, "titanic.reply", &[&id]).await != ["300"] {} };
    timeout(PATIENCE, opened).await.expect("the queue is not read again");
    assert_eq!(ask(&mut client, "titanic.close", &[&id]).await, ["200"], "with the receipt of the new lease");
    assert_eq!(endpoint.model.with(|state| state.leased.len()), 0);
}

#[tokio::test]
async fn leases_that_nobody_ends_are_over_in_minutes() {
    let (endpoint, mut client) = beside_a_model().await;
    let id = store(&mut client, "hello").await;
    // What an overloaded shard did not take back with the subscription comes to the next one when its lease runs out.
    assert!(endpoint.model.with(|state| (60_000..=600_000).contains(&state.lease_ms)));
    let again = endpoint.model.with(|state| {
        let (sequence, _) = state.leased.pop_first().unwrap();
        state.ready.push_back(sequence);
        let (peer, subscription) = state.subscribers.last().unwrap().clone();
        (peer, subscription, state.lease().unwrap())
    });
    let (peer, subscription, delivery) = again;
    peer.deliver(subscription, vec![delivery]);
    assert_eq!(ask(&mut client, "titanic.reply", &[&id]).await, ["300"], "it is the same request");
    assert_eq!(ask(&mut client, "titanic.close", &[&id]).await, ["200"], "with the receipt of the new lease");
    assert_eq!(endpoint.model.with(|state| (state.leased.len(), state.ready.len())), (0, 0));
}

#[tokio::test]
async fn a_put_of_which_nobody_knows_whether_it_was_made_has_everything_read_again() {
    let (endpoint, mut client) = beside_a_model().await;
    store(&mut client, "hello").await;
    for (code, subscriptions) in [(ErrorCode::DiskFull, 1), (ErrorCode::Unavailable, 2)] {
        endpoint.model.with(|state| state.refuses = Some(code));
        assert_eq!(ask(&mut client, "titanic.request", &["echo", "x"]).await, ["500"]);
        endpoint.model.with(|state| state.refuses = None);
        let stored = async { while ask(&mut client, "titanic.request", &["echo", "x"]).await[0] != "200" {} };
        timeout(PATIENCE, stored).await.expect("nothing is stored any more");
        assert_eq!(endpoint.model.with(|state| state.subscribers.len()), subscriptions, "{code}");
    }
}

#[tokio::test]
async fn a_request_that_the_queue_can_never_take_is_400() {
    let (endpoint, mut client) = beside_a_model().await;
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::TooLarge));
    assert_eq!(ask(&mut client, "titanic.request", &["echo", "x"]).await, ["400"]);
    assert_eq!(endpoint.listening.drops.of(Reason::LimitReached), 1);
}

/// Waits until the shards have a put that they do not answer.
async fn held(endpoint: &Endpoint) {
    let is_put = |(_, _, request): &(Arc<dyn Peer>, u64, Request)| matches!(request, Request::Put(_));
    until("a put is under way", || endpoint.model.with(|state| state.held.iter().any(is_put))).await;
}

#[tokio::test]
async fn an_endpoint_that_stops_stores_the_reply_that_it_has_read() {
    let (endpoint, mut client) = beside_a_model().await;
    store(&mut client, "hello").await;
    let mut worker = endpoint.peer("DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let asked = request(&mut worker).await;
    endpoint.model.with(|state| state.holds = true);
    answer(&mut worker, &asked, b"hi").await;
    held(&endpoint).await;
    endpoint.stop.cancel();
    client.closed().await;
    worker.closed().await;
    endpoint.model.release();
    endpoint.listening.stopped().await;
    let left = endpoint.model.with(|state| (state.stored.len(), state.leased.len() + state.ready.len()));
    assert_eq!(left, (2, 1), "the reply is stored, and the request settled");
}

#[tokio::test]
async fn an_endpoint_that_stops_stores_the_reply_that_was_refused_when_it_stopped() {
    let (endpoint, mut client) = beside_a_model().await;
    store(&mut client, "hello").await;
    let mut worker = endpoint.peer("DEALER").await;
    worker.send(&["", "MDPW01", "\u{1}", "echo"]).await;
    let asked = request(&mut worker).await;
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::Overloaded));
    answer(&mut worker, &asked, b"hi").await;
    until("it is refused", || endpoint.model.with(|state| state.refused > 0)).await;
    endpoint.stop.cancel();
    client.closed().await;
    worker.closed().await;
    endpoint.model.with(|state| state.refuses = None);
    endpoint.listening.stopped().await;
    assert_eq!(endpoint.model.with(|state| state.stored.len()), 2, "the reply is stored");
}

#[tokio::test]
async fn an_endpoint_that_stops_says_what_became_of_a_request_under_way() {
    let (endpoint, mut client) = beside_a_model().await;
    store(&mut client, "hello").await;
    let mut other = endpoint.peer("DEALER").await;
    endpoint.model.with(|state| state.holds = true);
    client.send(&["", "MDPC01", "titanic.request", "echo", "again"]).await;
    held(&endpoint).await;
    endpoint.stop.cancel();
    other.closed().await;
    endpoint.model.release();
    assert_eq!(client.receive().await[3], "200");
    client.closed().await;
    endpoint.listening.stopped().await;
    assert_eq!(endpoint.listening.drops.snapshot(), []);
}

#[tokio::test]
async fn an_endpoint_that_stops_does_not_wait_for_ever_for_its_queue() {
    let mut limits = Limits::default();
    limits.drain_timeout = std::time::Duration::from_millis(50);
    let (endpoint, mut client) = beside_a_model_with(limits).await;
    store(&mut client, "hello").await;
    endpoint.model.with(|state| state.holds = true);
    client.send(&["", "MDPC01", "titanic.request", "echo", "again"]).await;
    held(&endpoint).await;
    endpoint.stop.cancel();
    timeout(PATIENCE, endpoint.listening.stopped()).await.expect("it waits for ever");
    assert_eq!(endpoint.listening.drops.snapshot(), [(Reason::Unconfirmed, 1)]);
}
