//! The listener and the sessions of the native protocol.
//!
//! ```text
//! accept ─ admission ─ (TLS) ─ Hello ─ gate ─ Welcome ─ session ─ Goodbye
//!          bounded     at most 5 s and 4 KiB            │
//!                                   ┌───────────────────┴───────────────────┐
//!                     reads: frames ─ checks ─ Tie::submit      writes: outbox ─ encoding ─ vectored write
//! ```
//!
//! Everything behind `accept` is generic over the byte stream ([`serve`]), so that a simulated network
//! can own it.
//!
//! A session is one task that reads, writes and keeps time: its halves share no lock but that of the
//! `outbox`, and end together. What bounds it:
//!
//! | what | bound | when it is reached |
//! |---|---|---|
//! | requests under way | count and bytes ([`NativeOptions::in_flight_max`]) | the session stops reading |
//! | bytes not written yet | [`NativeOptions::outbound_bytes_max`] | the session stops reading |
//! | requests under way on the node | [`NativeOptions::request_memory_bytes_max`] | `OVERLOADED` |
//! | pulls that wait | [`NativeOptions::pulls_max`] | `LIMIT-REACHED` |
//! | subscriptions | [`NativeOptions::subscriptions_max`] | `LIMIT-REACHED` |
//! | deliveries | the subscription's credit and its window in bytes | the shard stops delivering |
//! | a frame | the largest message and 64 KiB | it is skipped as it comes, and answered `TOO-LARGE` |
//! | silence, or nothing taken off us | [`NativeOptions::idle`] | the connection is closed |
mod admission;
mod arrival;
mod cost;
mod counters;
mod farewell;
mod gather;
mod handshake;
mod inbound;
mod listener;
mod options;
mod outbox;
mod session;
mod shared;
mod watch;

pub use admission::{Admission, Permit};
pub use counters::NativeCounters;
pub use listener::{ListenError, Listener, Listening};
pub use options::NativeOptions;
pub use session::serve;
pub use shared::{Greeting, Phase, Shared};
