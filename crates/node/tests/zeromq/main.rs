//! ZeroMQ endpoints over real sockets, beside shards whose answers the tests decide, spoken to in bytes
//! written by hand from RFC 37.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod attacks;
mod curve;
mod durable;
mod egress;
mod endpoint;

mod ingest;
mod logged;
mod model;
mod plain;
mod pub_sub;
mod raw;
mod request_reply;
mod rights;
mod service;
mod tap;
mod titanic;
