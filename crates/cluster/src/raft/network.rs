//! The way to other replicas. This version places every shard on one node, so there are none: each
//! call says that its target cannot be reached.

use std::future::Future;
use std::io;

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};

use super::type_config::{ReplicaId, Types, Vote};

/// Makes links to replicas.
pub(super) struct NoLinks;

/// A link to a replica that cannot be reached.
pub(super) struct NoLink {
    target: ReplicaId,
}

impl NoLink {
    fn unreachable(&self) -> Unreachable<Types> {
        Unreachable::new(&io::Error::new(
            io::ErrorKind::NotConnected,
            format!("replica {} is on no node that this one knows", self.target),
        ))
    }
}

impl RaftNetworkFactory<Types> for NoLinks {
    type Network = NoLink;

    async fn new_client(&mut self, target: ReplicaId, _node: &BasicNode) -> NoLink {
        NoLink { target }
    }
}

type SnapshotOf = openraft::alias::SnapshotOf<Types, Bytes>;

impl RaftNetworkV2<Types> for NoLink {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: SnapshotOf,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(self.unreachable().into())
    }
}
