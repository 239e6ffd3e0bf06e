//! A server: it takes requests, keeps what is written, and tells the others.
//!
//! [`machine::Server`] decides, without sockets and clocks: requests, publications, answers of the reference and the
//! passing of time go in, and [`machine::Output`]s come out. [`verb`] is the program around it.

mod coordination;
pub(crate) mod machine;
mod questions;
mod replication;
mod services;
pub(crate) mod verb;
#[cfg(test)]
mod world;
