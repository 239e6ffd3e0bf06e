//! A node's shards without its listeners: a journal on a disk, its writer's thread, and a session
//! that waits for its answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use swarmmq_cluster::{
    Attachment, Cluster, ClusterOptions, Observer, Peer, ShardCount, SystemWorld, Unobserved,
};
use swarmmq_journal::{FileDisk, Journal, Options};
use swarmmq_protocol::request::{Pull, Put, Request, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, Response, SettleOutcome};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq_protocol::{
    DestinationName, EncodedMessage, ErrorReply, GroupName, Message, ProducerStamp, Receipt,
};
use tokio::sync::{Mutex, mpsc};

pub(crate) fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

pub(crate) fn message(text: &str) -> EncodedMessage {
    Message::new(text.to_owned()).encode().unwrap()
}

pub(crate) fn payload(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.decode().unwrap().payload.to_vec()).unwrap()
}

pub(crate) fn options() -> ClusterOptions {
    ClusterOptions {
        name: "test".into(),
        address: "127.0.0.1:0".into(),
        shards: ShardCount::new(4).unwrap(),
        auto_create: Some(DestinationSettings::queue().into()),
        queue_group: GroupSettings::default(),
        destinations_max: 100_000,
    }
}

/// The shards of one node.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) journal: Journal,
    writer: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_with(
            directory,
            Options { segment_bytes: 4 << 20, reserve_bytes: 1 << 20, ..Options::default() },
        )
        .await
    }

    pub(crate) async fn start_with(directory: &Path, options: Options) -> Self {
        Self::start_observed(directory, options, Arc::new(Unobserved)).await
    }

    pub(crate) async fn start_observed(
        directory: &Path,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let disk = Arc::new(FileDisk::new(directory).unwrap());
        let (journal, writer) = Journal::open(disk, options).unwrap();
        let writer = std::thread::spawn(move || writer.run());
        let cluster =
            Cluster::start(self::options(), journal.clone(), Arc::new(SystemWorld), observer).await.unwrap();
        cluster.wait_until_available(Duration::from_secs(20)).await.unwrap();
        Self { cluster, journal, writer: Some(writer) }
    }

    /// Stops as a node does.
    pub(crate) async fn stop(mut self) {
        self.cluster.shutdown().await;
        self.journal.close();
        self.writer.take().unwrap().join().unwrap();
    }

    pub(crate) fn session(&self) -> Session {
        let (replies, reply) = mpsc::unbounded_channel();
        let (delivered, deliveries) = mpsc::unbounded_channel();
        let (gone, ended) = mpsc::unbounded_channel();
        let inbox = Arc::new(Inbox { replies, delivered, gone });
        Session {
            attachment: self.cluster.attach(inbox),
            next: AtomicU64::new(1),
            replies: Mutex::new(reply),
            deliveries: Mutex::new(deliveries),
            ended: Mutex::new(ended),
        }
    }
}

struct Inbox {
    replies: mpsc::UnboundedSender<(u64, Response)>,
    delivered: mpsc::UnboundedSender<(u64, Vec<Delivery>)>,
    gone: mpsc::UnboundedSender<(u64, ErrorReply)>,
}

impl Peer for Inbox {
    fn reply(&self, correlation: u64, response: Response) {
        let _ended = self.replies.send((correlation, response));
    }

    fn deliver(&self, subscription: u64, deliveries: Vec<Delivery>) {
        let _ended = self.delivered.send((subscription, deliveries));
    }

    fn ended(&self, subscription: u64, error: ErrorReply) {
        let _ended = self.gone.send((subscription, error));
    }
}

/// A session that asks one thing at a time.
pub(crate) struct Session {
    pub(crate) attachment: Attachment,
    next: AtomicU64,
    replies: Mutex<mpsc::UnboundedReceiver<(u64, Response)>>,
    deliveries: Mutex<mpsc::UnboundedReceiver<(u64, Vec<Delivery>)>>,
    ended: Mutex<mpsc::UnboundedReceiver<(u64, ErrorReply)>>,
}

impl Session {
    pub(crate) async fn ask(&self, request: Request) -> Response {
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        let mut replies = self.replies.lock().await;
        self.attachment.submit(correlation, request);
        let (answered, response) = replies.recv().await.unwrap();
        assert_eq!(answered, correlation);
        response
    }

    pub(crate) async fn put(
        &self,
        destination: &str,
        stamp: Option<ProducerStamp>,
        texts: &[&str],
    ) -> Vec<PutOutcome> {
        let messages = texts.iter().map(|text| message(text)).collect();
        self.put_messages(destination, stamp, messages).await
    }

    pub(crate) async fn put_messages(
        &self,
        destination: &str,
        stamp: Option<ProducerStamp>,
        messages: Vec<EncodedMessage>,
    ) -> Vec<PutOutcome> {
        let put = Put { destination: name(destination), stamp, expected_last: None, messages };
        match self.ask(Request::Put(put)).await {
            Response::Put(reply) => reply.outcomes().collect(),
            other => panic!("a put was answered {other:?}"),
        }
    }

    pub(crate) async fn pull(&self, destination: &str, messages_max: u32, wait_ms: u32) -> Vec<Delivery> {
        let pull = Pull {
            destination: name(destination),
            group: GroupName::default_group(),
            messages_max,
            wait_ms,
            lease_ms: 0,
        };
        match self.ask(Request::Pull(pull)).await {
            Response::Messages(deliveries) => deliveries,
            other => panic!("a pull was answered {other:?}"),
        }
    }

    pub(crate) async fn settle(
        &self,
        destination: &str,
        verdict: Verdict,
        receipts: Vec<Receipt>,
    ) -> Vec<SettleOutcome> {
        let settle =
            Settle { destination: name(destination), group: GroupName::default_group(), verdict, receipts };
        match self.ask(Request::Settle(settle)).await {
            Response::Settled(reply) => reply.outcomes,
            other => panic!("a settlement was answered {other:?}"),
        }
    }

    /// Subscribes; the id is the correlation of the request.
    pub(crate) async fn subscribe(&self, destination: &str, credit: u32) -> u64 {
        let id = self.next.load(Ordering::Relaxed);
        let subscribe = Subscribe {
            destination: name(destination),
            group: GroupName::default_group(),
            credit,
            lease_ms: 0,
        };
        assert_eq!(self.ask(Request::Subscribe(subscribe)).await, Response::Subscribed);
        id
    }

    /// The next batch delivered to any subscription.
    pub(crate) async fn delivered(&self) -> (u64, Vec<Delivery>) {
        self.deliveries.lock().await.recv().await.unwrap()
    }

    /// Whether a batch has been delivered that nobody took yet.
    pub(crate) async fn try_delivered(&self) -> Option<(u64, Vec<Delivery>)> {
        self.deliveries.lock().await.try_recv().ok()
    }

    /// The next subscription that ended.
    pub(crate) async fn ended(&self) -> (u64, ErrorReply) {
        self.ended.lock().await.recv().await.unwrap()
    }
}
