//! Ports for nodes.

use std::net::TcpListener;

use anyhow::{Result, bail};
use rand::RngExt as _;

/// Below the ports that the kernel gives to clients: a client that connects again and again to a port of those
/// on which nobody listens is in the end given that very port, and is connected with itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
const TRIES_MAX: usize = 100;

/// A port that nobody listened on a moment ago.
pub(super) fn free() -> Result<u16> {
    let mut random = rand::rng();
    for _ in 0..TRIES_MAX {
        let port = random.random_range(RANGE);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free between {} and {}", RANGE.start, RANGE.end)
}
