//! The `swarmmq` program: a node, and everything a person or a script does to one.
//!
//! A verb is a file in [`verb`]. It gets its arguments, parsed, and a [`console::Console`]; it gives a result or a
//! [`failure::Failure`], which says what the process exits with. What a verb writes for programs (`--json`), what it
//! exits with and what its options are called are an interface: they do not change their meaning.
//!
//! Consumers and producers are those of the library; nothing here knows the protocol.
#![forbid(unsafe_code)]

mod command;
mod connection;
mod console;
mod destination;
mod failure;
mod http;
mod pace;
mod quantity;
mod signals;
mod time;
mod verb;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::Command;
use crate::console::Console;
use crate::failure::Exit;

/// Messages are allocated by one thread and freed by another, which the allocator of libc makes wait for a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Command::parse();
    let console = Console::new(command.json, command.quiet);
    // Everything of ours names its provider; this is for what others wrote and does not. It fails only where one is
    // installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let exit = match command.verb.run(console) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            console.fail(&failure);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}
