//! Who this node's replicas are, kept in the journal they write to.
//!
//! A replica id is minted at random when a replica is placed and never used for another: a replica
//! that lost its log and kept its id could vote twice in one term, which raft cannot see.

use bytes::{BufMut, Bytes, BytesMut};
use swarmmq_journal::{GroupId, Journal, JournalError, MetaKey};
use swarmmq_protocol::codec::{DecodeError, Reader};
use tokio::sync::oneshot;

use crate::placement::ShardCount;
use crate::runtime::Runtime;

/// The group of the node's own values.
const NODE: GroupId = GroupId(u32::MAX);
/// The number of shards this journal was made for.
const SHARDS: MetaKey = MetaKey(1);
/// A replica's id, among its group's values.
const REPLICA: MetaKey = MetaKey(16);

/// Why a journal does not go with a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The number of shards is fixed when the data directory is made.
    #[error(
        "the data directory was made for {found} shards, the configuration says {configured}: set shards to {found}, or use another data directory"
    )]
    ShardCount {
        /// The number it was made for.
        found: u32,
        /// The number configured.
        configured: u32,
    },
    /// A value of the node's own cannot be read.
    #[error("the journal's identity cannot be read: {0}")]
    Damaged(#[from] DecodeError),
    /// The journal did not take a value.
    #[error("the journal did not take the node's identity: {0}")]
    Journal(#[from] JournalError),
}

/// The group of a shard.
pub(crate) fn group_of(shard: u32) -> GroupId {
    GroupId(shard)
}

/// Checks that the journal was made for so many shards, or makes it so.
pub(crate) async fn claim(journal: &Journal, shards: ShardCount) -> Result<(), IdentityError> {
    match journal.meta(NODE, SHARDS) {
        Some(value) => {
            let found = Reader::new(value).u32("number of shards")?;
            if found != shards.get() {
                return Err(IdentityError::ShardCount { found, configured: shards.get() });
            }
            Ok(())
        }
        None => {
            let mut value = BytesMut::new();
            value.put_u32(shards.get());
            put(journal, NODE, SHARDS, value.freeze()).await
        }
    }
}

/// The replica of a shard, minted if there is none.
pub(crate) async fn replica(journal: &Journal, shard: u32, runtime: &Runtime) -> Result<u64, IdentityError> {
    let group = group_of(shard);
    if let Some(value) = journal.meta(group, REPLICA) {
        return Ok(Reader::new(value).u64("replica id")?);
    }
    let id = runtime.random().max(1);
    let mut value = BytesMut::new();
    value.put_u64(id);
    put(journal, group, REPLICA, value.freeze()).await?;
    Ok(id)
}

async fn put(journal: &Journal, group: GroupId, key: MetaKey, value: Bytes) -> Result<(), IdentityError> {
    let (tx, rx) = oneshot::channel();
    let done = Box::new(move |result: Result<(), JournalError>| {
        let _gone = tx.send(result);
    });
    journal.put_meta(group, key, value, done);
    rx.await.unwrap_or(Err(JournalError::Closed))?;
    Ok(())
}
