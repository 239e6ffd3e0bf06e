//! What the fuzz targets share.
//!
//! - [`input`]: a reader that takes decisions of a target off the input.
//! - [`memory`]: how much memory something took, and that it was not more than it may.
//! - [`fixtures`]: bytes that earlier versions have written.
//! - [`peers`]: the peers of an exchange.
//! - [`replicas`]: two replicas of a shard, and what must hold of them.

pub mod fixtures;
pub mod input;
pub mod memory;
pub mod peers;
pub mod replicas;
