//! `cluster` and `node`: who belongs together, and which of them this node is.

use std::path::PathBuf;
use std::time::Duration;

use super::fields::{Fields, Section};
use super::scalar::{Label, words};

/// `cluster`: what all its nodes have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's name. Default `swarmmq`. Clients are told it.
    pub name: Label,
    /// Number of shards. Default 16; 1 to 1,024. Fixed when the data directory is made. Each is a
    /// consensus group of its own; destinations are spread over them.
    pub shards: u32,
    /// The nodes. Default none, which means: this node alone. This version runs one.
    pub nodes: Vec<ClusterNode>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { name: Label::of("swarmmq"), shards: 16, nodes: Vec::new() }
    }
}

impl Section for ClusterConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { name, shards, nodes } = self;
        fields.value("name", name);
        fields.value("shards", shards);
        fields.list("nodes", nodes);
    }
}

/// One of `cluster.nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterNode {
    /// Its id. Required.
    pub id: Option<Label>,
    /// `host:port` of its native listener, as others reach it. Required. Unless `listen.native` says
    /// otherwise, the node itself listens there, if the host is an IP address or `localhost`.
    pub address: Option<String>,
    /// What it does. Default empty, which means: everything. This version does everything whatever it says.
    pub roles: Vec<Role>,
}

impl Section for ClusterNode {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { id, address, roles } = self;
        fields.value("id", id);
        fields.value("address", address);
        fields.value("roles", roles);
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Takes messages from producers.
    Producer,
    /// Serves consumers.
    Consumer,
    /// Passes requests on to the leaders of shards.
    Router,
}

words!(
    Role,
    "a role: producer, consumer or router",
    Role::Producer = "producer",
    Role::Consumer = "consumer",
    Role::Router = "router",
);

/// `node`: what only this node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// This node's id. Default: that of the only one in `cluster.nodes`, or `node-1`.
    /// Read it by [`Config::node_id`](super::Config::node_id).
    pub id: Option<Label>,
    /// Where the data is. Default `./swarmmq-data`, relative to the directory the program is started in.
    pub data_dir: PathBuf,
    /// How long a stopping node waits for requests under way and for its last sync. Default 20 s. A service
    /// manager must wait longer before it kills.
    pub shutdown_timeout: Duration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: None,
            data_dir: PathBuf::from("./swarmmq-data"),
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

impl Section for NodeConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { id, data_dir, shutdown_timeout } = self;
        fields.value("id", id);
        fields.value("data_dir", data_dir);
        fields.value("shutdown_timeout", shutdown_timeout);
    }
}
