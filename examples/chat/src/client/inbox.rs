//! What a client hears.

use swarmmq::zeromq::{OmqConnector, SubscribeError, Subscriber, SubscriberOptions};

use crate::client::session::SharedClock;
use crate::record::Record;
use crate::wire;

/// A client's subscriptions.
pub(crate) struct Inbox {
    subscriber: Subscriber<OmqConnector>,
    topics: Vec<String>,
    clock: SharedClock,
}

impl Inbox {
    /// Listens to channels, and to what is written to a user.
    pub(crate) async fn open(
        proxy: &str,
        user: &str,
        channels: &[String],
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let connector = OmqConnector::subscriber([proxy])?.max_message_size(wire::WIRE_BYTES_MAX);
        // Every message is new: nothing is to be kept of topics.
        let mut subscriber = Subscriber::connect(connector, SubscriberOptions::default().keep(0, 0)).await?;
        let topics: Vec<String> = channels.iter().cloned().chain([user.to_owned()]).collect();
        for topic in &topics {
            subscriber.subscribe(topic.clone()).await?;
        }
        Ok(Self { subscriber, topics, clock })
    }

    /// The next thing that somebody wrote, as it is shown. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<String, SubscribeError> {
        loop {
            let update = self.subscriber.recv().await?;
            // A subscription is to all topics that begin so.
            let wanted = self.topics.iter().any(|topic| topic.as_bytes() == update.topic);
            let record = update.payload.first().filter(|_| wanted);
            let Some(record) = record.and_then(|body| wire::decode::<Record>(body).ok()) else { continue };
            self.clock.receive(record.clock());
            match record {
                Record::Publish { channel, message, user, .. } => {
                    return Ok(if message.ends_with(&format!("de {user}")) {
                        // Bots sign what they write.
                        format!("<- (#{channel}) {message}")
                    } else {
                        format!("<- (#{channel}) {user}: {message}")
                    });
                }
                Record::Message { src, message, .. } => return Ok(format!("<- (@{src}) {message}")),
                Record::User { .. } => {}
            }
        }
    }
}
