//! Services with workers: a Majordomo broker, RFC 7/MDP (0.1) and RFC 18/MDP (0.2), with RFC 8/MMI.
//!
//! Clients and workers of both versions connect to one address, and any client is served by any worker. Requests,
//! queues, workers and heartbeats are those of a [pool](super::pool); here is what makes them Majordomo:
//!
//! - A worker registers with READY for one service. A second READY, a reply to nothing it has, or a message that is not
//!   of the protocol ends that with DISCONNECT; what it had goes to another worker. So does what a worker says that is
//!   not registered, as after a restart of the broker: it is told DISCONNECT once, and registers again.
//! - A client gets its reply in its own version and framing. Parts of a reply (PARTIAL) go to a client of 0.2 as they
//!   come; after the first the request is not given to another worker, which would begin anew. A client of 0.1 gets the
//!   frames of all parts in its one reply, in order.
//! - MDP has no word for an error to a client: a request that expires, does not fit, is forbidden or is lost with its
//!   worker is counted as dropped, and the client's own time-out tells it.
//! - Where it [deduplicates](Majordomo::deduplicating), a request with an id of the client's is the broker's own, and the
//!   pool works for a client inside: whoever asks again with that id waits for the same reply, or gets it at once.
//! - Names that begin with `mmi.` are the broker's own: it answers at once, and knows only workers that are alive.

mod broker;
mod deduplicate;
mod dialect;
#[cfg(test)]
mod histories;
mod limits;
mod mmi;
#[cfg(test)]
mod repeated_histories;
mod repeats;
#[cfg(test)]
mod tests;

pub use broker::Majordomo;
pub(super) use dialect::Back;
pub use limits::RepeatLimits;
