//! Client library of SwarmMQ: producers, consumers and administration over the native protocol.
//!
//! A [`Client`] is one connection, cheap to clone, that comes back by itself when it is lost. From it
//! come:
//!
//! - a [`Producer`], whose messages are stored exactly once and in order, also across lost
//!   connections and changes of leader;
//! - a [`Consumer`], a stream of [`Delivered`] messages, each of which is acknowledged, put back,
//!   extended or rejected;
//! - [`Client::pull`] for one batch, and the administration of destinations and groups.
//!
//! Who is there and how they are is found by the module [`discovery`], at a node or, with the feature `etcd`, at etcd.
//!
//! Programs that speak plain ZeroMQ, to SwarmMQ or to others, find the patterns of the ZeroMQ Guide in the module
//! `zeromq`, with the feature of that name. It is off by default: what speaks the native protocol needs no ZMTP.
//!
//! ```no_run
//! use swarmmq::{Client, DestinationName, Message};
//!
//! # async fn example() -> Result<(), swarmmq::Error> {
//! let client = Client::connect("localhost:4070").await?;
//! let orders = DestinationName::new("orders")?;
//!
//! let producer = client.producer(&orders).build();
//! let stored = producer.send(Message::new("two coffees")).await?;
//! println!("stored on a majority as number {}", stored.sequence);
//!
//! let mut consumer = client.consumer(&orders).credit(64).build().await?;
//! while let Some(delivered) = consumer.next().await {
//!     let delivered = delivered?;
//!     println!("{:?}", delivered.message().payload);
//!     delivered.ack().await?;
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod admin;
mod backoff;
mod client;
mod connection;
mod consumer;
pub mod discovery;
mod encryption;
mod error;
mod options;
mod producer;
mod request;
mod settle;
mod tls;
#[cfg(feature = "zeromq")]
pub mod zeromq;

pub use client::{Client, Statistics};
pub use consumer::{Consumer, ConsumerBuilder, Delivered};
pub use encryption::{
    CONTENT_TYPE_HEADER, EncryptionError, KEY_BYTES, KEY_ID_HEADER, Key, KeyRing, MESSAGES_PER_KEY_MAX,
};
pub use error::{Error, Misuse};
pub use options::ClientOptions;
pub use producer::{Confirmation, Producer, ProducerBuilder, Stored};
pub use swarmmq_protocol as protocol;
pub use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
pub use swarmmq_protocol::message::{Header, MessageError};
pub use swarmmq_protocol::native::{Credential, Welcome};
pub use swarmmq_protocol::settings::{
    Condition, DestinationKind, DestinationSettings, GroupSettings, Overflow, Position,
};
pub use swarmmq_protocol::{
    DestinationName, ErrorCode, ErrorReply, GroupName, Message, MessageId, NameError, Receipt, Sequence,
};
pub use tls::TlsOptions;
