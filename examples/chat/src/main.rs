//! A distributed chat on SwarmMQ: servers that keep the same history, a reference that ranks them, clients and bots.
//!
//! ```text
//!  clients ── REQ ──▶ node: request-reply ──▶ REP ── servers ── REQ ──▶ reference
//!     ▲                                                │  ▲
//!     └────── SUB ── node: pub-sub ◀────── PUB ────────┘  │
//!                       └────────── SUB: replica, servers ┘
//! ```
//!
//! What decides is apart from what has sockets: [`server::machine`], [`reference::machine`], [`catch_up`], [`election`] and
//! [`berkeley`] are functions of what they are told. The program around them uses the patterns of `swarmmq::zeromq`.
#![forbid(unsafe_code)]

mod berkeley;
mod catch_up;
mod client;
mod console;
mod election;
mod file_store;
mod history;
mod lamport;
mod line_file;
mod name;
mod record;
mod reference;
mod server;
mod signals;
mod store;
mod time;
mod whole_file;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::verb::ClientVerb;
use crate::reference::verb::ReferenceVerb;
use crate::server::verb::ServerVerb;

/// A distributed chat over ZeroMQ
#[derive(Debug, Parser)]
#[command(
    name = "swarmmq-chat",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    after_help = "\
EXAMPLES, each in a terminal of its own:
  swarmmq node --config examples/chat/node.yaml
  swarmmq-chat reference
  swarmmq-chat server --name server-001
  swarmmq-chat client --auto
  swarmmq-chat client --user ana"
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Server(ServerVerb),
    Client(ClientVerb),
    Reference(ReferenceVerb),
}

fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match command.verb {
                Verb::Server(verb) => verb.run().await,
                Verb::Client(verb) => verb.run().await,
                Verb::Reference(verb) => verb.run().await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarmmq-chat: {error:#}");
            ExitCode::FAILURE
        }
    }
}
