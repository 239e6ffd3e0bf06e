//! Settings of destinations on the command line.

use clap::{Args, ValueEnum};
use swarmmq::{DestinationSettings, Overflow};

use crate::quantity::{bytes, milliseconds};

/// What the user says about a destination; everything else stays as it is. 0 in a limit means: none.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings (0 in a limit: none)")]
pub(crate) struct DestinationChanges {
    /// Most messages held
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,

    /// Most bytes held
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_size: Option<u64>,

    /// Older messages go
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    max_age: Option<u64>,

    /// What happens to a message that is put at a limit
    #[arg(long, value_name = "RULE")]
    overflow: Option<Rule>,

    /// Largest message accepted
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_message_size: Option<u64>,

    /// Time to live of messages that name none
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    ttl: Option<u64>,

    /// How long a message id is remembered, so that a repeated put is not stored twice
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    dedup_window: Option<u64>,

    /// How many message ids are remembered
    #[arg(long, value_name = "N")]
    max_dedup_ids: Option<u64>,

    /// How long a producer session is remembered after its last put
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    producer_ttl: Option<u64>,

    /// How many producer sessions are remembered
    #[arg(long, value_name = "N")]
    max_producers: Option<u64>,
}

/// [`Overflow`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// It is refused
    Refuse,
    /// The oldest messages go
    DropOldest,
}

impl DestinationChanges {
    /// Whether the user said anything.
    pub(crate) fn is_empty(&self) -> bool {
        let numbers = [
            self.max_messages,
            self.max_size,
            self.max_age,
            self.max_message_size,
            self.ttl,
            self.dedup_window,
            self.max_dedup_ids,
            self.producer_ttl,
            self.max_producers,
        ];
        numbers.iter().all(Option::is_none) && self.overflow.is_none()
    }

    pub(crate) fn apply(&self, settings: &mut DestinationSettings) {
        let set = |setting: &mut u64, value: Option<u64>| *setting = value.unwrap_or(*setting);
        set(&mut settings.messages_max, self.max_messages);
        set(&mut settings.bytes_max, self.max_size);
        set(&mut settings.age_max_ms, self.max_age);
        set(&mut settings.message_bytes_max, self.max_message_size);
        set(&mut settings.ttl_default_ms, self.ttl);
        set(&mut settings.dedup_window_ms, self.dedup_window);
        set(&mut settings.dedup_ids_max, self.max_dedup_ids);
        set(&mut settings.producer_ttl_ms, self.producer_ttl);
        set(&mut settings.producers_max, self.max_producers);
        if let Some(rule) = self.overflow {
            settings.overflow = match rule {
                Rule::Refuse => Overflow::Refuse,
                Rule::DropOldest => Overflow::DropOldest,
            };
        }
    }
}
