//! Where an encoded message stands.

/// Where the bytes of an encoded message stand: in which entry of the shard's log, and where in it.
///
/// `offset` and `length` count bytes of the entry's payload, as it was handed to
/// [`Shard::apply`](crate::Shard::apply); the `length` bytes there are exactly the message's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Log index of the entry.
    pub index: u64,
    /// Where in the entry the message begins.
    pub offset: u32,
    /// How long it is.
    pub length: u32,
}
