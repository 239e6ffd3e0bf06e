//! Network security events from many producers to many consumers.
//!
//! A producer makes flows and what is measured of them (`flow`, `features`, `geography`, `generator`), and sends each as
//! one Protocol Buffers message (`event`): to one of the consumers that are registered and healthy (`spread`), or into a
//! durable queue (`durable`). A consumer receives and shows them (`consumer`). Both register in a node of SwarmMQ or in
//! etcd (`registry`), and tell figures (`figures`). `README.md` says how to run them.
#![forbid(unsafe_code)]

mod consumer;
mod durable;
mod event;
mod features;
mod figures;
mod flow;
mod generator;
mod geography;
mod options;
mod producer;
mod record;
mod registry;
mod signals;
mod spread;
mod status;

use std::io::IsTerminal as _;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::options::{Options, Role};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    if options.json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
    match options.role {
        Role::Producer(producer) => producer::run(*producer, options.json).await,
        Role::Consumer(consumer) => consumer::run(*consumer, options.json).await,
        Role::Status(status) => status::run(status, options.json).await,
    }
}
