//! The configuration as a whole, and what follows from it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};

use super::address::{Listen, socket_address};
use super::cluster::{ClusterConfig, NodeConfig};
use super::destinations::DestinationsConfig;
use super::fields::{self, Fields, Key, Section};
use super::journal::JournalConfig;
use super::limits::LimitsConfig;
use super::listen::{ListenConfig, NATIVE_PORT};
use super::performance::PerformanceConfig;
use super::scalar::Label;
use super::security::SecurityConfig;
use super::telemetry::TelemetryConfig;
use super::zeromq::ZeromqConfig;

/// Everything that an operator chooses. The default is a node alone, on loopback.
///
/// ```
/// let config = swarmmq_node::config::parse("performance: { ack_timeout: 5s }")?;
/// assert_eq!(config.performance.ack_timeout.as_secs(), 5);
/// assert_eq!(config.node_id().as_str(), "node-1");
/// # Ok::<(), swarmmq_node::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// What all nodes of the cluster have in common.
    pub cluster: ClusterConfig,
    /// What only this node has.
    pub node: NodeConfig,
    /// Where the node listens.
    pub listen: ListenConfig,
    /// The endpoints of ZeroMQ clients.
    pub zeromq: ZeromqConfig,
    /// Defaults of messages and deliveries.
    pub performance: PerformanceConfig,
    /// The journal.
    pub journal: JournalConfig,
    /// Destinations that make themselves.
    pub destinations: DestinationsConfig,
    /// The bounds of what peers can make grow.
    pub limits: LimitsConfig,
    /// Who a peer is and what it may do.
    pub security: SecurityConfig,
    /// Logs and metrics.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// This node's id: `node.id`, or that of the only node of the cluster, or `node-1`.
    #[must_use]
    pub fn node_id(&self) -> Label {
        let only = match self.cluster.nodes.as_slice() {
            [node] => node.id.as_ref(),
            _ => None,
        };
        self.node.id.as_ref().or(only).cloned().unwrap_or_else(|| Label::of("node-1"))
    }

    /// Where the native protocol is spoken: `listen.native`, or this node's address in the cluster, or
    /// `127.0.0.1:9001`; none if it is off.
    #[must_use]
    pub fn native_address(&self) -> Option<SocketAddr> {
        if let Some(listen) = self.listen.native {
            return listen.address();
        }
        let own = self.node_id();
        let node = self.cluster.nodes.iter().find(|node| node.id.as_ref() == Some(&own));
        let address =
            node.and_then(|node| node.address.as_deref()).and_then(|text| socket_address(text).ok());
        Some(address.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), NATIVE_PORT)))
    }

    /// Where HTTP is spoken; none if it is off.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.listen.http.address()
    }

    /// Whether HTTP is spoken over TLS: off loopback, if there is a certificate.
    #[must_use]
    pub fn http_has_tls(&self) -> bool {
        self.security.has_tls() && self.http_address().is_some_and(|address| !address.ip().is_loopback())
    }

    /// The settings of a destination that makes itself.
    #[must_use]
    pub fn destination_settings(&self) -> DestinationSettings {
        self.destinations.settings()
    }

    /// The settings of a group that makes itself.
    #[must_use]
    pub fn group_settings(&self) -> GroupSettings {
        self.destinations.group_settings(self.performance.ack_timeout)
    }

    /// The settings of the one group of a queue that somebody creates: the default ones, but for the time to
    /// acknowledge.
    #[must_use]
    pub fn queue_group_settings(&self) -> GroupSettings {
        DestinationsConfig::default().group_settings(self.performance.ack_timeout)
    }

    /// Every key there is, with its kind and its default, as `docs/configuration.md` lists them.
    #[must_use]
    pub fn keys() -> Vec<Key> {
        fields::describe(&mut Self::default())
    }

    /// Binds everything that listens to `ip` instead.
    pub(crate) fn bind_all(&mut self, ip: IpAddr) {
        if let Some(mut address) = self.native_address() {
            address.set_ip(ip);
            self.listen.native = Some(Listen::At(address));
        }
        if let Listen::At(address) = &mut self.listen.http {
            address.set_ip(ip);
        }
        for bind in self.zeromq.endpoints.iter_mut().filter_map(|endpoint| endpoint.bind.as_mut()) {
            bind.0.set_ip(ip);
        }
    }
}

impl Section for Config {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            cluster,
            node,
            listen,
            zeromq,
            performance,
            journal,
            destinations,
            limits,
            security,
            telemetry,
        } = self;
        fields.section("cluster", cluster);
        fields.section("node", node);
        fields.section("listen", listen);
        fields.section("zeromq", zeromq);
        fields.section("performance", performance);
        fields.section("journal", journal);
        fields.section("destinations", destinations);
        fields.section("limits", limits);
        fields.section("security", security);
        fields.section("telemetry", telemetry);
    }
}
