//! A queue in front of equal workers: Paranoid Pirate, RFC 6/PPP.
//!
//! Clients connect to the front with REQ or DEALER sockets and need to know nothing of the protocol; workers connect to
//! the back with DEALER sockets. Requests, workers and heartbeats are those of a [pool](super::pool) with one service;
//! here is what makes them Paranoid Pirate:
//!
//! - A worker begins with READY, and may at any time: it has nothing then, and what it had goes to another worker.
//! - A heartbeat shows that a worker lives, and never that it is ready. The protocol has no word to send a worker away.
//!   One that is not registered, as after a restart of the queue, hears nothing, not even heartbeats, and begins anew
//!   by itself when it has heard nothing for long enough.
//! - A worker gets what the client wrote with one frame before it, the address, and gives it back with its reply. Where
//!   the client wrote no empty frame, one is put in, and taken out of the reply.
//! - A client whose request expires, does not fit or is lost with its worker hears nothing; it asks again, as the Guide's
//!   Lazy Pirate does.

mod dialect;
mod queue;
#[cfg(test)]
mod tests;

pub use queue::ParanoidPirate;
