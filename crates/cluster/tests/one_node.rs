//! What a session sees of the shards of one node, over a real journal on a real disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use harness::{Node, name, payload};
use swarmmq_cluster::{Cluster, Observer, StartError, SystemWorld, Unobserved};
use swarmmq_journal::{FileDisk, GroupId, Journal, MetaKey, Options};
use swarmmq_protocol::codec::Encode;
use swarmmq_protocol::request::{Put, Request, Verdict};
use swarmmq_protocol::response::{PutOutcome, Response, SettleOutcome};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{ErrorCode, GroupName, Message, MessageId, ProducerId, ProducerStamp, Sequence};

fn stamp(sequence: u64) -> Option<ProducerStamp> {
    Some(ProducerStamp { producer: ProducerId(7), epoch: 0, sequence })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_pulled_in_order_and_goes_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    let stored = session.put("orders", None, &["a", "b", "c"]).await;
    assert_eq!(stored, [1, 2, 3].map(|nth| PutOutcome::Stored(Sequence(nth))));
    let got = session.pull("orders", 10, 1_000).await;
    assert_eq!(got.iter().map(payload).collect::<Vec<_>>(), ["a", "b", "c"]);
    let receipts = got.iter().map(|delivery| delivery.receipt).collect::<Vec<_>>();
    assert_eq!(session.settle("orders", Verdict::Ack, receipts.clone()).await, [SettleOutcome::Done; 3]);
    assert_eq!(session.settle("orders", Verdict::Ack, receipts).await, [SettleOutcome::AlreadySettled; 3]);
    assert_eq!(session.pull("orders", 10, 0).await, []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_leases_and_sessions_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        let node = Node::start(directory.path()).await;
        let session = node.session();
        if round > 0 {
            let again = session.put("orders", stamp(round), &[&format!("m{round}")]).await;
            assert_eq!(again, [PutOutcome::Duplicate(Sequence(round))], "a retry across a restart");
        }
        let sequence = round + 1;
        let stored = session.put("orders", stamp(sequence), &[&format!("m{sequence}")]).await;
        assert_eq!(stored, [PutOutcome::Stored(Sequence(sequence))]);
        let got = session.pull("orders", 10, 1_000).await;
        assert_eq!(got.len() as u64, sequence, "leases end with the process, nothing was acknowledged");
        if round == 1 {
            // Not a graceful stop: the process would be gone. What was acknowledged is synced.
            std::mem::forget(session);
            drop(node.cluster.clone());
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gets_as_much_as_it_has_credit_for() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    let id = session.subscribe("orders", 2).await;
    session.put("orders", None, &["a", "b", "c"]).await;
    let mut got = Vec::new();
    while got.len() < 2 {
        let (subscription, deliveries) = session.delivered().await;
        assert_eq!(subscription, id);
        got.extend(deliveries.iter().map(payload));
    }
    assert_eq!(got, ["a", "b"]);
    // An answer to a later request shows that the shard has had the time to deliver too much.
    session.put("orders", None, &["d"]).await;
    assert_eq!(session.try_delivered().await, None);
    session.attachment.credit(id, 10);
    while got.len() < 4 {
        got.extend(session.delivered().await.1.iter().map(payload));
    }
    assert_eq!(got, ["a", "b", "c", "d"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_leased_is_ready_for_others_when_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let gone = node.session();
    gone.subscribe("orders", 10).await;
    let session = node.session();
    session.put("orders", None, &["a"]).await;
    assert_eq!(gone.delivered().await.1[0].attempt, 1);
    drop(gone);
    let got = session.pull("orders", 10, 10_000).await;
    assert_eq!((payload(&got[0]).as_str(), got[0].attempt), ("a", 2));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_reaches_the_dead_letter_queue_on_another_shard_once() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    session.put("orders", None, &["bad", "good"]).await;
    let mut settings = GroupSettings::default();
    settings.dead_letter = Some(name("dead-orders"));
    let update =
        Request::UpdateGroup { destination: name("orders"), group: GroupName::default_group(), settings };
    assert!(matches!(session.ask(update).await, Response::Done { .. }));
    let got = session.pull("orders", 1, 1_000).await;
    let reject = Verdict::Reject { reason: "no such customer".into() };
    assert_eq!(session.settle("orders", reject, vec![got[0].receipt]).await, [SettleOutcome::Done]);
    let dead = session.pull("dead-orders", 10, 10_000).await;
    assert_eq!(dead.len(), 1);
    let message: Message = dead[0].message.decode().unwrap();
    assert_eq!(&message.payload[..], b"bad");
    assert_eq!(message.header_value("swarmmq-dead-letter-reason").unwrap(), "no such customer");
    assert_eq!(message.header_value("swarmmq-dead-letter-source").unwrap(), "orders");
    node.stop().await;
}

/// Has the messages of `queue` that are rejected go to `dead`.
async fn send_rejected_to_dead(session: &harness::Session, queue: &str) {
    let mut settings = GroupSettings::default();
    settings.dead_letter = Some(name("dead"));
    let group = GroupName::default_group();
    let update = Request::UpdateGroup { destination: name(queue), group, settings };
    assert!(matches!(session.ask(update).await, Response::Done { .. }));
}

async fn reject_all(session: &harness::Session, queue: &str, count: usize) {
    let mut receipts = Vec::new();
    while receipts.len() < count {
        receipts.extend(session.pull(queue, 100, 5_000).await.iter().map(|delivery| delivery.receipt));
    }
    let reject = Verdict::Reject { reason: "poison".into() };
    assert_eq!(session.settle(queue, reject, receipts).await, vec![SettleOutcome::Done; count]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_that_die_together_arrive_in_several_entries() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    let large = "x".repeat(500_000);
    for _ in 0..12 {
        session.put("orders", None, &[&large]).await;
    }
    send_rejected_to_dead(&session, "orders").await;
    reject_all(&session, "orders", 12).await;
    reject_all(&session, "dead", 12).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_again_under_the_same_id_is_another_letter() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    let mut message = Message::new("bad");
    message.id = MessageId(77);
    let message = message.encode().unwrap();
    for queue in ["orders", "invoices"] {
        session.put_messages(queue, None, vec![message.clone()]).await;
        send_rejected_to_dead(&session, queue).await;
        reject_all(&session, queue, 1).await;
    }
    let mut dead = Vec::new();
    while dead.len() < 2 {
        dead.extend(session.pull("dead", 10, 5_000).await);
    }
    for letter in dead {
        let id = MessageId(77).to_string();
        assert_eq!(
            letter.message.decode().unwrap().header_value("swarmmq-dead-letter-id").unwrap(),
            id.as_str()
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_the_journal_cannot_take_is_refused_and_its_shard_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    let message = Message::new("x".repeat(3 << 20)).encode().unwrap();
    let put = Put { destination: name("orders"), stamp: None, expected_last: None, messages: vec![message] };
    match session.ask(Request::Put(put)).await {
        Response::Error(error) => assert_eq!(error.code, ErrorCode::TooLarge),
        other => panic!("answered {other:?}"),
    }
    assert_eq!(session.put("orders", None, &["small"]).await, [PutOutcome::Stored(Sequence(1))]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_ends_its_subscriptions() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let session = node.session();
    session.put("orders", None, &["a"]).await;
    let id = session.subscribe("orders", 10).await;
    session.delivered().await;
    let delete = Request::DeleteDestination { destination: name("orders") };
    assert!(matches!(session.ask(delete).await, Response::Done { .. }));
    let (ended, error) = session.ended().await;
    assert_eq!((ended, error.code), (id, ErrorCode::UnknownDestination));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_pull_is_answered_by_the_next_put() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let (waiting, putting) = (node.session(), node.session());
    let (got, _) = tokio::join!(waiting.pull("orders", 1, 20_000), putting.put("orders", None, &["a"]));
    assert_eq!(payload(&got[0]), "a");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_made_for_another_number_of_shards_is_refused() {
    use swarmmq_cluster::{Cluster, ClusterOptions, ShardCount, SystemWorld, Unobserved};
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let options = ClusterOptions {
        name: "test".into(),
        address: "127.0.0.1:0".into(),
        shards: ShardCount::new(8).unwrap(),
        auto_create: None,
        queue_group: GroupSettings::default(),
        destinations_max: 100_000,
    };
    let started =
        Cluster::start(options, node.journal.clone(), Arc::new(SystemWorld), Arc::new(Unobserved)).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("made for 4 shards"), "{error}");
    node.stop().await;
}

/// The size of the largest entry since it was last asked.
#[derive(Default)]
struct Largest(AtomicU64);

impl Observer for Largest {
    fn put(&self, _messages: u64, _took: Duration) {}

    fn delivered(&self, _messages: u64, _bytes: u64, _redelivered: u64) {}

    fn settled(&self, _receipts: u64) {}

    fn proposed(&self, _commands: u64, bytes: u64) {
        self.0.fetch_max(bytes, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_put_that_makes_a_destination_carries_what_it_is_made_with() {
    let directory = tempfile::tempdir().unwrap();
    let observer = Arc::new(Largest::default());
    let options = Options { segment_bytes: 4 << 20, reserve_bytes: 1 << 20, ..Options::default() };
    let node = Node::start_observed(directory.path(), options, observer.clone()).await;
    let session = node.session();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        observer.0.store(0, Ordering::SeqCst);
        session.put("orders", None, &["a"]).await;
        sizes.push(observer.0.load(Ordering::SeqCst));
    }
    let mut settings = bytes::BytesMut::new();
    swarmmq_broker::AutoCreate::from(DestinationSettings::queue()).encode(&mut settings);
    assert_eq!(sizes[0] - sizes[1], settings.len() as u64);
    assert_eq!(sizes[1], sizes[2]);
    // It is made anew once it has gone.
    let delete = Request::DeleteDestination { destination: name("orders") };
    assert!(matches!(session.ask(delete).await, Response::Done { .. }));
    assert_eq!(session.put("orders", None, &["a"]).await, [PutOutcome::Stored(Sequence(1))]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_do_not_all_start_let_go_of_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::new(directory.path()).unwrap();
    let options = Options { segment_bytes: 4 << 20, reserve_bytes: 1 << 20, ..Options::default() };
    let (journal, writer) = Journal::open(Arc::new(disk), options).unwrap();
    let writer = tokio::task::spawn_blocking(move || writer.run());
    // Shard 2 has a replica id of one byte.
    journal.put_meta(GroupId(2), MetaKey(16), Bytes::from_static(b"x"), Box::new(|_| ()));
    let started =
        Cluster::start(harness::options(), journal.clone(), Arc::new(SystemWorld), Arc::new(Unobserved));
    assert!(matches!(started.await, Err(StartError::Identity(_))));
    drop(journal);
    tokio::time::timeout(Duration::from_secs(10), writer).await.expect("somebody has the journal").unwrap();
}
