//! A real node, in this process.

use std::sync::Arc;

use swarmmq::discovery::{Discovery, NodeDiscovery};
use swarmmq::{Client, ClientOptions};
use swarmmq_node::config::{Listen, parse};
use swarmmq_node::node::{Node, NodeOptions, Running};
use tempfile::TempDir;

/// A node that can be started again where it was.
pub(crate) struct TestNode {
    folder: TempDir,
    port: u16,
    security: String,
    running: Option<Running>,
}

impl TestNode {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With a section `security` of the configuration.
    pub(crate) async fn start_with(security: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Self { folder, port: 0, security: security.into(), running: None };
        node.start_again().await;
        node
    }

    pub(crate) async fn start_again(&mut self) {
        let text = format!(
            "node: {{ data_dir: {:?} }}\ncluster: {{ shards: 1 }}\nzeromq: {{ endpoints: [] }}\n\
             journal: {{ segment_size: 4MiB, reserve_size: 1MiB }}\n{}",
            self.folder.path(),
            self.security
        );
        let mut config = parse(&text).unwrap();
        config.listen.native = Some(Listen::loopback(self.port));
        config.listen.http = Listen::loopback(0);
        let running = Node::start(NodeOptions::new(config)).await.unwrap();
        self.port = running.native_addr().unwrap().port();
        self.running = Some(running);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _stopped = running.shutdown().await;
        }
    }

    pub(crate) fn options(&self) -> ClientOptions {
        Client::builder().address(format!("127.0.0.1:{}", self.port))
    }

    pub(crate) async fn registry(&self) -> Arc<dyn Discovery> {
        Arc::new(NodeDiscovery::new(self.options().connect().await.unwrap()))
    }
}
