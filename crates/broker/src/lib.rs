//! Replicated state machines of a broker: log and group, pure.
#![forbid(unsafe_code)]
