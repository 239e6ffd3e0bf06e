//! The keys of `egress` endpoints.

use swarmmq_protocol::limits::BATCH_MAX;

use super::fields::{Fields, Section};
use super::scalar::words;
use super::validation::Findings;

/// What only `egress` endpoints have, among the keys of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressConfig {
    /// Who acknowledges a message. Default `on-write`.
    pub acknowledge: Acknowledge,
    /// Most messages leased ahead for one peer. Default 1,000; at most 4,096.
    pub prefetch: u32,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self { acknowledge: Acknowledge::OnWrite, prefetch: 1_000 }
    }
}

impl Section for EgressConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { acknowledge, prefetch } = self;
        fields.value("acknowledge", acknowledge);
        fields.value("prefetch", prefetch);
    }
}

impl EgressConfig {
    pub(super) fn validate(&self, path: &str, findings: &mut Findings) {
        findings.range(&format!("{path}.prefetch"), self.prefetch, 1, BATCH_MAX as u32);
    }

    /// The first key that was changed, if any.
    pub(super) fn changed(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [
            ("acknowledge", self.acknowledge != default.acknowledge),
            ("prefetch", self.prefetch != default.prefetch),
        ];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }
}

/// Who acknowledges what an `egress` endpoint has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// The node, once a message was written to the connection: what the worker has not read when it goes is lost.
    OnWrite,
    /// The worker, on a `durable` endpoint, with the receipt that it gets before each message.
    ByWorker,
}

words!(
    Acknowledge,
    "who acknowledges: on-write or by-worker",
    Acknowledge::OnWrite = "on-write",
    Acknowledge::ByWorker = "by-worker",
);
