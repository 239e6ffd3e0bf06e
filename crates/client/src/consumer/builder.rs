//! How a consumer is made.

use std::time::Duration;

use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::request::Pull;
use swarmmq_protocol::{DestinationName, GroupName, Request, Response};

use crate::admin::unexpected;
use crate::client::Client;
use crate::consumer::core::{Core, Terms};
use crate::consumer::{Consumer, Delivered};
use crate::encryption::KeyRing;
use crate::error::{Error, Misuse};

/// How a consumer works. Made by [`Client::consumer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    terms: Terms,
    encryption: Option<KeyRing>,
    reject_undecryptable: bool,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, destination: DestinationName) -> Self {
        let terms = Terms {
            destination,
            group: GroupName::default_group(),
            credit: None,
            lease: None,
            auto_extend: false,
        };
        Self { client, terms, encryption: None, reject_undecryptable: false }
    }

    /// Consumes for this group. Default `default`.
    pub fn group(mut self, group: &GroupName) -> Self {
        self.terms.group = group.clone();
        self
    }

    /// Sets how many messages the consumer has at most that are not settled, buffered ones included.
    /// Default: what the node says when it welcomes the client (`performance.batch_size` of its configuration,
    /// 1 to 4,096, 100 if nobody chose). A message counts until the node has answered its settlement.
    pub fn credit(mut self, credit: u32) -> Self {
        self.terms.credit = Some(credit);
        self
    }

    /// Sets the time to settle a message. Default: the group's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = Some(lease);
        self
    }

    /// Extends the lease of every message held, buffered ones included, each time a third of it has
    /// gone by, until it is settled or dropped. Needs [`Self::lease`]. Default: off.
    ///
    /// A message is then never delivered to another consumer while this process works on it and reaches
    /// the node. A program that hangs holds its messages for ever: settle within a time of your own.
    pub fn auto_extend(mut self, auto_extend: bool) -> Self {
        self.terms.auto_extend = auto_extend;
        self
    }

    /// Decrypts payloads with the keys of `keys`. Messages that are not encrypted are errors.
    pub fn encryption(mut self, keys: KeyRing) -> Self {
        self.encryption = Some(keys);
        self
    }

    /// Rejects messages that cannot be decrypted, so that they become dead letters, besides giving the
    /// error. Default: they are left to their leases, and come again.
    pub fn reject_undecryptable(mut self, reject: bool) -> Self {
        self.reject_undecryptable = reject;
        self
    }

    /// Subscribes, and waits until the node has agreed.
    ///
    /// # Cancel safety
    /// Dropping the future unsubscribes.
    ///
    /// # Errors
    /// [`Error::Refused`], as with `UNKNOWN-DESTINATION`; [`Error::TimedOut`]; [`Error::Misuse`] for an
    /// option out of its range.
    pub async fn build(self) -> Result<Consumer, Error> {
        self.validate()?;
        let settler = self.client.settler(&self.terms.destination, &self.terms.group);
        let core = Core::start(self.terms, &self.client, settler.clone());
        let consumer = Consumer {
            core,
            settler,
            client: self.client,
            encryption: self.encryption,
            reject_undecryptable: self.reject_undecryptable,
        };
        let limit = consumer.client.request_timeout();
        match tokio::time::timeout(limit, consumer.core.subscribed()).await {
            Ok(result) => result.map(|()| consumer),
            Err(_) => {
                let trouble = consumer.client.shared.router.home().trouble();
                let last = trouble.or_else(|| consumer.core.last_error()).map(Box::new);
                Err(Error::TimedOut { operation: "the subscription", limit, last })
            }
        }
    }

    /// Leases up to `messages_max` messages (1 to 4,096) once, and waits for the first for at most
    /// `wait`. There are none where the wait ended. Credit and automatic extension do not apply.
    /// Encrypted messages are opened with [`KeyRing::decrypt`].
    ///
    /// # Cancel safety
    /// Messages leased for a future that was dropped come again when their leases end.
    ///
    /// # Errors
    /// Those of [`Client::request`], and [`Error::Misuse`] for a number out of its range.
    pub async fn pull(&self, messages_max: u32, wait: Duration) -> Result<Vec<Delivered>, Error> {
        self.validate()?;
        if !(1..=BATCH_MAX as u32).contains(&messages_max) {
            return wrong("messages_max", messages_max.to_string(), "it must be 1 to 4,096");
        }
        let request = Request::Pull(Pull {
            destination: self.terms.destination.clone(),
            group: self.terms.group.clone(),
            messages_max,
            wait_ms: milliseconds(wait),
            lease_ms: self.terms.lease.map_or(0, milliseconds),
        });
        let limit = self.client.request_timeout().saturating_add(wait);
        let deliveries = match self.client.request_within(request, limit).await? {
            Response::Messages(deliveries) => deliveries,
            other => return Err(unexpected(&other)),
        };
        let settler = self.client.settler(&self.terms.destination, &self.terms.group);
        deliveries
            .iter()
            .map(|delivery| {
                let message = delivery.message.decode()?;
                Ok(Delivered::new(message, delivery, None, settler.clone(), self.client.clone()))
            })
            .collect()
    }

    fn validate(&self) -> Result<(), Error> {
        let Terms { credit, lease, auto_extend, .. } = &self.terms;
        if *credit == Some(0) {
            return wrong("credit", "0".into(), "nothing would ever be delivered");
        }
        if lease.is_some_and(|lease| lease < Duration::from_millis(1)) {
            return wrong("lease", format!("{lease:?}"), "it must be at least a millisecond");
        }
        if *auto_extend && lease.is_none() {
            return wrong("auto_extend", "on".into(), "it needs to know the lease: set it too");
        }
        Ok(())
    }
}

fn wrong<T>(option: &'static str, value: String, reason: &'static str) -> Result<T, Error> {
    Err(Misuse::Option { option, value, reason }.into())
}

/// Whole milliseconds, at most what fits.
pub(super) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
