//! Clients at work, and the record of what they saw.
//!
//! There is a queue with dead letters and a stream with two groups. On both, some producers send under
//! producer sessions, pipelined, and leave retries to the library; others put single messages with ids, and put
//! them again themselves when they do not know what became of them. Consumers acknowledge most, put some back,
//! leave some to their leases, reject a few, and leave with what they hold.

mod audit;
mod consumer;
mod load;
mod payload;
mod producer;
mod recorder;

pub(crate) use self::load::{Load, Plan};

pub(crate) use self::recorder::Counts;
