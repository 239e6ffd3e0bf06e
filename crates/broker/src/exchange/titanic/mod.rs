//! Requests that are stored and worked on later: a Majordomo broker that serves Titanic itself, RFC 9/TSP.
//!
//! ```text
//!  titanic.request ─▶ storing ──synced: 200──▶ waiting ──a worker is there──▶ working ──reply──▶ replying
//!                                                 ▲                              │                   │ synced
//!                                                 └── its workers died, or it ───┘                   ▼
//!                                                     took longer than it may                    answered
//!  from anywhere: titanic.close, or its time is over ─▶ closing ─▶ forgotten
//! ```
//!
//! - A request is a record in a queue of the node, and its reply another. Both stay leased, neither settled, so that
//!   they are there after a crash. A request is settled when its reply is synced, a reply when it is closed or its time
//!   is over: the queue holds what is live and nothing else.
//! - 200 is said when the queue has the record synced, so that what was answered 200 survives. A reply is given out
//!   when it is synced, so that it is the same however often it is asked for.
//! - The index, and the bodies, are in memory, within limits. At the start the whole queue is read
//!   ([storage](super::storage)); before that nothing that is unknown is called so. What has no reply is worked on
//!   again: across a crash of the broker a request is worked on at least once.
//! - To the [pool](super::pool) each request that is worked on is a client of its own, inside the exchange. So it is
//!   given to another worker by the pool's rules, and by no short time-out. The pool has what ready workers take, and
//!   one more of each service where clients' requests wait, to have its turn among them. If the pool gives it up it
//!   waits here again, longer each time, as it may be what kills the workers.
//! - A record that comes from the queue and fits nothing (a put whose answer was lost, and that was made again) is
//!   settled; one that does not read is left where it is, and counted. Records are settled only once they were
//!   delivered, as it takes a receipt.
//! - A request belongs to the user who made it. To anybody else, and once it is closing, it is unknown.
//! - A queue that does not take a reply is full, or its disk: until it does, no request is stored and none given to
//!   workers, so that what has no room is no more than what they have.
//!
//! What could grow is bounded: requests, their bytes, those of replies (while there are too many no request is given
//! to workers), requests at work by service, questions of a client that are not answered.

mod asking;
mod broker;
mod clients;
#[cfg(test)]
mod histories;
mod ledger;
mod limits;
#[cfg(test)]
mod queue;
mod receipts;
mod record;
mod recovery;
#[cfg(test)]
mod tests;
mod work;

pub use broker::{Ids, Titanic};
pub use limits::TitanicLimits;
