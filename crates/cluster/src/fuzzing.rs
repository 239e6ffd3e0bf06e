//! The decoders of raft's values, for fuzz targets: each takes any bytes and gives what it read, written
//! again.

pub use crate::raft::fuzzing::{entry, log_id, snapshot, vote};
