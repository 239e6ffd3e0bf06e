//! A node as a whole: what is started in what order, and stopped in what order.
//!
//! ```text
//! start:  configuration → TLS → ports bound → data directory locked → HTTP (says: starting)
//!         → journal → shards → native and ZeroMQ listen → HTTP (says: ready)
//! stop:   nothing new is taken on → what is under way is answered → sessions say Goodbye
//!         → shards write their snapshots → the journal is flushed and closed → HTTP ends
//! ```
//!
//! A port is bound before anything is read, so that a port in use is found at once, and listened on
//! when there is something behind it, so that a client waits for nothing. A start that fails ends what it has
//! begun in the order of a stop, before it says why: who then starts again finds directory and ports free.
#![allow(clippy::result_large_err, reason = "a node starts once, and its errors hold what an operator needs")]

mod base;
mod directory;
mod endpoints;
mod error;
mod front;
mod journal;
mod limits;
mod reload;
mod running;
mod signals;
mod sources;
mod start;

pub use directory::{DataDirectory, DirectoryError};
pub use error::StartError;
pub use reload::{ReloadError, Reloaded};
pub use running::{Running, Stopped};
pub use signals::{EXIT_JOURNAL_FAILED, EXIT_STOPPED_AT_ONCE, Signals};
pub use start::{ConfigSource, Node, NodeOptions, OnJournalFailure};
