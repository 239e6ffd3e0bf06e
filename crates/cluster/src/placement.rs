//! Which shard a destination lives on.

use aws_lc_rs::digest::{SHA256, digest};
use swarmmq_protocol::DestinationName;

/// The number of shards of a cluster, fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardCount(u32);

impl ShardCount {
    /// Most shards of a cluster. Each costs a consensus group on every node.
    pub const MAX: u32 = 1024;

    /// A count of 1 to [`Self::MAX`], or `None`.
    #[must_use]
    pub fn new(count: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The shard of a destination: the first eight bytes of the SHA-256 of its name, big-endian,
    /// modulo the number of shards. Any client can compute it.
    #[must_use]
    pub fn shard_of(self, destination: &DestinationName) -> u32 {
        let digest = digest(&SHA256, destination.as_str().as_bytes());
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        let shard = u64::from_be_bytes(first) % u64::from(self.0);
        u32::try_from(shard).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_the_shard_that_its_digest_says() {
        // printf test-queue | sha256sum begins with b497f76f0125075a.
        let name = DestinationName::new("test-queue").unwrap();
        for count in [1_u32, 3, 16, 1024] {
            let expected = (0xb497_f76f_0125_075a_u64 % u64::from(count)) as u32;
            assert_eq!(ShardCount::new(count).unwrap().shard_of(&name), expected);
        }
        assert_eq!(ShardCount::new(0), None);
        assert_eq!(ShardCount::new(1025), None);
    }
}
