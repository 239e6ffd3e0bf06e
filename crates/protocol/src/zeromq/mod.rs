//! The multipart envelopes of ZeroMQ endpoints: what stands in the frames of a message, without the
//! frames' own encoding, which is ZMTP's.
//!
//! - [`durable`]: requests of the durable protocol, read and written. `docs/protocols/durable.md` is
//!   its specification.
//! - [`reply`]: the answers and deliveries of the durable protocol.
//! - [`ingest`]: a message of a PUSH peer made a message of ours; [`egress`]: one of ours made a message for a PULL peer.
//! - [`mdp`]: Majordomo, services with workers: RFC 7/MDP, RFC 18/MDP and RFC 8/MMI.
//! - [`ppp`]: Paranoid Pirate, a queue in front of workers: RFC 6/PPP.
//! - [`tsp`]: Titanic, requests that are stored and answered later: RFC 9/TSP.
//!
//! A frame is a [`Bytes`](bytes::Bytes), a message a slice of them. Nothing here copies a payload
//! that it does not have to encode.
pub mod durable;
pub mod egress;
pub mod ingest;
pub mod mdp;
mod options;
pub mod ppp;
pub mod reply;
pub mod tsp;
