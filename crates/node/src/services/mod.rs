//! Service discovery: the registry of this node, and what watches it.
//!
//! The registry itself is [`swarmmq_broker::registry`], which is pure. [`Services`] gives it a clock, wakes who waits
//! for news, and takes out whose lease has ended. [`WithServices`] stands in front of the shards, so that every listener
//! that speaks the request vocabulary serves it.

mod desk;
mod front;

pub use desk::Services;
pub use front::WithServices;
