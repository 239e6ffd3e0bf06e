//! NATS JetStream through `async-nats`.

mod binary;
mod server;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, AckKind, consumer, stream};
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::broker::{Broker, Consumer, Delivery, Producer, Retention};

pub(crate) use binary::Binary;
pub(crate) use server::{Server, SyncInterval};

/// The version of `async-nats` that the manifest pins.
pub(crate) const CLIENT: &str = "async-nats 0.51.0";

/// Messages asked for in one pull, and the most that may wait for their acknowledgement. The client's and the
/// server's defaults are 200 and 1,000; these are larger in NATS's favour.
const PULL_BATCH: usize = 1_000;
const ACK_PENDING_MAX: i64 = 10_000;

/// No workload keeps an acknowledgement waiting this long; past it, a sample fails rather than hangs.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// One connection to a NATS server.
#[derive(Debug)]
pub(crate) struct Nats {
    jetstream: jetstream::Context,
}

impl Nats {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let client = async_nats::connect(address).await.context("cannot connect to NATS")?;
        let jetstream = jetstream::ContextBuilder::new().timeout(REQUEST_MAX).build(client);
        Ok(Self { jetstream })
    }
}

impl Broker for Nats {
    type Producer = NatsProducer;
    type Consumer = NatsConsumer;

    async fn create(&self, name: &str, retention: Retention) -> Result<()> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![name.to_owned()],
            storage: stream::StorageType::File,
            num_replicas: 1,
            retention: match retention {
                Retention::Stream => stream::RetentionPolicy::Limits,
                Retention::Queue => stream::RetentionPolicy::WorkQueue,
            },
            ..stream::Config::default()
        };
        self.jetstream.create_stream(config).await?;
        Ok(())
    }

    async fn producer(&self, name: &str) -> Result<NatsProducer> {
        Ok(NatsProducer { jetstream: self.jetstream.clone(), subject: name.into() })
    }

    async fn consumer(&self, name: &str) -> Result<NatsConsumer> {
        let config = consumer::pull::Config {
            durable_name: Some("reader".to_owned()),
            ack_policy: consumer::AckPolicy::Explicit,
            max_ack_pending: ACK_PENDING_MAX,
            ..consumer::pull::Config::default()
        };
        let consumer = self.jetstream.create_consumer_on_stream(config, name).await?;
        let messages = consumer.stream().max_messages_per_batch(PULL_BATCH).messages().await?;
        Ok(NatsConsumer { consumer, messages })
    }
}

/// Publishes to one subject.
#[derive(Debug)]
pub(crate) struct NatsProducer {
    jetstream: jetstream::Context,
    subject: async_nats::Subject,
}

impl Producer for NatsProducer {
    type Acknowledgement = PubAck;

    async fn send(&self, payload: Bytes) -> Result<PubAck> {
        let message = PublishMessage::build().payload(payload);
        let sent = self.jetstream.send_publish(self.subject.clone(), message).await?;
        Ok(PubAck(sent.into_future()))
    }
}

/// A publication on its way to being stored.
pub(crate) struct PubAck(<PublishAckFuture as IntoFuture>::IntoFuture);

impl Future for PubAck {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(task).map(|stored| stored.map(drop).map_err(Into::into))
    }
}

/// Pulls from one stream through a durable consumer.
pub(crate) struct NatsConsumer {
    consumer: consumer::PullConsumer,
    messages: consumer::pull::Stream,
}

impl Consumer for NatsConsumer {
    type Delivery = NatsDelivery;

    async fn next(&mut self) -> Result<NatsDelivery> {
        let message = self.messages.next().await.context("NATS ended the delivery")??;
        Ok(NatsDelivery(message))
    }

    async fn outstanding(&mut self) -> Result<u64> {
        let info = self.consumer.info().await?;
        Ok(info.num_pending + info.num_ack_pending as u64)
    }
}

/// A JetStream message.
pub(crate) struct NatsDelivery(jetstream::Message);

impl Delivery for NatsDelivery {
    fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    async fn ack(self) -> Result<()> {
        self.0.ack().await.map_err(|error| anyhow!(error))
    }

    async fn ack_confirmed(self) -> Result<()> {
        self.0.double_ack_with(AckKind::Ack).await.map_err(|error| anyhow!(error))
    }
}
