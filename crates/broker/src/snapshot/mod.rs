//! The replicated state as bytes, version 1.
//!
//! ```text
//! | version 1 | shard | limits | applied | now_ms | next generation | next outbox epoch |
//! | trash | outbox targets | destinations |
//! ```
//!
//! A destination is its name, settings and counters, its log (each live message with its place), its
//! groups, its sessions, its ids. What can be derived (counts, orders, chains of keys, held entries) is
//! not written. A message's sequence, log index and time are told as steps from the message before, in
//! varints: about ten bytes a message. Everything stands in a fixed order, so equal states give equal
//! bytes. A list is a count of eight bytes and its items. Payloads are not in it: they stay in the journal.

mod format;
mod read;
mod write;

pub use format::Frozen;
