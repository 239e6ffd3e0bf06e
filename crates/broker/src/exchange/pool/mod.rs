//! Pools of workers, and the requests for them: what Majordomo and Paranoid Pirate have in common.
//!
//! ```text
//!   request ──▶ queued ──LRU worker──▶ running ──final reply──▶ answered
//!                 │  ▲                    │
//!        deadline │  └── worker lost, ────┤
//!       or client │      the first time   │ worker lost, and it may not run again
//!         is gone ▼                       ▼
//!              dropped                 dropped
//!
//!   worker ──registers──▶ ready ──request──▶ busy ──final reply──▶ ready …
//!                           └────── silent, leaves, goes ──────┘──▶ removed
//! ```
//!
//! Every request that is taken ends in one final reply to its client or in one drop that is counted. A request has a
//! number that is never used again, and a worker gets it as the client's address: a reply counts only if it comes from
//! the worker that has the request now, so no reply ever reaches another client, and no request has two.
//!
//! A queue is ordered by those numbers. A request that comes back from a lost worker is older than all that wait, so
//! that it is the next. The requests of a client that does not read are passed over until it does: a worker with a reply
//! that cannot be sent waits, and nobody else is to wait for that one client.
//!
//! A worker is ready when it registers and when it has given its final reply, never because it shows that it lives.
//! Whoever has been ready longest is next. A worker that says nothing for too long is removed, unless it was the
//! pool's own clock that came late, or the pool itself that did not want to hear it.

#[cfg(test)]
mod check;
mod dispatcher;
mod limits;
#[cfg(test)]
pub(super) mod model;
mod pressure;
mod request;
mod service;
mod time;
mod worker;

pub(super) use dispatcher::{Dialect, Pool, Refused};
pub use limits::PoolLimits;
pub(super) use request::weigh;
