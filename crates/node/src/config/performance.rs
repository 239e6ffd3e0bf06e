//! `performance`: how large, how many, how long.

use std::time::Duration;

use swarmmq_protocol::limits::MESSAGE_BYTES_DEFAULT;

use super::fields::{Fields, Section};
use super::quantity::Size;

/// `performance`: defaults of messages and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformanceConfig {
    /// Largest encoded message accepted. Default 1 MiB; at most 32 MiB. A message is in memory as a whole, once
    /// for each request under way.
    pub max_message_size: Size,
    /// Messages sent ahead to a consumer that does not say how many it wants. Default 100; 1 to 4,096. More is
    /// faster; a consumer that dies delays so many until their time to acknowledge is over.
    pub batch_size: u32,
    /// How long a consumer has to acknowledge, where neither it nor the group says otherwise. Default 30 s.
    pub ack_timeout: Duration,
}

impl Default for PerformanceConfig {
    fn default() -> Self {
        Self {
            max_message_size: Size(MESSAGE_BYTES_DEFAULT as u64),
            batch_size: 100,
            ack_timeout: Duration::from_secs(30),
        }
    }
}

impl Section for PerformanceConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { max_message_size, batch_size, ack_timeout } = self;
        fields.value("max_message_size", max_message_size);
        fields.value("batch_size", batch_size);
        fields.value("ack_timeout", ack_timeout);
    }
}
