//! The native protocol's frames: read back as written, never a panic, and the same bytes for ever.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test program a broken expectation is a failure"
)]

mod fixtures;
mod round_trip;
mod strategies;
