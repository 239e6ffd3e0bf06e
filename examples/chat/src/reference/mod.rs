//! The reference: it gives each server a rank, knows which are alive, and tells the time. JSON over `REP`.

pub(crate) mod machine;
pub(crate) mod protocol;
pub(crate) mod verb;
