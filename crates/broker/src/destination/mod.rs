//! A destination: a log, its groups, and what it remembers of its producers.

mod contents;
pub(crate) mod put;
pub(crate) mod retention;
pub(crate) mod settle;

pub(crate) use contents::{Counted, Destination};
