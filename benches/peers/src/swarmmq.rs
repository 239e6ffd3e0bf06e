//! SwarmMQ through its own client library.

mod server;

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use swarmmq::protocol::settings::{DestinationSettings, GroupSettings};
use swarmmq::{Client, Confirmation, Delivered, DestinationName, GroupName, Message};

use crate::broker::{Broker, Consumer, Delivery, Producer, Retention};

pub(crate) use server::{Binary, Server};

/// Messages that may be on their way to the consumer; the same bound as the other brokers' pending acknowledgements.
const CREDIT: u32 = 10_000;
/// The group a stream is read by.
const READER: &str = "reader";
/// No workload keeps an acknowledgement waiting this long.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// One connection to a node.
pub(crate) struct SwarmMq {
    client: Client,
}

impl SwarmMq {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let options = Client::builder().address(address).request_timeout(REQUEST_MAX);
        let client = Client::connect_with(options).await.context("cannot connect to SwarmMQ")?;
        Ok(Self { client })
    }
}

impl Broker for SwarmMq {
    type Producer = SwarmMqProducer;
    type Consumer = SwarmMqConsumer;

    async fn create(&self, name: &str, retention: Retention) -> Result<()> {
        let destination = DestinationName::new(name)?;
        let settings = match retention {
            Retention::Stream => DestinationSettings::stream(),
            Retention::Queue => DestinationSettings::queue(),
        };
        self.client.create_destination(&destination, settings).await?;
        if retention == Retention::Stream {
            self.client
                .create_group(&destination, &GroupName::new(READER)?, GroupSettings::default())
                .await?;
        }
        Ok(())
    }

    async fn producer(&self, name: &str) -> Result<SwarmMqProducer> {
        let destination = DestinationName::new(name)?;
        Ok(SwarmMqProducer { producer: self.client.producer(&destination).build() })
    }

    async fn consumer(&self, name: &str) -> Result<SwarmMqConsumer> {
        let destination = DestinationName::new(name)?;
        let info = self.client.describe_destination(&destination).await?;
        let group = info.groups.first().context("the destination has no group")?.name.clone();
        let consumer = self.client.consumer(&destination).group(&group).credit(CREDIT).build().await?;
        Ok(SwarmMqConsumer { client: self.client.clone(), destination, group, consumer })
    }
}

/// Puts on one destination under a producer session: exactly once.
pub(crate) struct SwarmMqProducer {
    producer: swarmmq::Producer,
}

impl Producer for SwarmMqProducer {
    type Acknowledgement = PutAck;

    async fn send(&self, payload: Bytes) -> Result<PutAck> {
        Ok(PutAck(self.producer.enqueue(Message::new(payload)).await?))
    }
}

/// A message on its way to the disk.
pub(crate) struct PutAck(Confirmation);

impl Future for PutAck {
    type Output = Result<()>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        std::pin::Pin::new(&mut self.0).poll(task).map(|stored| stored.map(drop).map_err(Into::into))
    }
}

/// Consumes by credit.
pub(crate) struct SwarmMqConsumer {
    client: Client,
    destination: DestinationName,
    group: GroupName,
    consumer: swarmmq::Consumer,
}

impl Consumer for SwarmMqConsumer {
    type Delivery = SwarmMqDelivery;

    async fn next(&mut self) -> Result<SwarmMqDelivery> {
        let delivered = self.consumer.next().await.context("SwarmMQ ended the delivery")??;
        Ok(SwarmMqDelivery(delivered))
    }

    async fn outstanding(&mut self) -> Result<u64> {
        let info = self.client.describe_destination(&self.destination).await?;
        let group = info.groups.into_iter().find(|group| group.name == self.group);
        let group = group.context("the group has gone")?;
        Ok(group.ready + group.leased + group.delayed)
    }
}

/// A delivered message.
pub(crate) struct SwarmMqDelivery(Delivered);

impl Delivery for SwarmMqDelivery {
    fn payload(&self) -> &[u8] {
        &self.0.message().payload
    }

    async fn ack(self) -> Result<()> {
        self.0.ack_later();
        Ok(())
    }

    async fn ack_confirmed(self) -> Result<()> {
        Ok(self.0.ack().await?)
    }
}
