//! A node: listeners, sessions, configuration, security and telemetry.
//!
//! Every listener turns what it reads into the one request vocabulary of `swarmmq_protocol` and
//! hands it to the shards by an [`swarmmq_cluster::Attachment`]; what comes back is written in the
//! listener's own frames. Nothing here decides what becomes of a message.
pub mod config;
pub mod http;
pub mod native;
pub mod node;
pub mod security;
pub mod services;
pub mod shards;
pub mod telemetry;
mod throttle;
pub mod zeromq;
