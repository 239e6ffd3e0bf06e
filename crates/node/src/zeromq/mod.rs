//! ZeroMQ endpoints: a session for each peer.
//!
//! A broker wants connections, not sockets. An endpoint announces a socket type in the handshake
//! (as ROUTER, PULL or PUSH) and then each connection is a session of its own, so that an answer can only go
//! to the peer that asked, back-pressure is to stop reading from one peer, and every drop has an
//! endpoint and a reason.
//!
//! ```text
//!  listener ── accepts, admits ──▶ session ── reads, writes ──▶ byte stream (TCP, Unix socket)
//!                                    │  ▲
//!                       zmtp: frames │  │ bytes           trait Zmtp, by omq-proto
//!                                    ▼  │
//!                      durable, ingest, egress: messages ──▶ requests ──▶ shards
//!                       hub: messages ──▶ exchange ──▶ outbox       │
//!                                    ▲                   │          │
//!                                    └── mailbox, outbox ◀──────────┘
//! ```
//!
//! - [`options`]: what an endpoint is told; [`listener`]: [`start`] and who is let in.
//! - `session`: the one task of a peer. Bytes in, whole read batches handed over, all answers that are
//!   there in one write.
//! - `mechanisms`: NULL, PLAIN and CURVE, and who a peer shows to be.
//! - [`zmtp`]: the wire protocol as a state machine without I/O, behind a trait of ours; `decoder` and `chunks` are its
//!   frames, in and out.
//! - `durable`, `ingest`, `egress`: the kinds of endpoint that keep messages, as state machines without I/O.
//! - `hub`: the endpoints whose peers talk to each other: an exchange of the crate `swarmmq-broker`, which the
//!   sessions call themselves, and a queue for each peer; `packed`: small messages in it.
//! - `tap`: the messages of an endpoint for somebody who watches.
//! - [`registry`]: the endpoints that run, and what is changed about them meanwhile; [`peers`]: who is connected.
//! - [`drops`]: what was refused or dropped, by endpoint and reason, counted in one place.
mod admission;
mod chunks;
mod decoder;
pub mod drops;
mod durable;
mod egress;
#[doc(hidden)]
pub mod fuzzing;
mod hub;
mod ingest;
pub mod listener;
mod mailbox;
mod mechanisms;
mod omq;
pub mod options;
mod packed;
pub mod peers;
pub mod registry;
mod session;
mod shared;
mod subscription;
mod tap;
mod wakeup;
mod wire;
pub mod zmtp;

pub use drops::{Drops, Reason};
pub use listener::{Bound, Listening, StartError, start};
pub use options::{Acknowledge, Bind, EndpointKind, EndpointOptions, Limits, Multipart, Security};
pub use peers::{PeerList, PeerRecord, Traffic};
pub use registry::{Reconciled, Registry};
