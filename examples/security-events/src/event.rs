//! The events, as `proto/network_security.proto` defines them.

#[allow(
    clippy::all,
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "made from the definition, whose comments are for readers of all languages"
)]
mod definition {
    include!(concat!(env!("OUT_DIR"), "/protobuf.rs"));
}

pub(crate) use definition::*;

/// Version of the definition that events are written by.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// A time, ms since 1970, as the definition has it.
pub(crate) fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1000).unwrap_or_default() * 1_000_000,
    }
}

/// A length of time, microseconds, as the definition has it.
pub(crate) fn duration(us: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(us % 1_000_000).unwrap_or_default() * 1000,
    }
}

/// A time of the definition in ms since 1970; none before that.
pub(crate) fn ms_of(time: &prost_types::Timestamp) -> Option<u64> {
    let ms = u64::try_from(time.seconds).ok()?.checked_mul(1000)?;
    ms.checked_add(u64::try_from(time.nanos).ok()? / 1_000_000)
}
