//! The real program, as a user and a script meet it: arguments, exit codes, output, and a real node behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod administration;
mod commandline;
mod health;
mod messages;
mod node;
mod program;
mod services;
mod starting;
