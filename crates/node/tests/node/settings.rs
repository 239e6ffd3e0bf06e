//! What the configuration says of destinations and consumers, as clients meet it.

use swarmmq_node::node::{Node, NodeOptions, Running};
use swarmmq_protocol::request::{Pull, Put, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{ErrorCode, GroupName, Request};
use tokio::net::TcpStream;

use crate::config;
use crate::peer::{Client, destination, message};

struct Session {
    client: Client<TcpStream>,
    next: u64,
}

impl Session {
    async fn with(node: &Running) -> Self {
        Self { client: crate::connect(node).await, next: 1 }
    }

    async fn ask(&mut self, request: Request) -> Response {
        let correlation = self.next;
        self.next += 1;
        self.client.request(correlation, request).await;
        let (found, response) = self.client.reply().await;
        assert_eq!(found, correlation);
        response
    }

    async fn code(&mut self, request: Request) -> Option<ErrorCode> {
        match self.ask(request).await {
            Response::Error(error) => Some(error.code),
            _ => None,
        }
    }

    async fn pull(&mut self, name: &str, wait_ms: u32) -> Vec<Delivery> {
        match self.ask(pull(name, wait_ms)).await {
            Response::Messages(deliveries) => deliveries,
            other => panic!("not messages: {other:?}"),
        }
    }

    async fn nack(&mut self, name: &str, delivery: &Delivery) {
        let settle = Settle {
            destination: destination(name),
            group: GroupName::default_group(),
            verdict: Verdict::Nack { delay_ms: 0 },
            receipts: vec![delivery.receipt],
        };
        assert!(matches!(self.ask(Request::Settle(settle)).await, Response::Settled(_)));
    }

    /// The settings of the one group of a queue.
    async fn group(&mut self, name: &str) -> GroupSettings {
        match self.ask(Request::DescribeDestination { destination: destination(name) }).await {
            Response::Destination(mut info) => info.groups.remove(0).settings,
            other => panic!("not a destination: {other:?}"),
        }
    }
}

fn put(name: &str) -> Request {
    let messages = vec![message(100)];
    Request::Put(Put { destination: destination(name), stamp: None, expected_last: None, messages })
}

fn pull(name: &str, wait_ms: u32) -> Request {
    let group = GroupName::default_group();
    Request::Pull(Pull { destination: destination(name), group, messages_max: 1, wait_ms, lease_ms: 0 })
}

fn create(name: &str) -> Request {
    Request::CreateDestination { destination: destination(name), settings: DestinationSettings::queue() }
}

fn subscribe(name: &str) -> Request {
    let group = GroupName::default_group();
    Request::Subscribe(Subscribe { destination: destination(name), group, credit: 1, lease_ms: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_makes_itself_has_the_group_that_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let more = "destinations: { max_deliveries: 2, dead_letter: dead, redelivery_delay: 1ms }\n\
                performance: { ack_timeout: 7s }";
    let node = Node::start(NodeOptions::new(config(folder.path(), more))).await.unwrap();
    let mut session = Session::with(&node).await;
    assert!(matches!(session.ask(put("orders")).await, Response::Put(_)));
    for attempt in 1..=2 {
        let got = session.pull("orders", 5_000).await;
        assert_eq!(got[0].attempt, attempt);
        session.nack("orders", &got[0]).await;
    }
    let dead = session.pull("dead", 20_000).await;
    let letter = dead[0].message.decode().unwrap();
    assert_eq!(letter.header_value("swarmmq-dead-letter-source").unwrap(), "orders");
    assert_eq!(letter.header_value("swarmmq-dead-letter-deliveries").unwrap(), "2");
    assert!(session.pull("orders", 0).await.is_empty(), "it has gone");

    let mut expected = GroupSettings::default();
    expected.lease_ms = 7_000;
    assert_eq!(session.group("dead").await, expected, "nothing of it is ever given up");
    assert!(matches!(session.ask(create("asked-for")).await, Response::Done { .. }));
    assert_eq!(session.group("asked-for").await, expected);
    expected.deliveries_max = 2;
    expected.dead_letter = Some(destination("dead"));
    expected.redelivery_delay_ms = 1;
    assert_eq!(session.group("orders").await, expected);
    assert!(session.pull("made-by-a-consumer", 100).await.is_empty());
    assert_eq!(session.group("made-by-a-consumer").await, expected);
    let _stopped = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_destinations_as_configured_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let options = || NodeOptions::new(config(folder.path(), "limits: { max_destinations: 2 }"));
    let node = Node::start(options()).await.unwrap();
    let mut session = Session::with(&node).await;
    assert!(matches!(session.ask(put("a")).await, Response::Put(_)));
    assert!(matches!(session.ask(create("b")).await, Response::Done { .. }));
    for request in [put("c"), create("c"), pull("c", 1_000), subscribe("c")] {
        assert_eq!(session.code(request.clone()).await, Some(ErrorCode::LimitReached), "{request:?}");
    }
    // What is there goes on.
    assert!(matches!(session.ask(put("a")).await, Response::Put(_)));
    assert!(matches!(session.ask(create("b")).await, Response::Done { .. }));
    assert_eq!(session.pull("a", 1_000).await.len(), 1);
    let delete = Request::DeleteDestination { destination: destination("b") };
    assert!(matches!(session.ask(delete).await, Response::Done { .. }));
    assert!(matches!(session.ask(put("c")).await, Response::Put(_)), "there is room again");
    let _stopped = node.shutdown().await;

    let node = Node::start(options()).await.unwrap();
    let mut session = Session::with(&node).await;
    assert_eq!(session.code(put("d")).await, Some(ErrorCode::LimitReached), "they were counted again");
    assert!(matches!(session.ask(put("c")).await, Response::Put(_)));
    let _stopped = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_how_much_credit_a_consumer_gets() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "performance: { batch_size: 7 }");
    let node = Node::start(NodeOptions::new(config)).await.unwrap();
    let stream = TcpStream::connect(node.native_addr().unwrap()).await.unwrap();
    assert_eq!(Client::welcome(stream).await.1.credit_default, 7);
    let _stopped = node.shutdown().await;
}
