//! Patterns of the ZeroMQ Guide for programs that speak plain ZeroMQ, to SwarmMQ or to whatever else does. Feature
//! `zeromq`.
//!
//! - [`LazyPirateClient`] asks a `REP` socket, with time-outs and repetitions.
//! - [`MdpClient`] asks the services of a Majordomo broker.
//! - [`Worker`] is a worker of a Majordomo broker, or of a queue of the Paranoid Pirate protocol.
//! - [`TitanicClient`] has requests stored by a Titanic service, and asks for their replies later.
//! - [`Replier`] answers requests, as a `REP` socket behind a proxy or in front of its clients.
//! - [`Publisher`] publishes by topic.
//! - [`Subscriber`] keeps the last value of each topic, tells what it missed, and ends itself when it is too slow.
//!
//! Each pattern that has time-outs is a state machine without clock or socket and a driver that runs it. Below each is a
//! [`Socket`], which is a trait. [`OmqConnector`] makes those of crate `omq-tokio`.

mod conversation;
#[cfg(test)]
mod conversation_tests;
mod driver;
mod last_value;
mod machine;
mod mdp_client;
mod omq;
mod pirate;
#[cfg(test)]
mod pirate_tests;
mod plain;
mod publisher;
mod replier;
mod request_options;
mod retrieval;
mod snail;
mod socket;
mod subscriber;
mod titanic;
mod worker;
mod worker_dialects;
mod worker_options;

pub use conversation::ReplyError;
pub use last_value::Continuity;
pub use mdp_client::{MdpClient, MdpPart, MdpReply, REPLY_PARTS_MAX};
pub use omq::{OmqConnector, OmqSocket};
pub use pirate::NoReply;
pub use plain::{LazyPirateClient, RequestError};
pub use publisher::Publisher;
pub use replier::{PlainRequest, Replier};
pub use request_options::RequestOptions;
pub use snail::{TimestampFormat, TooOld};
pub use socket::{Connector, Frames, Socket, SocketError};
pub use subscriber::{PREFIXES_MAX, SubscribeError, Subscriber, SubscriberOptions, Update};
pub use swarmmq_protocol::zeromq::mdp::{ServiceName, ServiceNameError, Version as MdpVersion};
pub use swarmmq_protocol::zeromq::tsp::{RequestId, RequestIdError, TspError};
pub use titanic::{TitanicClient, TitanicError};
pub use worker::{Worker, WorkerRequest};
pub use worker_options::WorkerOptions;
