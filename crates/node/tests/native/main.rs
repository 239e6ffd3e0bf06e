//! The native listener and its sessions, with shards whose answers the tests decide.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fake;
mod handshake;
mod ordering;
mod peer;
mod pressure;
mod stopping;
mod timing;
mod tls;
