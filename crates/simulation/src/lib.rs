//! A world decided by a seed, in which the code that ships is run, broken and checked.
//!
//! A [`scenario`] is a sequence of *lives* of one node over one [`SimulatedDisk`]. In each, producers
//! put, consumers pull and settle, and the life ends as the seed says: by a graceful stop, a killed
//! process, a loss of power, a failing sync, or at one exact operation of the disk. What the clients saw
//! goes into a [`history`]; after the last life, which is healthy and drains everything, every
//! [`invariant`] is checked on it.
//!
//! Time is tokio's paused clock, chance is [`Seed`], the journal's writer is a task, and nothing runs on
//! a thread of its own: a seed gives the same history every time, which its hash shows.
//!
//! [`SimulatedDisk`]: swarmmq_journal::simulated::SimulatedDisk

pub mod history;
pub mod invariant;
mod life;
pub mod scenario;
mod seed;
mod session;
mod workload;
mod world;

pub use scenario::{Report, Scenario, Violation};
pub use seed::Seed;
