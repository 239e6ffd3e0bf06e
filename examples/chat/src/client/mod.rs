//! Clients: people, and bots that write by themselves.

mod bot;
mod inbox;
mod interactive;
mod session;
pub(crate) mod verb;
