//! The Majordomo protocol, RFC 7/MDP (version 0.1) and RFC 18/MDP (version 0.2): services with workers, and a broker
//! between them and their clients.
//!
//! ```text
//!            0.1                                          0.2
//!  client ─▶ "" MDPC01 service body…                      MDPC02 01 service body…           REQUEST
//!  client ◀─                                              MDPC02 02 service body…           PARTIAL
//!  client ◀─ "" MDPC01 service body…                      MDPC02 03 service body…           REPLY, FINAL
//!
//!  worker ─▶ "" MDPW01 01 service                         MDPW02 01 service                 READY
//!  worker ◀─ "" MDPW01 02 client "" body…                 MDPW02 02 client "" body…         REQUEST
//!  worker ─▶                                              MDPW02 03 client "" body…         PARTIAL
//!  worker ─▶ "" MDPW01 03 client "" body…                 MDPW02 04 client "" body…         REPLY, FINAL
//!  both   ── "" MDPW01 04                                 MDPW02 05                         HEARTBEAT
//!  both   ── "" MDPW01 05                                 MDPW02 06                         DISCONNECT
//! ```
//!
//! `""` is an empty frame, a body has one frame or more. What a ROUTER would put before a message is not part of it.
//!
//! Readers take more than the RFCs write. The leading empty frame of 0.1 may be absent, as a DEALER may forget it, and
//! one may stand before 0.2, as a REQ socket always sends it. Before it there may be an address, which proxies and REQ
//! sockets with request ids write. An answer goes back in the form of the question.
//!
//! - [`client`]: requests and replies.
//! - [`worker`]: the commands of workers and those to them.
//! - [`mmi`]: the services that a broker has itself, RFC 8/MMI.
//! - [`repeat`]: the id by which SwarmMQ knows a request again that a client repeats.

pub mod client;
mod frames;
pub mod mmi;
mod name;
pub mod repeat;
#[cfg(test)]
mod tests;
pub mod worker;

pub use client::{ClientReply, ClientRequest, Part};
pub use frames::{ADDRESS_FRAME_BYTES_MAX, ADDRESS_FRAMES_MAX, MdpError, ToBroker, Version, parse};
pub use name::{SERVICE_NAME_BYTES_MAX, ServiceName, ServiceNameError};
pub use repeat::{RequestId, RequestIdError};
pub use worker::{BrokerCommand, Framing, WorkerCommand};
