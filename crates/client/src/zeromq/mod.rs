//! Patterns of the ZeroMQ Guide for programs that speak plain ZeroMQ, to SwarmMQ or to whatever else does. Feature
//! `zeromq`.
//!
//! - [`LazyPirateClient`] asks a `REP` socket, with time-outs and repetitions.
//! - [`MdpClient`] asks the services of a Majordomo broker.
//! - [`Worker`] is a worker of a Majordomo broker, or of a queue of the Paranoid Pirate protocol.
//!
//! Each pattern is a state machine without clock or socket, a driver that runs it, and a [`Socket`] below, which is a
//! trait. [`OmqConnector`] makes those of crate `omq-tokio`.

mod conversation;
#[cfg(test)]
mod conversation_tests;
mod driver;
mod machine;
mod mdp_client;
mod omq;
mod pirate;
#[cfg(test)]
mod pirate_tests;
mod plain;
mod request_options;
mod socket;
mod worker;
mod worker_dialects;
mod worker_options;

pub use conversation::ReplyError;
pub use mdp_client::{MdpClient, MdpPart, MdpReply, REPLY_PARTS_MAX};
pub use omq::{OmqConnector, OmqSocket};
pub use pirate::NoReply;
pub use plain::{LazyPirateClient, RequestError};
pub use request_options::RequestOptions;
pub use socket::{Connector, Frames, Socket, SocketError};
pub use swarmmq_protocol::zeromq::mdp::{ServiceName, ServiceNameError, Version as MdpVersion};
pub use worker::{Worker, WorkerRequest};
pub use worker_options::WorkerOptions;
